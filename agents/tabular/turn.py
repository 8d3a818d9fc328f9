"""What one turn did, and steps along the line between two tables."""

from __future__ import annotations

from dataclasses import dataclass

from scalmarl.agents.tabular.games import Array
from scalmarl.agents.tabular.values import largest_divergence


@dataclass(frozen=True)
class Turn:
    """``tv`` and ``kl``: largest over states; ``gain``: what the variant's own bound promises for J, 0 if none."""

    agent: int
    tv: float
    kl: float
    gain: float


def toward(old: Array, new: Array, radius: float) -> Array:
    """The point furthest toward ``new`` on the line from ``old`` with Dmax <= ``radius``, by 40 bisections."""
    if largest_divergence(old, new) <= radius:
        return new
    if radius <= 0.0:
        return old
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        inside = largest_divergence(old, old + middle * (new - old)) <= radius
        low, high = (middle, high) if inside else (low, middle)
    return old + low * (new - old)
