"""The critics' regression: Huber losses on normalised targets, one network, optimiser and normaliser per critic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

HUBER_DELTA = 10.0


@dataclass(frozen=True)
class Regression:
    """A round's regression. ``inputs`` ``[B, D]``, ``targets`` ``[critics, B]`` normalised, ``weights`` ``[B]`` 1 or
    0."""

    inputs: Tensor
    targets: Tensor
    weights: Tensor

    def train(
        self,
        critics: Sequence[nn.Module],
        optimisers: Sequence[torch.optim.Optimizer],
        minibatches: Sequence[Sequence[Tensor]],
        gradient_norm: float,
    ) -> Iterator[None]:
        """``minibatches[epoch]`` are index tensors; yields after each."""
        for epoch in minibatches:
            for rows in epoch:
                seen, weight = self.inputs.index_select(0, rows), self.weights[rows]
                for index, (critic, optimiser) in enumerate(zip(critics, optimisers)):
                    error = huber(critic(seen).squeeze(-1), self.targets[index, rows])
                    loss = (error * weight).sum() / weight.sum().clamp(min=1.0)
                    optimiser.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    torch.nn.utils.clip_grad_norm_(critic.parameters(), gradient_norm)
                    optimiser.step()
                yield


def huber(value: Tensor, target: Tensor) -> Tensor:
    """e^2 / 2 for |e| <= 10, else 10 (|e| - 5), on both sides."""
    return torch.nn.functional.huber_loss(value, target, reduction="none", delta=HUBER_DELTA)


def explained_variance(predicted: NDArray[np.float64], returns: NDArray[np.float64]) -> float:
    """1 - Var(returns - predicted) / Var(returns); 0 where the returns do not vary."""
    spread = float(returns.var()) if returns.size else 0.0
    return 1.0 - float((returns - predicted).var()) / spread if spread > 1e-12 else 0.0
