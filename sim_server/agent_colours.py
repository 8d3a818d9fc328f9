"""The agents' colours in pictures and films. Pure."""

from __future__ import annotations

import colorsys
from collections.abc import Collection

COST = (0.95, 0.04, 0.04)
"""The colour of an agent that costs; none has one like it of its own."""
ABSENT = (0.55, 0.55, 0.55)
"""The colour of an agent that takes no part."""
_FIRST_HUE, _HUES = 0.12, 0.76


def own_colour(agent: int, agents: int) -> tuple[float, float, float]:
    """From amber over green and blue to pink; neighbours in number differ in brightness too."""
    return colorsys.hsv_to_rgb(_FIRST_HUE + _HUES * agent / agents, 0.75, 0.85 if agent % 2 else 0.6)


def colours(agents: int, absent: Collection[int] = ()) -> list[tuple[float, float, float]]:
    """Of every agent: its own, or grey where it is absent."""
    return [ABSENT if agent in absent else own_colour(agent, agents) for agent in range(agents)]
