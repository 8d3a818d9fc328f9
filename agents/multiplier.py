"""The Lagrange multipliers: one per cost, raised while its estimate is above the limit, lowered to 0 while below.

The step is relative and bounded, because the plain rule lambda += rate * (J - c) winds up: it rises by hundreds in an
infeasible start and then falls fifty times slower (docs/decisions/0005-multiplier.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLES_PER_STEP = 4096
"""The rate is per so many samples of a round."""


def cost_estimate(costs: NDArray[np.floating], valid: NDArray[np.bool_], ended: int, horizon: int) -> float:
    """J: undiscounted cost per episode, from this round alone.

    ``costs`` and ``valid`` ``[T, E]``; ``ended`` episodes ended in the round. The round's sum over the number of
    episodes that it amounts to: those that ended, or steps / horizon where that is more.
    """
    episodes = max(float(ended), float(valid.sum()) / horizon)
    return float(costs[valid].astype(np.float64).sum()) / episodes if episodes > 0 else 0.0


def step(multiplier: float, estimate: float, limit: float, rate: float, samples: int, largest: float) -> float:
    """lambda <- clip(lambda + eta * clip((J - c) / max(c, 1), -1, 1), 0, lambda_max), eta = rate * samples / 4096."""
    eta = rate * samples / SAMPLES_PER_STEP
    push = min(1.0, max(-1.0, (estimate - limit) / max(limit, 1.0)))
    return min(largest, max(0.0, multiplier + eta * push))
