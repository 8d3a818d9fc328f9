"""What is said before a run and after it: the banner, and the summary with its two anchors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.launch.bad_links import read_link
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.launch.traffic import all_to_all_bytes, first_sendings, neighbourhoods, rounds_by_absence
from scalmarl.protocol.plan import Plan

LAST_ROUNDS = 10
"""The summary's figures are means over so many last rounds."""


def bytes_text(count: float) -> str:
    """Bytes in words, powers of 1,000."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.2f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def visible_text(plan: Plan, algorithm: str) -> str:
    """``kappa 2 hops: 3 to 5 of 8 agents visible``."""
    hears = ALGORITHMS[algorithm].hears
    if hears != "kappa":
        return (
            f"{'every agent reads all blocks' if hears == 'all' else 'own block alone'}: {algorithm} does not use kappa"
        )
    sizes = [len(plan.neighbourhood(agent)) for agent in range(plan.agents)]
    seen = str(sizes[0]) if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    return f"kappa {plan.kappa} hop{'' if plan.kappa == 1 else 's'}: {seen} of {plan.agents} agents visible"


def banner(run: RunDirectory, plan: Plan, graph: str, algorithm: str, links: Sequence[str] = ()) -> Table:
    """What is about to start; ``graph`` in words, ``links``: the bad ones."""
    task = plan.task
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    limits = sorted({limit for row in task.cost_limits for limit in row})
    rows = [
        (
            "task",
            f"{task.label}, reward {task.reward_mode}, cost {task.cost_mode}, limit {_range(limits)} per episode, "
            f"{task.physics} physics",
        ),
        ("agents", f"{plan.agents} process{'' if plan.agents == 1 else 'es'}, {algorithm}, graph {graph}"),
        ("sight", visible_text(plan, algorithm)),
        ("told", ", ".join(("state", *plan.exchanged)) if any(plan.neighbours) else "nothing: nobody is heard"),
        ("not local", "; ".join(task.nonlocal_facts) or "nothing"),
        *(("note", note) for note in task.notes),
        *(("note", note) for note in _theorem_notes(plan)),
        *(("bad link", read_link(text).words()) for text in links),
        (
            "sampling",
            f"{plan.copies} copies x {plan.steps} steps = {plan.samples:,} steps a round, {plan.rounds} rounds = "
            f"{plan.rounds * plan.samples:,} steps, seed {plan.seed}",
        ),
        ("run", str(run.path)),
    ]
    for name, text in rows:
        table.add_row(name, text)
    return table


def _theorem_notes(plan: Plan) -> list[str]:
    gamma = plan.learner["gamma"]
    if plan.learner["radius"] != "exact" or gamma <= 0.9:
        return []
    return [f"with the theorem's constants hardly a step is allowed at gamma {gamma:g}; try --set learner.gamma=0.5"]


def _range(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"


def mean_of(lines: list[dict[str, Any]], name: str) -> float | None:
    """Mean of a figure over the lines that have it."""
    values = [line[name] for line in lines if line[name] is not None]
    return sum(values) / len(values) if values else None


def run_figures(plan: Plan, recent: list[dict[str, Any]], round_s: float) -> dict[str, str]:
    """How a run stands, by its recent lines of metrics; a round is expected to take ``round_s``. Name -> words."""
    line = recent[-1]
    done = line["round"] + 1
    steps_s = plan.samples * len(recent) / max(sum(x["wall_s"] for x in recent), 1e-9)
    ended, far = mean_of(recent, "return_team"), mean_of(recent, "distance_rate")
    worst = max(
        (
            (cost - limit, f"{cost:.0f} of {limit:g} (agent {agent})")
            for agent, (costs, limits) in enumerate(zip(line["cost_estimate_agent"], line["cost_limit"]))
            for cost, limit in zip(each_cost(costs), each_cost(limits))
        ),
        default=None,
    )
    multipliers = [x for row in line["lambda_agent"] for x in each_cost(row)]
    minutes, seconds = divmod(int(max(plan.rounds - done, 0) * round_s), 60)
    return {
        "round": f"{done}/{plan.rounds}",
        "env steps": f"{line['env_steps']:,}",
        "steps/s": f"{steps_s:,.0f}",
        "return": f"{mean_of(recent, 'return_rate') or 0.0:,.0f}"
        + ("" if ended is None else f" (whole episodes {ended:,.0f})"),
        **({} if far is None else {"distance": f"{far:.1f} m"}),
        **({} if worst is None else {"worst cost": worst[1]}),
        **({"multiplier": f"{min(multipliers):.2f} to {max(multipliers):.2f}"} if multipliers else {}),
        "bytes/agent": f"{bytes_text(min(line['bytes_agent']))} to {bytes_text(max(line['bytes_agent']))}",
        "left": f"{minutes}:{seconds:02d}",
    }


def anchors(run: RunDirectory, plan: Plan) -> Table:
    """Return, cost and distance of the last rounds, beside the first round and standing still.

    Shrinking noise alone lifts the return to that of standing still; distance is the honest witness. A robot that falls
    early earns much in its few steps, so whole episodes stand beside whole episodes, and rates beside rates.
    """
    lines = read_lines(run.metrics)
    first, last = lines[:1], lines[-LAST_ROUNDS:]
    table = Table(title=f"team; a rate is extrapolated to an episode of {plan.task.horizon} steps")
    for name in ("", "return", "cost", "distance (m)"):
        table.add_column(name, justify="left" if not name else "right")
    names = ("return_rate", "cost_rate_team", "distance_rate")
    table.add_row("first round, rate", *(number_text(mean_of(first, name)) for name in names))
    still = (plan.task.standing_still_return, plan.task.standing_still_cost, plan.task.standing_still_distance)
    table.add_row(f"last {len(last)} rounds, rate", *(number_text(mean_of(last, name)) for name in names))
    finished = ("return_team", "cost_team", "distance")
    table.add_row(
        f"whole episodes in them ({sum(x['episodes'] for x in last)})",
        *(number_text(mean_of(last, n)) for n in finished),
    )
    table.add_row("standing still, whole episode", *(number_text(figure) for figure in still))
    return table


def number_text(value: float | None) -> str:
    """A figure in words; ``-`` where there is none."""
    return "-" if value is None else f"{value:,.1f}"


def agents_table(run: RunDirectory, plan: Plan) -> Table:
    """Cost against limit, multiplier and bytes of every agent's neighbourhood."""
    lines = read_lines(run.metrics)[-LAST_ROUNDS:]
    everybody = sum(all_to_all_bytes(plan, agent) for agent in range(plan.agents)) / plan.agents
    table = Table(title=f"neighbourhoods, wire bytes a round (all-to-all: {bytes_text(everybody)} per agent)")
    for name in ("agent", "hears", "cost", "limit", "mult.", "sent", "formula", "received"):
        table.add_column(name, justify="left" if name in ("agent", "hears") else "right", no_wrap=name != "hears")
    first = first_sendings(run)
    rounds = rounds_by_absence(run)
    for agent, moved in enumerate(neighbourhoods(plan, rounds, first)):
        here = [line["cost_estimate_agent"][agent] for line in lines if line["cost_estimate_agent"][agent] is not None]
        costs = zip(*(each_cost(cost) for cost in here))
        table.add_row(
            str(agent),
            ", ".join(str(other) for other in plan.neighbours[agent]) or "nobody",
            "/".join(f"{sum(cost) / len(cost):.1f}" for cost in costs) or "-",
            "/".join(f"{limit:g}" for limit in plan.task.cost_limits[agent]),
            "/".join(f"{x:.2f}" for line in lines[-1:] for x in each_cost(line["lambda_agent"][agent])) or "-",
            bytes_text(moved["per_round_bytes"]),
            bytes_text(moved["predicted_bytes"]),
            bytes_text(moved["received_bytes"] / max(sum(rounds.values()), 1)),
        )
    return table


def each_cost(value: Any) -> list[float]:
    """A figure of one agent in ``metrics.jsonl``: a number where every agent has one cost, else a list per cost;
    nothing for an agent that was absent."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
