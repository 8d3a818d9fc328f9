"""The numbers behind figures of how runs ended: returns and costs over the final rounds.

Rules of this file: pure; see ``figures.scope``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scalmarl.launch.figures.scope import Lacking, Rows, Scope, finals, require_kappas, role
from scalmarl.launch.run_statistics import (
    SEEDS_FOR_AN_INTERVAL,
    over_seeds,
    performance_profile,
    probability_of_improvement,
)


def tradeoff(scope: Scope) -> Rows:
    """Return against cost over the final window: every run, and the groups over their seeds."""
    rows: Rows = []
    for group in scope.groups:
        each = finals(group, scope.window)
        for run, found in zip(group.runs, each):
            if found["return"] is not None and found["cost"] is not None:
                rows.append(_pair(group.label, run.plan.seed, {"iqm": found["return"]}, {"iqm": found["cost"]}))
        pair = [over_seeds([found[name] for found in each]) for name in ("return", "cost")]
        if all(found["iqm"] is not None for found in pair):
            rows.append(_pair(group.label, None, *pair))
    if not rows:
        raise Lacking("no episode has ended in the last rounds of these runs")
    return rows + [_pair("limit", None, {"iqm": None}, {"iqm": limit}) for limit in scope.worlds[0].limits()]


def _pair(label: str, seed: int | None, returns: dict[str, Any], costs: dict[str, Any]) -> dict[str, Any]:
    ends = ("iqm", "low", "high")
    return {
        "label": label, "seed": seed,
        **{f"return_{end}": returns.get(end) for end in ends}, **{f"cost_{end}": costs.get(end) for end in ends},
    }  # fmt: skip


def improvement(scope: Scope) -> Rows:
    """For every two groups: the probability that a run of the one has a higher return than a run of the other, and that
    it has a lower cost, over the final window."""
    known = _known_finals(scope, 2)
    rows: Rows = []
    for name in ("return", "cost"):
        sign = 1.0 if name == "return" else -1.0
        for label, own in known.items():
            for other, theirs in known.items():
                if other != label:
                    pair = ([sign * value for value in values[name]] for values in (own, theirs))
                    rows.append({"label": label, "other": other, "measure": name, **probability_of_improvement(*pair)})
    return rows


def profiles(scope: Scope) -> Rows:
    """Performance profiles over the final window: the share of a group's runs whose return, or whose cost, is above a
    level, against the level: it steps at every run's value and nowhere else."""
    known = _known_finals(scope)
    rows: Rows = []
    for name in ("return", "cost"):
        every = np.unique([value for values in known.values() for value in values[name]])
        margin = 0.02 * (every[-1] - every[0]) or 1.0
        levels = np.array([every[0] - margin, *every, every[-1] + margin])
        for label, values in known.items():
            for at, *shares in zip(levels, *performance_profile(values[name], levels)):
                share, low, high = (float(x) for x in shares)
                rows.append({"label": label, "measure": name, "level": float(at), "share": share, "low": low,
                             "high": high})  # fmt: skip
    limits = scope.worlds[0].limits()
    empty = dict.fromkeys(("share", "low", "high"))
    return rows + [{"label": "limit", "measure": "cost", "level": limit, **empty} for limit in limits]


def seeds_drawn(scope: Scope) -> list[int]:
    """How many seeds the groups have that ``improvement`` and ``profiles`` draw."""
    return [len(values["return"]) for values in _known_finals(scope).values()]


def _known_finals(scope: Scope, groups: int = 1) -> dict[str, dict[str, list[float]]]:
    """Label -> measure -> a value per run, of the groups with enough runs in which episodes ended. Raises ``Lacking``
    where these are fewer than ``groups``."""
    if sum(len(group.runs) >= SEEDS_FOR_AN_INTERVAL for group in scope.groups) < groups:
        how_many = "a group" if groups == 1 else f"{groups} groups"
        raise Lacking(f"it needs {how_many} with at least {SEEDS_FOR_AN_INTERVAL} seeds")
    found = {}
    for group in scope.groups:
        each = [one for one in finals(group, scope.window) if one["return"] is not None and one["cost"] is not None]
        if len(each) >= SEEDS_FOR_AN_INTERVAL:
            found[group.label] = {name: [float(one[name] or 0.0) for one in each] for name in ("return", "cost")}
    if len(found) < groups:
        raise Lacking("no episode has ended in the last rounds of these runs")
    return found


def kappa(scope: Scope) -> Rows:
    """Return and mean cost over the final window against kappa, and of what hears nobody or everybody."""
    require_kappas(scope)
    rows: Rows = []
    for group in scope.groups:
        each = finals(group, scope.window)
        for name in ("return", "cost"):
            found = over_seeds([one[name] for one in each])
            if found["iqm"] is not None:
                rows.append(
                    {
                        "label": group.family, "role": role(group), "kappa": group.plan.kappa, "measure": name,
                        **{end: found[end] for end in ("iqm", "low", "high")}, "seeds": len(group.runs),
                    }
                )  # fmt: skip
    if not any(row["role"] == "kappa" for row in rows):
        raise Lacking("no episode has ended in the last rounds of the runs with a kappa")
    empty = dict.fromkeys(("kappa", "low", "high", "seeds"))
    limits = scope.worlds[0].limits()
    return rows + [{"label": "", "role": "limit", "measure": "cost", "iqm": limit, **empty} for limit in limits]
