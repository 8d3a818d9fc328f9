"""A claim with what was measured, and the rules by which samples may decide one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Verdict = Literal["holds", "fails", "undecided"]
LEAST_SEEDS = 3
DISJOINT = f"holds or fails only if the ranges over at least {LEAST_SEEDS} seeds are disjoint"
"""The rule of ``more``, in words."""


@dataclass(frozen=True)
class Claim:
    """One line of the report. ``figures``: named curves of equal length, the first of them the abscissa."""

    id: str
    claim: str
    variant: str
    setting: str
    measured: str
    bound: str
    verdict: Verdict
    figures: dict[str, list[float]] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """``T7`` of ``T7.1``."""
        return self.id.partition(".")[0]

    def to_data(self) -> dict[str, Any]:
        """As in claims.json."""
        names = ("id", "claim", "variant", "setting", "measured", "bound", "verdict")
        return {name: getattr(self, name) for name in names}


def verdict_of(passed: bool) -> Verdict:
    """The verdict of something that needs no statistics."""
    return "holds" if passed else "fails"


def more(one: Sequence[float], other: Sequence[float]) -> Verdict:
    """Whether ``one`` is more than ``other``, a value per seed: see ``DISJOINT``."""
    if min(len(one), len(other)) < LEAST_SEEDS or not np.isfinite([*one, *other]).all():
        return "undecided"
    if min(one) > max(other):
        return "holds"
    return "fails" if max(one) < min(other) else "undecided"


def differ(one: Sequence[float], other: Sequence[float]) -> Verdict:
    """Whether two settings differ, in either direction. Ranges that overlap do not show that they are equal."""
    return "undecided" if more(one, other) == "undecided" else "holds"


def spread(values: Sequence[float], digits: int = 1) -> str:
    """``mean [least, largest]`` over seeds."""
    if len(values) == 1:
        return f"{values[0]:,.{digits}f} (one seed)"
    return f"{np.mean(values):,.{digits}f} [{min(values):,.{digits}f}, {max(values):,.{digits}f}]"
