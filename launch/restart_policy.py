"""When to start a dead process again, and when to stop the run instead. Pure.

A death by an outside signal never counts. A crash of a process's own does, and so does one that hung by itself: three
at the same round, step and phase are a poisoned input, ten without a commit are hopeless; both stop the run with a
diagnosis.
"""

from __future__ import annotations

import signal
from collections import Counter
from dataclasses import dataclass, field

from scalmarl.protocol.keys import process_name

SAME_PLACE = 3
WITHOUT_COMMIT = 10
FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0
# What a process does to itself by a bug; any other signal comes from outside.
_OWN_SIGNALS = {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS}


@dataclass(frozen=True)
class Death:
    """How a process ended: ``code`` as in ``subprocess`` (negative: a signal), ``None`` when nobody could tell."""

    process: int
    code: int | None
    place: tuple[int, int, str]
    error: str = ""

    @property
    def is_own(self) -> bool:
        """Whether the process brought it about itself."""
        if self.error:
            return True
        return self.code is not None and (self.code > 0 or -self.code in _OWN_SIGNALS)

    @property
    def signal(self) -> str | None:
        """The name of the signal that ended the process, if one did; a real-time signal has a number alone."""
        if self.code is None or self.code >= 0:
            return None
        named = {number.value: number.name for number in signal.Signals}
        return named.get(-self.code, f"signal {-self.code}")

    def cause(self) -> str:
        """In words."""
        if self.error:
            return self.error
        if self.code is None:
            return "killed"
        return self.signal or f"exit code {self.code}"


@dataclass
class RestartPolicy:
    """Counts crashes since the last commit."""

    crashes: Counter[tuple[int, tuple[int, int, str]]] = field(default_factory=Counter)

    def committed(self) -> None:
        """A round was committed: the slate is clean."""
        self.crashes.clear()

    def delay(self, death: Death) -> float | None:
        """Seconds to wait before the process starts again, or ``None`` to stop the run (see ``diagnosis``)."""
        if not death.is_own:
            return 0.0
        self.crashes[death.process, death.place] += 1
        total = sum(self.crashes.values())
        if self.crashes[death.process, death.place] >= SAME_PLACE or total >= WITHOUT_COMMIT:
            return None
        return min(FIRST_DELAY_S * 2.0 ** (total - 1), LONGEST_DELAY_S)

    def diagnosis(self, death: Death) -> str:
        """Why the run was stopped."""
        round, step, phase = death.place
        times = self.crashes[death.process, death.place]
        total = sum(self.crashes.values())
        where = f"round {round}, step {step}, phase {phase!r}"
        count = f"{times} times at {where}" if times >= SAME_PLACE else f"at {where}, crash {total} without a commit"
        return f"{process_name(death.process)} crashed {count}: {death.cause()}"
