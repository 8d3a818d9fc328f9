"""On what a process spends the wall time of a round.

Rules of this file: pure; the clock is handed in. Seconds are those of a clock on the wall: where there are more
processes than cores, what is told as work includes the wait for a core.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Spending = Literal["work", "wait", "messages"]
"""``work``: the body's own; ``wait``: asleep until something came or was due; ``messages``: framing, checking, counting
and handing over to the sockets what was said, and the same for what was heard."""
Spent = dict[str, dict[str, float]]
"""Spending -> phase of the body -> seconds."""


class WallTime:
    """Seconds since the last ``seal``, or since ``begin``; a ``lap`` says on what the time since the one before it was
    spent."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._last = clock, clock()
        self._spent: Spent = {}

    def begin(self) -> None:
        """What was until now is of no round."""
        self._last, self._spent = self._clock(), {}

    def lap(self, on: Spending, phase: str) -> float:
        """Enter a lap; returns the time now."""
        now = self._clock()
        phases = self._spent.setdefault(on, {})
        phases[phase] = phases.get(phase, 0.0) + now - self._last
        self._last = now
        return now

    def seal(self) -> Spent:
        """What was entered; from here on it counts anew."""
        told, self._spent = self._spent, {}
        return told
