"""The folded corridor of the ant tasks: centre line, offset, and the one-sided cost. Pure NumPy.

Source: the Safe MAMuJoCo corridor (zigzag of 30 degrees, period 80 m), with two repairs: a straight lead-in, so that a
long body does not start in violation, and a one-sided cost, so that escaping through the wall is not rewarded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SLOPE = np.tan(np.pi / 6)
HALF_WIDTH = 4.5
MARGIN = 1.8
FOLDS = (0.0, 20.0, 60.0, 100.0)
"""Where the centre line turns: straight before the first and after the last."""
LONGEST_ORIGINAL = 10
"""Segments up to which a rigid chain passes the folds of the original corridor; from then on it grows."""


def scale_for(segments: int) -> float:
    """By how much period and width grow with a chain of so many segments (geometric similarity with 8)."""
    return 1.0 if segments <= LONGEST_ORIGINAL else segments / 8.0


def centre_line(x: Array, scale: float) -> Array:
    """y of the centre line at ``x`` (m)."""
    turns = scale * np.array(FOLDS)
    return np.interp(x, turns, turns[1] * SLOPE * np.array([0.0, 1.0, -1.0, 1.0]))


def offset(x: Array, y: Array, scale: float) -> Array:
    """y - y_c(x) in metres: vertical, not perpendicular."""
    return y - centre_line(x, scale)


def is_too_near(offset: Array, scale: float) -> NDArray[np.bool_]:
    """Whether a point is within 1.8 m (scaled) of a wall or beyond it."""
    return np.abs(offset) > (HALF_WIDTH - MARGIN) * scale
