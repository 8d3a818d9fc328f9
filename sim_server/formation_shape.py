"""The shapes that ``formation`` travels in: who stands where, and who is whose neighbour. Pure.

Rows stand 2 m apart along the corridor, lanes 1 m apart across it, the first row in front at x = -1. So no robot stands
in one of the narrowings, which are at multiples of 8 m, whatever the number of robots.
"""

from __future__ import annotations

import math
import re

ROW = 2.0
"""Between rows, along the corridor (m)."""
LANE = 1.0
"""Between lanes, across the corridor (m)."""
FRONT = -1.0
"""x of the first row (m)."""
SHAPES = ("path", "ring", "grid")
FEWEST, MOST = 2, 256

Place = tuple[float, float]
Edges = tuple[tuple[int, int], ...]


def agents_of(partition: str) -> int | None:
    """The number of robots of ``RxC``, R abreast in C rows; ``None``: the shape takes any number. Raises
    ``ValueError``."""
    if partition in SHAPES:
        return None
    match = re.fullmatch(r"([1-9]\d{0,40})x([1-9]\d{0,40})", partition, re.ASCII)
    if match is None:
        raise ValueError(
            f"formation has no partition {partition!r}; choose path, ring or grid with any number of agents, or write "
            "RxC, R robots abreast in C rows, as in 4x6"
        )
    agents = int(match[1]) * int(match[2])
    check_number(agents)
    return agents


def check_number(agents: int, partition: str = "path") -> None:
    """Raises ``ValueError`` for a number of robots that a shape does not take."""
    if agents > MOST:
        raise ValueError(f"formation with {agents} agents; give at most {MOST}")
    if agents < FEWEST:
        raise ValueError(f"formation with {agents} agent; give at least {FEWEST}, one robot is no formation")
    if partition == "ring" and agents < 3:
        raise ValueError(f"a ring of {agents} agents; give at least 3, or choose formation:path")


def abreast(partition: str, agents: int) -> int:
    """Lanes: two of a path and of a ring; of a grid the root of the number, so that it is as square as it goes; the
    last row may be short."""
    if partition in ("path", "ring"):
        return 2
    return math.isqrt(agents) if partition == "grid" else int(partition.partition("x")[0])


def places(partition: str, agents: int) -> tuple[Place, ...]:
    """(x, y) of every robot in its place (m), y to the left of the direction of travel.

    A path is a zigzag, one robot a row, the lanes in turn. A ring goes back along the left lane and returns along the
    right one. A grid is counted row by row, from left to right.
    """
    lanes = abreast(partition, agents)
    left = LANE * (lanes - 1) / 2
    if partition == "path":
        spots = [(agent, agent % 2) for agent in range(agents)]
    elif partition == "ring":
        back = (agents + 1) // 2
        spots = [(agent, 0) if agent < back else (agents - 1 - agent, 1) for agent in range(agents)]
    else:
        spots = [divmod(agent, lanes) for agent in range(agents)]
    return tuple((FRONT - ROW * row, left - LANE * lane) for row, lane in spots)


def edges(partition: str, agents: int) -> Edges:
    """The graph: pairs of neighbours, each with the smaller number first, ascending."""
    if partition in ("path", "ring"):
        pairs = [(agent, agent + 1) for agent in range(agents - 1)]
        return tuple(sorted([*pairs, (0, agents - 1)] if partition == "ring" else pairs))
    lanes = abreast(partition, agents)
    beside = [(a, a + 1) for a in range(agents - 1) if (a + 1) % lanes]
    behind = [(a, a + lanes) for a in range(agents - lanes)]
    return tuple(sorted([*beside, *behind]))
