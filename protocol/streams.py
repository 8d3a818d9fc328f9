"""Random streams: every draw is a pure function of the run's seed and of what it is for.

Rules of this file: no global generator, no clock, no state. A stream is made anew for each use, so a process that is
restarted, or that computes a step twice, draws the same numbers (reference: counter-based generators, Salmon et al.,
"Parallel random numbers: as easy as 1, 2, 3", SC 2011).
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is drawn for; one number per use, never reused."""

    INITIAL_WEIGHTS = 0
    ACTION_NOISE = 1
    POLICY_MINIBATCHES = 2
    CRITIC_MINIBATCHES = 3
    TURN_ORDER = 4
    EPISODE_RESET = 5
    EVALUATION = 6
    LINK_FAULTS = 7


_FIELDS = (("process", 16), ("round", 24), ("step", 18), ("purpose", 6))
MOST = {name: 1 << bits for name, bits in _FIELDS}
"""How many of each a stream's key can tell apart."""


def stream(seed: int, *, purpose: Purpose, process: int = 0, round: int = 0, step: int = 0) -> np.random.Generator:
    """A generator keyed by the run's seed and the packed (process, round, step, purpose).

    ``process`` is a process id (see ``protocol.keys``) or, for ``EPISODE_RESET``, the copy of the world; ``round`` is
    then the episode's number. For ``LINK_FAULTS`` ``round`` is the sender's life and ``step`` the receiver. Raises
    ``ValueError`` when a field does not fit its width.
    """
    packed = 0
    for (name, bits), value in zip(_FIELDS, (process, round, step, int(purpose))):
        if not 0 <= value < 1 << bits:
            raise ValueError(f"stream field {name}={value} does not fit {bits} bits")
        packed = packed << bits | value
    key = np.array([seed & 0xFFFF_FFFF_FFFF_FFFF, packed], dtype=np.uint64)
    philox = np.random.Philox(_UNUSED)
    philox.state = {**_FRESH, "state": {"counter": _START, "key": key}}
    return np.random.Generator(philox)


_UNUSED = np.random.SeedSequence(0)
"""``Philox(key=...)`` would ask the operating system for a seed, not use it, and take three times as long."""
_FRESH = np.random.Philox(_UNUSED).state
_START = np.zeros(4, np.uint64)
