"""One line of the laboratory's report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["holds", "fails", "undecided"]


@dataclass(frozen=True)
class Claim:
    """``claim``: one sentence, said of ``variant``; ``bound``: the rule that ``measured`` is put to.

    ``figures``: named curves for plots, the first is the abscissa.
    """

    id: str
    claim: str
    variant: str
    setting: str
    measured: str
    bound: str
    verdict: Verdict
    figures: dict[str, list[float]] = field(default_factory=dict)


def verdict_of(passed: bool) -> Verdict:
    """``holds`` or ``fails``."""
    return "holds" if passed else "fails"
