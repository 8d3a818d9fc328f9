"""The folded corridor of the ant tasks: centre line, offset, and the one-sided cost. Pure NumPy.

Source: the Safe MAMuJoCo corridor (zigzag of 30 degrees, period 80 m), with two repairs: a straight lead-in, so that a
long body does not start in violation, and a one-sided cost, so that escaping through the wall is not rewarded.

``scale`` stretches lengths along and across alike, so that a long rigid body meets a similar figure: slopes stay.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SLOPE = float(np.tan(np.pi / 6))
HALF_WIDTH = 4.5
MARGIN = 1.8
FOLDS = (0.0, 20.0, 60.0, 100.0)
"""Where the centre line turns (m, at scale 1): straight before the first and after the last."""
PERIOD = 80.0
_HEIGHTS = (0.0, 20.0 * SLOPE, -20.0 * SLOPE, 20.0 * SLOPE)
LONGEST_ORIGINAL = 10
"""Segments up to which a rigid chain passes the folds of the original corridor; from then on it grows."""
SIMILAR_TO = 8
"""The chain whose figure in the original corridor the stretched ones repeat."""


def scale_for(segments: int) -> float:
    """By how much period and width grow with a chain of so many segments."""
    return 1.0 if segments <= LONGEST_ORIGINAL else segments / SIMILAR_TO


def centre_line(x: Array, scale: float = 1.0) -> Array:
    """y of the centre line at ``x`` (m), of the shape of ``x``; 0 before the first fold."""
    turns, heights = _corners(scale)
    y: Array = np.interp(x, turns, heights)
    return y


def offset(x: Array, y: Array, scale: float = 1.0) -> Array:
    """y - y_c(x) in metres: vertical, not perpendicular (times cos 30 degrees for that)."""
    return y - centre_line(x, scale)


def is_too_near(offset: Array, scale: float = 1.0) -> NDArray[np.bool_]:
    """Whether a point is within 1.8 m (scaled) of a wall or beyond it; on the edge of that band it is not."""
    near: NDArray[np.bool_] = np.abs(offset) > (HALF_WIDTH - MARGIN) * scale
    return near


@lru_cache(maxsize=16)
def _corners(scale: float) -> tuple[Array, Array]:
    return scale * np.array(FOLDS), scale * np.array(_HEIGHTS)
