"""The numbers behind each figure: runs go in, rows of a table come out. A picture shows its rows and nothing else.

Rules of this file: pure; see ``figures.scope``. Those over the final rounds are in ``figures.finals``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalmarl.launch.figures.finals import improvement, kappa, profiles, seeds_drawn, tradeoff
from scalmarl.launch.figures.runs import Group, Run, World
from scalmarl.launch.figures.scope import Lacking, Rows, Scope, require_kappas, role
from scalmarl.launch.run_statistics import band_over_seeds, binned, middle_round
from scalmarl.launch.summary import each_cost
from scalmarl.launch.traffic import all_to_all_bytes, predicted_bytes

BINS = 40


def curves(scope: Scope) -> Rows:
    """Return and cost against environment steps: interquartile mean over seeds and its interval, the limits, and the
    environment steps at which a process died. The largest agent's cost stands apart where it is not the mean."""
    steps = max(group.lines(run)[-1]["env_steps"] for group in scope.groups for run in group.runs)
    edges = np.linspace(0.0, steps, min(BINS, max(group.rounds for group in scope.groups)) + 1)
    rows: Rows = []
    for group in scope.groups:
        for name, kind in (("return", "return_team"), ("cost", "cost"), ("largest_cost", "largest_cost")):
            each = np.array([binned(group.lines(run), kind, edges) for run in group.runs])
            bands = zip((edges[1:] + edges[:-1]) / 2, *band_over_seeds(each), (~np.isnan(each)).sum(axis=0))
            rows += [_point(group.label, name, at, *rest) for at, *rest in bands if rest[-1]]
    if not any(row["measure"] == "return" for row in rows):
        raise Lacking("no episode has ended in these runs")
    means, largest = ([row["iqm"] for row in rows if row["measure"] == name] for name in ("cost", "largest_cost"))
    if np.allclose(means, largest):
        rows = [row for row in rows if row["measure"] != "largest_cost"]
    for group in scope.groups:
        samples = group.plan.samples
        deaths = sorted({at * samples for run in group.runs for at in run.deaths if at < group.rounds})
        rows += [_point(group.label, "death", at) for at in deaths]
    return rows + [_point("", "limit", None, limit) for limit in scope.worlds[0].limits()]


def _point(
    label: str, name: str, at: float | None, iqm: float | None = None, low: float | None = None,
    high: float | None = None, seeds: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    numbers = {"env_steps": at, "iqm": iqm, "low": low, "high": high}
    known = {name: None if x is None or np.isnan(x) else float(x) for name, x in numbers.items()}
    return {"label": label, "measure": name, **known, "seeds": None if seeds is None else int(seeds)}


def bytes_kappa(scope: Scope) -> Rows:
    """Wire bytes that an agent sends in a round, mean over agents, against kappa: measured, by the formula, and if
    everybody heard everybody."""
    require_kappas(scope)
    return [{"kappa": group.plan.kappa, **_bytes(group)} for group in scope.groups if role(group) == "kappa"]


def _bytes(group: Group) -> dict[str, Any]:
    """Of one group, per agent and round; a mean over rounds and seeds, which are equal but where agents were absent."""
    plan = group.plan
    measured = np.mean([_sent(group.lines(run)) for run in group.runs], axis=0)
    formula = np.array([predicted_bytes(plan, agent, group.runs[0].absences()) for agent in range(plan.agents)])
    everybody = [all_to_all_bytes(plan, agent) for agent in range(plan.agents)]
    return {
        "label": group.family, "agents": plan.agents,
        "measured_mean": float(measured.mean()), "measured_most": float(measured.max()),
        "predicted_mean": float(formula.mean()), "predicted_most": float(formula.max()),
        "all_to_all_mean": float(np.mean(everybody)), "all_to_all_most": float(max(everybody)),
    }  # fmt: skip


def _sent(lines: list[dict[str, Any]]) -> NDArray[np.float64]:
    """Bytes per round of every agent, ``[N]``."""
    sent: NDArray[np.float64] = np.array([line["bytes_agent"] for line in lines], dtype=float)
    return np.asarray(sent.mean(axis=0))


def bytes_agents(scope: Scope) -> Rows:
    """Wire bytes that an agent sends in a round against the number of agents, at fixed kappa."""
    groups = [group for group in scope.groups if role(group) == "kappa"]
    alike = len({group.plan.samples for group in groups}) <= 1
    rows = []
    for group in groups:
        size = "" if alike else f", {group.plan.samples:,} samples a round"
        rows.append({**_bytes(group), "label": f"{group.plan.task.name}, {group.label}{size}"})
    numbers: dict[str, set[int]] = {}
    for row in rows:
        numbers.setdefault(row["label"], set()).add(row["agents"])
    kept = [row for row in rows if len(numbers[row["label"]]) > 1]
    if not kept:
        raise Lacking("it needs one task, algorithm and kappa with at least two numbers of agents")
    return sorted(kept, key=lambda row: (row["label"], row["agents"]))


def wall_time(scope: Scope) -> Rows:
    """Seconds of a round that agents, in the mean, and the sim server spend at work, waiting and on messages."""
    _require_fields(scope.groups, "spent_agent", "spent_sim")
    rows = []
    for group in scope.groups:
        each = [middle_round(group.lines(run)) for run in group.runs]
        for who, parts in each[0].items():
            means = {name: float(np.mean([one[who][name] for one in each])) for name in parts}
            rows.append({"label": group.label, "who": who, **means, "seeds": len(each)})
    return rows


def multipliers(scope: Scope) -> Rows:
    """Every agent's multipliers over rounds, interquartile mean over seeds; of the groups that charge a cost."""
    charging = [group for group in scope.groups if group.runs[0].settings["learner.cost_terms"] != "none"]
    if not charging:
        raise Lacking("none of the algorithms charges a cost")
    _require_fields(charging, "lambda_agent")
    return [row for group in charging for row in _multipliers_of(group)]


def _multipliers_of(group: Group) -> Iterable[dict[str, Any]]:
    for agent in range(group.plan.agents):
        for cost in range(group.plan.costs(agent)):
            each = np.array([_over_rounds(group, run, agent, cost) for run in group.runs])
            middle, _, _ = band_over_seeds(each, interval=False)
            seeds = (~np.isnan(each)).sum(axis=0)
            for round in np.flatnonzero(seeds):
                yield {
                    "label": group.label, "agent": agent, "cost": cost, "round": int(round),
                    "multiplier": float(middle[round]), "seeds": int(seeds[round]),
                }  # fmt: skip


def _over_rounds(group: Group, run: Run, agent: int, cost: int) -> NDArray[np.float64]:
    """One multiplier per round, NaN where the line was lost or the agent absent."""
    found = np.full(group.rounds, np.nan)
    for line in group.lines(run):
        own = each_cost(line["lambda_agent"][agent])
        if own:
            found[line["round"]] = own[cost]
    return found


def _require_fields(groups: Sequence[Group], *names: str) -> None:
    for run in (run for group in groups for run in group.runs):
        missing = [name for name in names if any(name not in line for line in run.lines)]
        if missing:
            raise Lacking(
                f"the metrics of {run.path} lack {', '.join(missing)}; another version of scalmarl wrote them"
            )


@dataclass(frozen=True)
class Sort:
    """A sort of figure: its file's name, what it shows, and its numbers; ``whole``: one for all worlds together;
    ``seeds``: how many every group has that is drawn."""

    name: str
    words: str
    rows: Callable[[Scope], Rows]
    whole: bool = False
    seeds: Callable[[Scope], list[int]] = lambda scope: [len(group.runs) for group in scope.groups]


SORTS = (
    Sort("curves", "Return and cost per episode against environment steps", curves),
    Sort("tradeoff", "Return against cost over the final rounds", tradeoff),
    Sort("improvement", "Probability of improvement over the final rounds", improvement, seeds=seeds_drawn),
    Sort("profiles", "Performance profiles over the final rounds", profiles, seeds=seeds_drawn),
    Sort("kappa", "Return and cost over the final rounds against kappa", kappa),
    Sort("bytes-kappa", "Wire bytes that an agent sends in a round against kappa", bytes_kappa),
    Sort("bytes-agents", "Wire bytes that an agent sends in a round against the number of agents", bytes_agents, True),
    Sort("wall-time", "Wall time of a round", wall_time),
    Sort("multipliers", "Lagrange multipliers over rounds", multipliers),
)


@dataclass(frozen=True)
class Found:
    """A figure that there is data for; ``name``: of its files, ``title``: of its world."""

    sort: Sort
    name: str
    title: str
    rows: Rows
    seeds: tuple[int, int]
    """Least and largest number of seeds of a group."""


def find_figures(worlds: list[World], window: float, only: Sequence[str] = ()) -> tuple[list[Found], dict[str, str]]:
    """Every figure that the runs have data for, and those that they have none for with the reason."""
    found, lacking = [], {}
    for sort in SORTS:
        if only and sort.name not in only:
            continue
        scopes = [Scope(worlds, window)] if sort.whole else [Scope([world], window) for world in worlds]
        for scope in scopes:
            alone = sort.whole or len(worlds) == 1
            name = sort.name if alone else f"{sort.name}-{scope.worlds[0].slug}"
            title = scope.worlds[0].title if len(scope.worlds) == 1 else ""
            try:
                rows, seeds = sort.rows(scope), sorted(sort.seeds(scope))
                found.append(Found(sort, name, title, rows, (seeds[0], seeds[-1])))
            except Lacking as why:
                lacking[name] = str(why)
    return found, lacking
