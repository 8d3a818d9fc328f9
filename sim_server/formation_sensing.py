"""What a robot of ``formation`` senses for itself: gaps to walls and to the nearest robot. Pure NumPy.

The corridor runs along x between two straight walls at y = +-W; every 8 m a half-round buttress juts out of either
wall, at the same x, and narrows it. A gap is between surfaces: of a ball of radius 0.2 m and of what it might touch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Places = NDArray[np.complex128]

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
FEW = 16
"""Robots up to which it is quickest to compare all with all."""
REACH = SIGHT + 2.0 * RADIUS
"""Distance of two middles beyond which robots do not sense one another (m)."""


def half_width(lanes: int, lane: float) -> float:
    """W (m) for lanes ``lane`` apart; never so narrow that a robot could not pass with room to spare."""
    return max(lanes - 1, 1) * lane / 2 + SIDE


def in_bay(x: Array) -> Array:
    """x from the nearest narrowing, from -4 to 4 m."""
    place: Array = x - BAY * np.round(x / BAY)
    return place


def wall_gaps(x: Array, y: Array, half: float) -> Array:
    """``[2, ...]`` gaps to the left and the right wall, buttresses included (m); negative inside of them."""
    across = np.stack([half - y, half + y])
    gaps: Array = np.square(across)
    gaps += np.square(in_bay(x))
    np.sqrt(gaps, out=gaps)
    gaps -= BUTTRESS
    np.minimum(gaps, across, out=gaps)
    gaps -= RADIUS
    return gaps


def nearest(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Of every robot ``[E, N]`` the nearest other one whose middle is less than ``REACH`` away: the distance of middles
    (``REACH`` where there is none), and by how much it is ahead and to the left (0 where there is none), in m."""
    # ahead + i left
    place = x + 1j * y
    square, toward = _among_few(place) if x.shape[1] <= FEW else _along_the_corridor(place)
    return np.sqrt(square), toward.real, toward.imag


def _among_few(place: Places) -> tuple[Array, Places]:
    """Square of the distance to the nearest robot, and the way to it: all against all, which for few is quickest."""
    robots = np.arange(place.shape[1])
    step = place[:, None, :] - place[:, :, None]
    distance = np.square(step.real)
    distance += np.square(step.imag)
    distance[:, robots, robots] = np.inf
    which = distance.argmin(axis=2)
    which += np.arange(0, distance.size, len(robots)).reshape(place.shape)
    square = distance.reshape(-1)[which]
    toward = step.reshape(-1)[which]
    nobody = square >= REACH * REACH
    square[nobody], toward[nobody] = REACH * REACH, 0.0
    return square, toward


def _along_the_corridor(place: Places) -> tuple[Array, Places]:
    """The same for many. Robots are taken in the order of x and compared with the next one, the next but one and so on,
    until none of those is within reach along x. So the work is N times the robots that stand abreast within reach, not
    N squared."""
    robots = place.shape[1]
    order = np.argsort(place.real, axis=1, kind="stable")
    order += np.arange(0, place.size, robots)[:, None]
    place = place.reshape(-1)[order]
    square, toward = np.full(place.size, REACH * REACH), np.zeros(place.size, np.complex128)
    for apart in range(1, robots):
        step = place[:, apart:] - place[:, :-apart]
        if step.real.min() >= REACH:
            break
        distance = np.square(step.real)
        distance += np.square(step.imag)
        met = np.flatnonzero(distance < REACH * REACH)
        if not len(met):
            continue
        step, distance = step.reshape(-1)[met], distance.reshape(-1)[met]
        # Row by row, ``apart`` robots have nobody so far ahead of them.
        one = met + apart * (met // (robots - apart))
        for whose, other in ((one, step), (one + apart, -step)):
            nearer = distance < square[whose]
            square[whose[nearer]], toward[whose[nearer]] = distance[nearer], other[nearer]
    found, where = np.empty(place.shape), np.empty_like(place)
    found.reshape(-1)[order.reshape(-1)] = square
    where.reshape(-1)[order.reshape(-1)] = toward
    return found, where
