"""The folded corridor of the ant tasks: centre line, offset, and the cost of being near a wall. Pure NumPy.

Source: the Safe MAMuJoCo corridor (zigzag of 30 degrees, period 80 m). Two repairs, both undone by ``legacy``: a
straight lead-in, so that a long body does not start in violation, and a one-sided cost, so that escaping through the
wall is not rewarded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SLOPE = float(np.tan(np.pi / 6))
MARGIN = 1.8
"""Distance to a wall that costs (m, along y, at scale 1)."""
PERIOD = 80.0
FOLDS = (20.0, 60.0, 100.0)
"""Where the centre line turns (m, at scale 1); after the last it is straight."""
_FAR = 10_000.0
LONGEST_ORIGINAL = 10
"""Segments up to which a rigid chain passes the folds of the original corridor; from then on it grows."""
SIMILAR_TO = 8
"""The chain whose figure in the original corridor the stretched ones repeat."""


def scale_for(segments: int) -> float:
    """By how much period and width grow with a chain of so many segments."""
    return 1.0 if segments <= LONGEST_ORIGINAL else segments / SIMILAR_TO


@dataclass(frozen=True)
class Corridor:
    """Walls at ``half_width`` to either side of the centre line, along y; ``scale`` stretches all lengths alike, so
    that a long rigid body meets a similar figure: slopes stay."""

    half_width: float
    scale: float = 1.0
    legacy: bool = False

    @cached_property
    def corners(self) -> tuple[Array, Array]:
        """x and y of the centre line's turns, where it is followed from (m)."""
        before = (-_FAR, -_FAR * SLOPE) if self.legacy else (0.0, 0.0)
        x = np.array([before[0], *FOLDS])
        y = np.array([before[1], FOLDS[0] * SLOPE, -FOLDS[0] * SLOPE, FOLDS[0] * SLOPE])
        return self.scale * x, self.scale * y

    def centre_line(self, x: Array) -> Array:
        """y of the centre line at ``x`` (m), of the shape of ``x``."""
        y: Array = np.interp(x, *self.corners)
        return y

    def offset(self, x: Array, y: Array) -> Array:
        """y - y_c(x) in metres: vertical, not perpendicular (times cos 30 degrees for that)."""
        return y - self.centre_line(x)

    def is_too_near(self, offset: Array) -> NDArray[np.bool_]:
        """Whether a point is within 1.8 m (scaled) of a wall or beyond it; on the edge of that band it is not.
        ``legacy``: free again 1.8 m beyond the wall."""
        away = np.abs(offset)
        near: NDArray[np.bool_] = away > (self.half_width - MARGIN) * self.scale
        if self.legacy:
            near &= away < (self.half_width + MARGIN) * self.scale
        return near
