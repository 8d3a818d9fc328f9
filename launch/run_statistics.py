"""The figures of runs: one run over its last rounds, and runs that differ in nothing but their seed.

No file and no clock here: lines of ``metrics.jsonl`` go in, numbers come out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalmarl.launch.records import PARTS
from scalmarl.launch.summary import each_cost

LEAST_WINDOW = 10
"""No window is shorter than so many rounds."""
RESAMPLES = 9999
AT_ONCE = 10_000_000
"""So many resampled numbers are held in memory."""
SEEDS_FOR_AN_INTERVAL = 3
MEASURES = {
    "return": "team return per episode",
    "cost": "cost per episode, mean over agents",
    "largest_cost": "cost per episode of the agent that has the largest",
    "violation_rate": "share of (agent, round) pairs whose mean episode cost is above the agent's limit",
    "distance": "metres per episode",
    "bytes_agent_round": "wire bytes that an agent sends in a round",
    "bytes_env_step": "wire bytes that all agents together send per environment step",
    "wall_s": "seconds of all rounds together",
}
"""What is measured of a run, and its meaning."""


def window_rounds(rounds: int, share: float) -> int:
    """The length of the final window: a share of the rounds, at least ten, at most all."""
    return min(rounds, max(LEAST_WINDOW, math.ceil(share * rounds - 1e-9)))


def final_window(lines: Iterable[dict[str, Any]], rounds: int, share: float) -> list[dict[str, Any]]:
    """The lines of the last rounds of ``rounds``; lost lines leave a gap, they do not lengthen the window."""
    first = rounds - window_rounds(rounds, share)
    return [line for line in lines if first <= line["round"] < rounds]


def episode_mean(lines: Iterable[dict[str, Any]], name: str) -> float | None:
    """Mean over episodes of a figure; rounds in which none ended have none."""
    pairs = [(line[name], line["episodes"]) for line in lines if line[name] is not None and line["episodes"]]
    weight = sum(count for _, count in pairs)
    return sum(value * count for value, count in pairs) / weight if weight else None


def agent_costs(lines: Iterable[dict[str, Any]]) -> list[list[float]]:
    """Mean cost per episode of every agent, a list of its costs each; empty where no episode ended."""
    ended = [line for line in lines if line["cost_agent"] is not None and line["episodes"]]
    weight = sum(line["episodes"] for line in ended)
    sums: list[list[float]] = []
    for line in ended:
        now = [[cost * line["episodes"] for cost in each_cost(costs)] for costs in line["cost_agent"]]
        sums = [[a + b for a, b in zip(*pair)] for pair in zip(sums, now)] if sums else now
    return [[total / weight for total in own] for own in sums]


def violation_rate(lines: Iterable[dict[str, Any]]) -> float | None:
    """Share of (agent, round) pairs in which any of the agent's mean episode costs is above its limit."""
    pairs = [
        any(cost > limit for cost, limit in zip(each_cost(costs), each_cost(limits)))
        for line in lines
        if line["cost_agent"] is not None
        for costs, limits in zip(line["cost_agent"], line["cost_limit"])
    ]
    return sum(pairs) / len(pairs) if pairs else None


def measure(lines: Sequence[dict[str, Any]], rounds: int, share: float) -> dict[str, float | None]:
    """``MEASURES`` of one run of so many rounds; ``None`` where no episode ended in the window."""
    last = final_window(lines, rounds, share)
    costs = [cost for own in agent_costs(last) for cost in own]
    sent = [sum(line["bytes_agent"]) for line in last]
    steps = [line["env_steps"] / (line["round"] + 1) for line in last]
    return {
        "return": episode_mean(last, "return_team"),
        "cost": sum(costs) / len(costs) if costs else None,
        "largest_cost": max(costs, default=None),
        "violation_rate": violation_rate(last),
        "distance": episode_mean(last, "distance"),
        "bytes_agent_round": sum(sent) / (len(last) * len(last[0]["bytes_agent"])) if last else None,
        "bytes_env_step": sum(sent) / sum(steps) if last else None,
        "wall_s": sum(line["wall_s"] for line in lines if line["round"] < rounds),
    }


def interquartile_mean(values: Any, axis: int = -1) -> Any:
    """Mean without the lowest and the highest quarter; of fewer than four values the mean of all."""
    from scipy.stats import trim_mean

    return trim_mean(values, 0.25, axis=axis)


def over_seeds(values: Sequence[float | None]) -> dict[str, Any]:
    """``iqm`` and its 95 % percentile bootstrap interval ``low`` to ``high`` (``None`` with fewer than three); ``mean``
    and ``median``."""
    known = np.array([value for value in values if value is not None], dtype=float)
    found: dict[str, Any] = {"values": list(values), **dict.fromkeys(("iqm", "low", "high", "mean", "median"))}
    if known.size:
        found |= {"iqm": float(interquartile_mean(known)), "mean": known.mean().item(),
                  "median": float(np.median(known))}  # fmt: skip
    if known.size >= SEEDS_FOR_AN_INTERVAL:
        low, high = _percentile_interval(known, interquartile_mean)
        found["low"], found["high"] = float(low), float(high)
    return found


def probability_of_improvement(better: Sequence[float], worse: Sequence[float]) -> dict[str, float | None]:
    """``share`` of the pairs in which a value of ``better`` is above one of ``worse``, ties as a half (Mann and Whitney
    1947; Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice"), and the 95 % percentile bootstrap
    interval ``low`` to ``high``, both sides resampled (``None`` with fewer than three values on a side)."""
    from scipy.stats import bootstrap

    samples = (np.array(better, dtype=float), np.array(worse, dtype=float))
    found: dict[str, float | None] = {"share": float(_wins(*samples)), "low": None, "high": None}
    if min(map(len, samples)) >= SEEDS_FOR_AN_INTERVAL:
        interval = bootstrap(
            samples, _wins, n_resamples=RESAMPLES, method="percentile", vectorized=True, rng=np.random.default_rng(0)
        ).confidence_interval
        found |= {"low": float(interval.low), "high": float(interval.high)}
    return found


def _wins(x: NDArray[np.float64], y: NDArray[np.float64], axis: int = -1) -> Any:
    """Along the last axis of both, which ``scipy.stats.bootstrap`` asks for by ``axis``."""
    assert axis == -1
    ahead = x[..., :, None] - y[..., None, :]
    return ((ahead > 0).mean(axis=(-2, -1)) + (ahead >= 0).mean(axis=(-2, -1))) / 2


def performance_profile(values: Sequence[float], levels: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Share of the runs whose value is above each level, and its 95 % percentile bootstrap interval (Dolan and More
    2002; Agarwal et al. 2021): ``[levels]`` three times; NaN ends with fewer than three runs."""
    above = (np.array(values, dtype=float) > levels[:, None]).astype(float)
    ends = np.full((2, len(levels)), np.nan)
    if above.shape[1] >= SEEDS_FOR_AN_INTERVAL:
        ends = np.stack(_percentile_interval(above, np.mean))
    return above.mean(axis=1), ends[0], ends[1]


def over_episodes(rows: Sequence[Sequence[float]]) -> list[dict[str, float | None]]:
    """Of every row, which has one figure per episode: ``mean`` and its 95 % percentile bootstrap interval ``low`` to
    ``high`` (``None`` with fewer than three episodes)."""
    values = np.array(rows, dtype=float)
    means = values.mean(axis=1).tolist()
    if values.shape[1] < SEEDS_FOR_AN_INTERVAL:
        return [{"mean": mean, "low": None, "high": None} for mean in means]
    low, high = _percentile_interval(values, np.mean)
    return [{"mean": mean, "low": float(below), "high": float(above)} for mean, below, above in zip(means, low, high)]


def _percentile_interval(values: NDArray[np.float64], statistic: Any) -> tuple[Any, Any]:
    """Of a statistic along the last axis, by resampling that axis (Efron 1979); every row sees the same resamples, so
    its ends are its own alone."""
    from scipy.stats import bootstrap

    batch = max(1, AT_ONCE // values.size)
    interval = bootstrap(
        (values,), statistic, n_resamples=RESAMPLES, batch=batch, axis=-1, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return interval.low, interval.high


def band_over_seeds(curves: NDArray[np.float64], interval: bool = True) -> tuple[NDArray[np.float64], ...]:
    """``over_seeds`` of every point of curves ``[seeds, points]``, NaN where a seed has no value: interquartile mean,
    low and high, ``[points]`` each, NaN where there is none or no ``interval`` is wanted."""
    points = curves.shape[1]
    middle, low, high = (np.full(points, np.nan) for _ in range(3))
    known = ~np.isnan(curves)
    for pattern in np.unique(known, axis=1).T:
        if not pattern.any():
            continue
        at = np.flatnonzero((known == pattern[:, None]).all(axis=0))
        values = curves[np.ix_(pattern, at)].T
        middle[at] = interquartile_mean(values)
        if interval and pattern.sum() >= SEEDS_FOR_AN_INTERVAL:
            low[at], high[at] = _percentile_interval(values, interquartile_mean)
    return middle, low, high


def binned(lines: Iterable[dict[str, Any]], name: str, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """A curve for a figure: means over the episodes that ended between two edges of environment steps, else NaN.

    ``name``: ``return_team``, or ``cost`` (mean over agents) and ``largest_cost`` (of the agent that has the largest
    in that bin).
    """
    bins: list[list[dict[str, Any]]] = [[] for _ in edges[1:]]
    for line in lines:
        at = int(np.searchsorted(edges, line["env_steps"], side="left")) - 1
        if 0 <= at < len(bins):
            bins[at].append(line)
    curve = np.full(len(bins), np.nan)
    for at, some in enumerate(bins):
        if name in ("cost", "largest_cost"):
            costs = [cost for own in agent_costs(some) for cost in own]
            if costs:
                curve[at] = max(costs) if name == "largest_cost" else sum(costs) / len(costs)
        else:
            value = episode_mean(some, name)
            curve[at] = np.nan if value is None else value
    return curve


def middle_round(lines: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """On what ``agents`` (their mean) and the ``sim server`` spend a round that is neither among the fastest nor the
    slowest: seconds of ``records.PARTS``.

    Means over the middle half of the rounds by wall time, one choice of rounds for all parts. The first round holds the
    start of the processes and is left out where there are others.
    """
    ordered = sorted(lines[1:] or lines, key=lambda line: line["wall_s"])
    cut = len(ordered) // 4
    kept = ordered[cut : len(ordered) - cut]
    spent = {
        "agents": [one for line in kept for one in line["spent_agent"] if one is not None],
        "sim server": [line["spent_sim"] for line in kept],
    }
    return {who: {part: sum(one[part] for one in each) / len(each) for part in PARTS} for who, each in spent.items()}
