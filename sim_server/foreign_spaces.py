"""Spaces of a world from outside, read by what they have and not by their class, so that any Gymnasium will do.

A ``Box`` has ``shape``, ``low`` and ``high``; a ``Discrete`` has ``n`` and perhaps ``start``. Nothing else is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Box:
    """Real numbers of a shape; ``low`` and ``high`` ``[size]``, infinite where there is no bound."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    low: Array
    high: Array

    @property
    def size(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)

    def entries(self, what: str) -> tuple[str, ...]:
        """A name for each number."""
        return tuple(f"{what} {', '.join(map(str, place))}".strip() for place in np.ndindex(*self.shape))

    def flatten(self, value: Any) -> Array:
        """``[size]``; raises ``ValueError`` for another shape or a number that is not finite."""
        array = np.asarray(value)
        if array.shape != self.shape:
            raise ValueError(f"has shape {array.shape}, not {self.shape}")
        if array.dtype.kind not in "fiub":
            raise ValueError(f"is of dtype {array.dtype}, which is no number")
        flat: Array = array.astype(np.float64).reshape(-1)
        if not np.isfinite(flat).all():
            raise ValueError("holds a number that is not finite")
        return flat

    def action(self, sent: NDArray[np.float32]) -> NDArray[Any]:
        """What a policy's output ``[size]`` means: -1 to 1 is stretched to the bounds, where all are finite, and what
        lies beyond a bound is clipped to it."""
        wanted = sent.astype(np.float64)
        if self.is_bounded:
            wanted = self.low + (wanted + 1.0) * 0.5 * (self.high - self.low)
        clipped = np.clip(wanted, self.low, self.high).reshape(self.shape)
        return np.rint(clipped).astype(self.dtype) if self.dtype.kind in "iu" else clipped.astype(self.dtype)

    @property
    def is_bounded(self) -> bool:
        """Whether every number has two bounds."""
        return bool(np.isfinite(self.low).all() and np.isfinite(self.high).all())


@dataclass(frozen=True)
class Discrete:
    """One of ``n`` numbers from ``start`` on."""

    n: int
    start: int

    @property
    def size(self) -> int:
        """As an observation: one entry per choice."""
        return self.n

    def entries(self, what: str) -> tuple[str, ...]:
        """A name for each choice."""
        return tuple(f"{what} is {self.start + choice}" for choice in range(self.n))

    def flatten(self, value: Any) -> Array:
        """One-hot ``[n]``; raises ``ValueError`` for what is none of the choices."""
        array = np.asarray(value)
        if array.shape != () or array.dtype.kind not in "iub":
            raise ValueError(f"is {value!r}, not a whole number")
        if not self.start <= int(array) < self.start + self.n:
            raise ValueError(f"is {int(array)}, not one of {self.start} to {self.start + self.n - 1}")
        flat: Array = np.zeros(self.n)
        flat[int(array) - self.start] = 1.0
        return flat

    def action(self, sent: NDArray[np.float32]) -> int:
        """The choice of a sent index ``[1]``."""
        return self.start + min(max(int(sent[0]), 0), self.n - 1)


def read_space(space: Any, what: str) -> Box | Discrete:
    """Raises ``ValueError`` that names ``what`` the space is of."""
    if hasattr(space, "n") and not isinstance(space.n, (Sequence, np.ndarray)):
        return Discrete(int(space.n), int(getattr(space, "start", 0)))
    if all(hasattr(space, name) for name in ("shape", "low", "high")):
        shape = tuple(int(length) for length in space.shape)
        low, high = (
            np.broadcast_to(np.asarray(bound, np.float64), shape).reshape(-1).copy()
            for bound in (space.low, space.high)
        )
        return Box(shape, np.dtype(getattr(space, "dtype", None) or np.float32), low, high)
    raise ValueError(
        f"{what} is {type(space).__name__}, which scalmarl does not take; make it a Box or a Discrete "
        f"(gymnasium.spaces.flatten_space makes a Box of most others)"
    )
