"""Running statistics of inputs and of value targets, and the rescaling that keeps a network's function when they move.

Input statistics are frozen inside a round and merged at its end in float64, in (t, copy) order; the first layers are
rescaled so that the same raw input gives the same output. Value statistics do the same to output layers (van Hasselt et
al. 2016, "Learning values across many orders of magnitude").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

INPUT_STD_FLOOR = 1e-2
Array = NDArray[np.float64]


@dataclass
class InputNormaliser:
    """Mean and sum of squares ``[D]`` of all raw inputs so far (Chan et al. 1983 for the merge)."""

    count: float
    mean: Array
    squares: Array

    @classmethod
    def empty(cls, width: int) -> InputNormaliser:
        """Nothing seen: mean 0, deviation 1."""
        return cls(0.0, np.zeros(width), np.zeros(width))

    @property
    def std(self) -> Array:
        """Deviation ``[D]``, at least ``INPUT_STD_FLOOR``; 1 before anything was seen."""
        if self.count == 0:
            return np.ones_like(self.mean)
        return np.maximum(np.sqrt(self.squares / self.count), INPUT_STD_FLOOR)

    def merged(self, inputs: NDArray[np.float32], unseen: NDArray[np.bool_] | bool = False) -> InputNormaliser:
        """The statistics after a round's raw inputs ``[T, E, D]``; mean and deviation of ``unseen`` columns stay."""
        rows = inputs.reshape(-1, inputs.shape[-1]).astype(np.float64)
        mean = rows.mean(axis=0)
        squares = np.square(rows - mean).sum(axis=0)
        count = self.count + len(rows)
        shift = mean - self.mean
        new_mean = self.mean + shift * (len(rows) / count)
        new_squares = self.squares + squares + np.square(shift) * (self.count * len(rows) / count)
        old_squares = self.squares * (count / self.count) if self.count else np.full_like(squares, count)
        return InputNormaliser(count, np.where(unseen, self.mean, new_mean), np.where(unseen, old_squares, new_squares))


class FrozenInput:
    """An ``InputNormaliser`` ready to be applied: float32, clipped at ``limit`` deviations."""

    def __init__(self, normaliser: InputNormaliser, limit: float) -> None:
        self._mean = normaliser.mean.astype(np.float32)
        self._scale = (1.0 / normaliser.std).astype(np.float32)
        self._limit = np.float32(limit)

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalise raw inputs ``[..., D]``."""
        scaled: NDArray[np.float32] = (inputs - self._mean) * self._scale
        np.minimum(scaled, self._limit, out=scaled)
        np.maximum(scaled, -self._limit, out=scaled)
        return scaled


def rescale_first_layer(layer: torch.nn.Linear, old: InputNormaliser, new: InputNormaliser) -> None:
    """Change a first layer so that it gives, on inputs normalised anew, what it gave on those normalised before."""
    ratio = torch.from_numpy((new.std / old.std).astype(np.float32))
    shift = torch.from_numpy(((new.mean - old.mean) / old.std).astype(np.float32))
    with torch.no_grad():
        layer.bias.add_(layer.weight @ shift)
        layer.weight.mul_(ratio)


@dataclass
class ValueNormaliser:
    """Exponential mean and mean square of one critic's targets; the first rounds weigh equally."""

    rounds: int = 0
    mean: float = 0.0
    square: float = 1.0
    std_floor: float = 1e-2

    @property
    def std(self) -> float:
        """Deviation, at least the floor."""
        return max(float(np.sqrt(max(self.square - self.mean**2, 0.0))), self.std_floor)

    def moved(self, targets: NDArray[np.float64], weight: float) -> ValueNormaliser:
        """The statistics after a round's raw targets; the same ones after a round without any."""
        if not targets.size:
            return self
        weight = max(weight, 1.0 / (self.rounds + 1))
        mean = self.mean + weight * (float(targets.mean()) - self.mean)
        square = self.square + weight * (float(np.square(targets).mean()) - self.square)
        return ValueNormaliser(self.rounds + 1, mean, square, self.std_floor)


def rescale_last_layer(layer: torch.nn.Linear, old: ValueNormaliser, new: ValueNormaliser) -> None:
    """Change an output layer so that its denormalised values stay what they were."""
    with torch.no_grad():
        layer.weight *= old.std / new.std
        layer.bias.copy_((layer.bias * old.std + (old.mean - new.mean)) / new.std)
