"""What a figure is about, and the rows of numbers behind it.

Rules of this file: pure. Every row is a dictionary with the same keys; ``None`` where there is no number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.launch.figures.runs import Group, World
from scalmarl.launch.run_statistics import measure

WINDOW = 0.1
Rows = list[dict[str, Any]]


class Lacking(Exception):
    """The runs have no data for a figure; the text says what is missing."""


@dataclass(frozen=True)
class Scope:
    """What one picture is about: a world, or several of one task that differ in their number of agents; and the share
    of the rounds, at the end, that final figures are taken over."""

    worlds: list[World]
    window: float = WINDOW

    @property
    def groups(self) -> list[Group]:
        """All of them."""
        return [group for world in self.worlds for group in world.groups]


def finals(group: Group, window: float) -> list[dict[str, float | None]]:
    """``MEASURES`` of every run of a group over the last of their common rounds."""
    return [measure(group.lines(run), group.rounds, window) for run in group.runs]


def role(group: Group) -> str:
    """``kappa``, or what an algorithm is that hears nobody (``independent``) or everybody (``full state``)."""
    known = ALGORITHMS.get(group.algorithm)
    return {"all": "full state", "own": "independent"}.get(known.hears if known else "kappa", "kappa")


def require_kappas(scope: Scope) -> None:
    """Raise ``Lacking`` where nothing varies in kappa."""
    seen: dict[str, set[int]] = {}
    for group in scope.groups:
        if role(group) == "kappa":
            seen.setdefault(group.family, set()).add(group.plan.kappa)
    if max((len(kappas) for kappas in seen.values()), default=0) < 2:
        raise Lacking("it needs one algorithm with at least two values of kappa")


# ---- rows ----


def column(rows: Rows, name: str) -> list[float]:
    """The numbers of a column, without those that are not there."""
    return [row[name] for row in rows if row[name] is not None]


def where(rows: Rows, **wanted: Any) -> Rows:
    """The rows that have these values."""
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def labels_of(rows: Rows) -> list[str]:
    """Every label once, in order."""
    return list(dict.fromkeys(row["label"] for row in rows if row["label"]))


def error_bars(rows: Rows, name: str) -> list[list[float]]:
    """Lengths of error bars below and above; none where there is no interval."""
    return [
        [abs(row[name] - row[end]) if row[end] is not None else 0.0 for row in rows]
        for end in (name.replace("iqm", "low"), name.replace("iqm", "high"))
    ]
