"""When a value that has not come is late, and is asked for.

Rules of this file: pure; time comes in as ``now``.
"""

from __future__ import annotations

NEED_AFTER_S = 0.05
NEED_AT_MOST_S = 1.0
PATIENCE = 3.0
"""A value is late after so many times the longest recent silence within a rollout, at least after ``NEED_AFTER_S``:
where a control step itself takes longer, nothing is lost, and asking would only add to the load."""
FORGET = 0.9
"""What is left of the longest recent silence after each wait."""


class Patience:
    """The patience of one process; it grows with the silences that turned out to be none, and doubles from one question
    to the next."""

    def __init__(self) -> None:
        self._due: float | None = None
        self._wait = NEED_AFTER_S
        self._quiet_since = 0.0
        self._silence = 0.0
        self._usual_silence = 0.0

    def begin(self, now: float) -> None:
        """From here on nothing has been heard."""
        self._quiet_since = now
        self._wait = min(max(NEED_AFTER_S, PATIENCE * self._usual_silence), NEED_AT_MOST_S)
        self._due = now + self._wait

    def heard(self, now: float, in_rollout: bool) -> None:
        """A value came; only between the steps of a rollout does the silence before it tell what is usual."""
        if in_rollout:
            self._silence = max(self._silence, now - self._quiet_since)
        self.begin(now)

    def satisfied(self) -> None:
        """Nothing is missing any more: the body goes on."""
        self._usual_silence = max(self._silence, FORGET * self._usual_silence)
        self._silence, self._due = 0.0, None

    def deadline(self, now: float) -> float:
        """When to ask. The first call after the body came to rest starts the time: what a body computes is nobody's
        delay."""
        if self._due is None:
            self.begin(now)
        assert self._due is not None
        return self._due

    def is_over(self, now: float) -> bool:
        """Whether it is time to ask."""
        return self._due is not None and now >= self._due

    def asked(self, now: float) -> None:
        """The next question comes later."""
        self._due = now + self._wait
        self._wait = min(2 * self._wait, NEED_AT_MOST_S)
