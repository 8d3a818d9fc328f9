"""``scalmarl bench absence``: what a missing agent costs its neighbours, in two runs of one seed side by side.

Under ``--on-loss mask`` one run loses an agent for some rounds; the other does not. Before the loss both have the same
bits, so all that differs afterwards comes of it.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from scalmarl.launch.bench.live import Say
from scalmarl.launch.config import resolve
from scalmarl.launch.errors import UsageProblem
from scalmarl.launch.planning import make_plan, write_plan
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import SCHEMA, create
from scalmarl.launch.summary import each_cost
from scalmarl.launch.verification import run_segments
from scalmarl.protocol.plan import Plan

FIGURES = ("return", "distance (m)", "cost, neighbours", "cost, others", "cost, the agent's own body")


def absence(
    agents: int, kappa: int, missing: int, first: int, last: int, rounds: int, seed: int, say: Say
) -> dict[str, Any]:
    """Rates extrapolated to an episode, means over the rounds before, during and after the absence of ``missing`` in
    rounds ``first`` to ``last``, in a run with the loss and one without. Raises ``UsageProblem``."""
    if not 0 < first <= last < rounds:
        raise UsageProblem(
            f"rounds {first} to {last} do not lie inside {rounds} rounds", "choose 0 < first <= last < all"
        )
    if agents < 2:
        raise UsageProblem(f"--agents {agents}: nobody is left when one is missing", "use at least 2")
    if not 0 <= missing < agents:
        raise UsageProblem(f"there is no agent {missing}", f"agents are 0 to {agents - 1}")
    config = {"run.agents": agents, "run.kappa": kappa, "run.seed": seed, "run.on_loss": "mask", "run.rounds": rounds}
    planned = make_plan(*resolve(None, (), config))
    spans = {"before": (0, first), "during": (first, last + 1), "after": (last + 1, rounds)}
    lines = {}
    with tempfile.TemporaryDirectory(prefix="scalmarl-bench-") as scratch:
        for name, parts in (
            ("whole", [(rounds, ())]),
            ("with the loss", [(first, ()), (last + 1, (missing,)), (rounds, ())]),
        ):
            run = create(Path(scratch) / name.replace(" ", "-"), "")
            write_plan(run, planned)
            say(f"{name}: {rounds} rounds")
            run_segments(run, parts, lambda: False)
            lines[name] = read_lines(run.metrics)
    plan = planned.plan
    rows = [
        {"span": span, "rounds": [start, end - 1], "figure": figure, **values}
        for span, (start, end) in spans.items()
        if end > start
        for figure in FIGURES
        for values in [{name: _mean(plan, lines[name][start:end], figure, missing) for name in lines}]
    ]
    return {
        "schema": SCHEMA, "agents": agents, "kappa": kappa, "missing": missing, "seed": seed,
        "neighbours": list(plan.neighbours[missing]), "rows": rows,
    }  # fmt: skip


def _mean(plan: Plan, lines: list[dict[str, Any]], figure: str, missing: int) -> float | None:
    if figure == "return":
        return statistics.fmean(line["return_rate"] for line in lines)
    if figure == "distance (m)":
        return statistics.fmean(line["distance_rate"] for line in lines)
    whose = {
        "cost, neighbours": plan.neighbours[missing],
        "cost, others": [i for i in range(plan.agents) if i not in plan.neighbourhood(missing)],
        "cost, the agent's own body": [missing],
    }[figure]
    costs = [cost for line in lines for agent in whose for cost in each_cost(line["cost_rate_agent"][agent])]
    return statistics.fmean(costs) if costs else None


def row_text(row: dict[str, Any]) -> str:
    """A row in words."""
    start, end = row["rounds"]
    whole, loss = (
        f"{row[name]:10,.2f}" if row[name] is not None else "         -" for name in ("whole", "with the loss")
    )
    return f"{row['span']:<7} rounds {start:>3} to {end:>3}  {row['figure']:<28} whole {whole}   with the loss {loss}"
