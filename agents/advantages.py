"""Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438), with termination and truncation apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def gae(
    rewards: NDArray[np.floating],
    values: NDArray[np.floating],
    terminated: NDArray[np.bool_],
    done: NDArray[np.bool_],
    gamma: float,
    lambda_: float,
) -> Array:
    """Advantages ``[T, E]`` of rewards (or costs) ``[T, E]`` under values ``[T+1, E]``.

    ``terminated`` and ``done`` ``[T+1, E]`` are the flags of observation t: a terminated state is worth nothing, a
    truncated one is worth its value; no advantage flows back over the end of an episode. Samples taken in a finished
    episode (``done[t]``, next-step reset) get 0.
    """
    steps = rewards.shape[0]
    advantages = np.zeros(rewards.shape)
    following = np.zeros(rewards.shape[1])
    values = values.astype(np.float64)
    for t in reversed(range(steps)):
        worth = np.where(terminated[t + 1], 0.0, values[t + 1])
        delta = rewards[t] + gamma * worth - values[t]
        following = delta + gamma * lambda_ * np.where(done[t + 1], 0.0, following)
        following = np.where(done[t], 0.0, following)
        advantages[t] = following
    return advantages


def standardise(x: NDArray[np.floating], valid: NDArray[np.bool_], std_floor: float = 1e-8) -> Array:
    """Centre and scale by the valid entries' mean and deviation (at least ``std_floor``); 0 where not valid."""
    kept = x[valid].astype(np.float64)
    if kept.size == 0:
        return np.zeros(x.shape)
    scaled = (x - kept.mean()) / max(float(kept.std()), std_floor)
    return np.where(valid, scaled, 0.0)
