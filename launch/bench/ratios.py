"""The regression guard: what was measured at one commit beside what was measured at another, with the noise of both.

A document of ratios holds every figure's single measurements, not only their median: how far those of one commit lie
apart is the noise, and a change is one only if no measurement of one side reaches into those of the other.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from scalmarl.launch.errors import UsageProblem
from scalmarl.launch.run_directory import SCHEMA

SMALLEST_CHANGE = 0.02
"""A smaller change of the median is none, however close together the measurements are."""
Better = Literal["higher", "lower"]
Verdict = Literal["better", "worse", "same", "undecided", "only in one"]


@dataclass(frozen=True)
class Figure:
    """One figure of a commit: its measurements, in which direction it is better, and the goal it has, if any."""

    name: str
    unit: str
    better: Better
    values: tuple[float, ...]
    goal: float | None = None

    @property
    def median(self) -> float:
        """What is reported."""
        return statistics.median(self.values)

    @property
    def noise(self) -> float:
        """Half the distance between the extreme measurements, relative to the median."""
        return (max(self.values) - min(self.values)) / 2 / abs(self.median) if self.median else 0.0

    @property
    def reached(self) -> bool | None:
        """Whether the median is as good as the goal."""
        if self.goal is None:
            return None
        return self.median >= self.goal if self.better == "higher" else self.median <= self.goal


@dataclass(frozen=True)
class Change:
    """A figure at two commits; ``change`` is that of the median, relative to the first."""

    name: str
    unit: str
    before: Figure | None
    after: Figure | None
    change: float
    verdict: Verdict


def compare(before: Sequence[Figure], after: Sequence[Figure]) -> list[Change]:
    """Figure by figure, in the order of the first, then what only the second has."""
    old, new = ({figure.name: figure for figure in figures} for figures in (before, after))
    return [_change(name, old.get(name), new.get(name)) for name in dict.fromkeys((*old, *new))]


def _change(name: str, before: Figure | None, after: Figure | None) -> Change:
    if before is None or after is None:
        there = before or after
        assert there is not None
        return Change(name, there.unit, before, after, 0.0, "only in one")
    change = after.median / before.median - 1.0 if before.median else 0.0
    better, worse = (max, min) if before.better == "higher" else (min, max)
    gained = after.better == before.better and _beyond(worse(after.values), better(before.values), before.better)
    lost = _beyond(worse(before.values), better(after.values), before.better)
    if abs(change) < SMALLEST_CHANGE:
        verdict: Verdict = "same"
    elif min(len(before.values), len(after.values)) < 3:
        verdict = "undecided"
    else:
        verdict = "better" if gained else "worse" if lost else "same"
    return Change(name, before.unit, before, after, change, verdict)


def _beyond(value: float, other: float, better: Better) -> bool:
    return value > other if better == "higher" else value < other


def change_text(change: Change) -> str:
    """One line of the comparison."""
    sides = [
        f"{figure.median:10.4g} +-{100 * figure.noise:3.0f} %" if figure else f"{'-':>17}"
        for figure in (change.before, change.after)
    ]
    return f"{change.name:<40} {sides[0]} {sides[1]}  {100 * change.change:+6.1f} %  {change.verdict}"


def document(figures: Sequence[Figure], about: dict[str, Any]) -> dict[str, Any]:
    """What ``scalmarl bench ratios --json`` prints."""
    return {"schema": SCHEMA, **about, "figures": [{**asdict(figure), "median": figure.median} for figure in figures]}


def read_figures(path: Path) -> list[Figure]:
    """The inverse of ``document``. Raises ``UsageProblem``."""
    hint = "name a file that `scalmarl bench ratios --json` wrote"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        rows = data["figures"]
        figures = [
            Figure(row["name"], row["unit"], row["better"], tuple(map(float, row["values"])), row["goal"])
            for row in rows
        ]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{path}: cannot be read ({error})", hint) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageProblem(f"{path}: is no document of ratios ({error!r})", hint) from None
    if not all(figure.values and figure.better in ("higher", "lower") for figure in figures):
        raise UsageProblem(f"{path}: is no document of ratios (a figure without measurements)", hint)
    return figures
