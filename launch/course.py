"""How an agent came to where it is: the figures of its rounds in a few windows, to find out why it learns, or does not.

Rules of this file: pure; lines of ``metrics.jsonl`` go in.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from scalmarl.launch.summary import each_cost

WINDOWS = 5
NEEDS = (
    "cost_estimate_agent", "cost_limit", "lambda_agent", "explained_variance", "kl_agent", "radius_agent",
    "clip_fraction", "policy_std", "bound_agent",
)  # fmt: skip
"""What every line must have."""


def course(agent: int, lines: Sequence[dict[str, Any]], windows: int = WINDOWS) -> list[dict[str, Any]]:
    """One row per window of about as many rounds each; rounds in which the agent was absent do not count, and a window
    without any other has no row.

    ``cost_estimate``, ``above`` (share of rounds in which it was above the limit), ``multiplier`` and
    ``explained_variance`` (``reward`` and ``costs``, medians) have an entry per cost; the others are means over rounds.
    ``bounds``: what ended a turn -> in how many rounds; of ``slack of 3`` only ``slack``.
    """
    size = -(-len(lines) // windows)
    rows = []
    for start in range(0, len(lines), size):
        window = lines[start : start + size]
        present = [line for line in window if line["kl_agent"][agent] is not None]
        if present:
            rows.append({"first": window[0]["round"], "last": window[-1]["round"], **_window(agent, present)})
    return rows


def _window(agent: int, lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    def own(name: str) -> list[Any]:
        return [line[name][agent] for line in lines if line[name][agent] is not None]

    def mean(name: str) -> float | None:
        values = own(name)
        return statistics.fmean(values) if values else None

    estimates, limits = (list(zip(*map(each_cost, own(name)))) for name in ("cost_estimate_agent", "cost_limit"))
    reward, *costs = ([float(x) for x in column] for column in zip(*own("explained_variance")))
    return {
        "cost_estimate": [statistics.fmean(values) for values in estimates],
        "above": [statistics.fmean(x > c for x, c in zip(*pair)) for pair in zip(estimates, limits)],
        "multiplier": [statistics.fmean(values) for values in zip(*map(each_cost, own("lambda_agent")))],
        "explained_variance": {
            "reward": statistics.median(reward), "costs": [statistics.median(values) for values in costs],
        },
        "kl": mean("kl_agent"), "radius": mean("radius_agent"), "clip_fraction": mean("clip_fraction"),
        "policy_std": mean("policy_std"),
        "bounds": dict(Counter(bound.partition(" of ")[0] for bound in own("bound_agent")).most_common()),
    }  # fmt: skip
