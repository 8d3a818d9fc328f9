"""What a robot of ``formation`` senses for itself: gaps to walls and to the nearest robot. Pure NumPy.

The corridor runs along x between two straight walls at y = +-W; every 8 m a half-round buttress juts out of either
wall, at the same x, and narrows it. A gap is between surfaces: of a ball of radius 0.2 m and of what it might touch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RADIUS = 0.2
"""Of a robot (m)."""
MARGIN = 0.25
"""A gap below which it costs (m)."""
SIGHT = 1.5
"""A gap beyond which nothing is sensed (m)."""
BAY = 8.0
"""From one narrowing to the next (m)."""
BUTTRESS = 0.8
"""How far a buttress juts out of its wall: its radius (m)."""
SIDE = 1.0
"""From the outermost lane to its wall (m)."""
REACH = SIGHT + 2.0 * RADIUS
"""Distance of two middles beyond which robots do not sense one another (m)."""


def half_width(lanes: int, lane: float) -> float:
    """W (m) for lanes ``lane`` apart; never so narrow that a robot could not pass with room to spare."""
    return max(lanes - 1, 1) * lane / 2 + SIDE


def in_bay(x: Array) -> Array:
    """x from the nearest narrowing, from -4 to 4 m."""
    place: Array = x - BAY * np.round(x / BAY)
    return place


def wall_gaps(x: Array, y: Array, half: float) -> tuple[Array, Array]:
    """Gaps to the left and the right wall, buttresses included (m); negative inside of them. Shapes as ``x``."""
    along = np.square(in_bay(x))
    gaps = []
    for across in (half - y, half + y):
        buttress = np.sqrt(along + np.square(across))
        buttress -= BUTTRESS
        gaps.append(np.minimum(across, buttress) - RADIUS)
    return gaps[0], gaps[1]


def nearest(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Of every robot ``[E, N]`` the nearest other one whose middle is less than ``REACH`` away: the distance of middles
    (``REACH`` where there is none), and by how much it is ahead and to the left (0 where there is none), in m.

    Robots are taken in the order of x and compared with the next one, the next but one and so on, until none of those
    is within reach along x. So the work is N times the robots that stand abreast within reach, not N squared.
    """
    order = np.argsort(x, axis=1, kind="stable")
    x, y = np.take_along_axis(x, order, axis=1), np.take_along_axis(y, order, axis=1)
    square, ahead, left = np.full(x.shape, REACH * REACH), np.zeros(x.shape), np.zeros(x.shape)
    for apart in range(1, x.shape[1]):
        one, other = np.s_[:, :-apart], np.s_[:, apart:]
        along = x[other] - x[one]
        if along.min() >= REACH:
            break
        across = y[other] - y[one]
        distance = np.square(along)
        distance += np.square(across)
        for whose, sign in ((one, 1.0), (other, -1.0)):
            found = np.nonzero(distance < square[whose])
            if len(found[0]):
                square[whose][found] = distance[found]
                ahead[whose][found] = sign * along[found]
                left[whose][found] = sign * across[found]
    unsorted = []
    for values in (np.sqrt(square), ahead, left):
        back = np.empty_like(values)
        np.put_along_axis(back, order, values, axis=1)
        unsorted.append(back)
    return unsorted[0], unsorted[1], unsorted[2]
