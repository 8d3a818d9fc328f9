"""One turn of the policy: PPO-clip on the mixed advantage, really bounded by the radius.

Reading order follows the algorithm: mix what the neighbourhood published into one advantage (Eq. 18, repaired:
neighbours' rewards and costs count), multiply by the predecessors' ratios, take clipped steps (Eq. 20),
and go back when the mean KL leaves the radius.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalmarl.agents.advantages import standardise
from scalmarl.agents.networks import GaussianPolicy, kl_divergence, log_prob
from scalmarl.agents.settings import LearnerSettings

BISECTIONS = 4
Array = NDArray[np.float64]


def mixed_advantage(
    rewards: Sequence[NDArray[np.floating]],
    costs: Sequence[tuple[float, NDArray[np.floating]]],
    valid: NDArray[np.bool_],
    cost_std_floor: float,
) -> Array:
    """(sum A_r - sum lambda A_c) / (1 + sum lambda), standardised; ``[T, E]``, 0 where not valid.

    ``rewards``: the neighbourhood's raw reward advantages, summed and then standardised; ``costs``: (lambda, raw cost
    advantage) pairs, each centred and divided by its deviation or the floor: a cost that is almost always zero must not
    become a full-size signal.
    """
    total = standardise(np.sum([a.astype(np.float64) for a in rewards], axis=0), valid)
    weight = 1.0
    for multiplier, advantage in costs:
        if multiplier > 0.0:
            total = total - multiplier * standardise(advantage, valid, cost_std_floor)
            weight += multiplier
    return standardise(total / weight, valid)


def predecessor_factor(log_ratios: Sequence[NDArray[np.floating]], limit: float, samples: int) -> Array:
    """Product of the predecessors' ratios inside kappa hops, ``[B]``; its logarithm is clamped to +-``limit``."""
    total = np.zeros(samples)
    for log_ratio in log_ratios:
        total = total + log_ratio.astype(np.float64)
    return np.exp(np.clip(total, -limit, limit))


@dataclass(frozen=True)
class Batch:
    """A round's samples, flat ``[B, ...]``; ``weights`` 1 where valid, else 0."""

    inputs: Tensor
    actions: Tensor
    weights: Tensor


@dataclass
class Outcome:
    """What a turn did. ``log_ratio`` ``[B]`` of the sampled actions, exactly 0 for an agent that did not move."""

    log_ratio: Tensor
    kl_mean: float
    kl_max: float
    epochs: int
    bound: str
    clip_fraction: float


class PolicyTurn:
    """The update of one policy in one turn."""

    def __init__(
        self, policy: GaussianPolicy, optimiser: torch.optim.Optimizer, batch: Batch, settings: LearnerSettings
    ) -> None:
        self._policy, self._optimiser, self._batch, self._settings = policy, optimiser, batch, settings
        with torch.no_grad():
            mean, std = policy(batch.inputs)
            self._old_mean, self._old_std = mean.clone(), std.clone()
            self._old_log_prob = log_prob(mean, std, batch.actions)
        self._clipped = [0.0, 0.0]
        self._bound, self._epochs = "epochs", 0

    def improve(self, advantage: Tensor, radius: float, minibatches: Sequence[Sequence[Tensor]]) -> Iterator[None]:
        """Clipped steps on ``advantage`` ``[B]`` (factor included), epoch by epoch; yields after each minibatch.

        ``minibatches[epoch]`` are index tensors. After an epoch whose mean KL over the full batch leaves the radius,
        the policy goes back to the last accepted epoch, or to the nearest of four bisections towards the new one.
        """
        accepted = self._state()
        for epoch in minibatches:
            for rows in epoch:
                self._step(rows, advantage)
                yield
            if not self._kl().mean <= radius:
                self._bound = "kl_max"
                self._go_back(accepted, radius)
                return
            accepted = self._state()
            self._epochs += 1

    def outcome(self) -> Outcome:
        """Measured on the full batch with the policy as it now is."""
        with torch.no_grad():
            mean, std = self._policy(self._batch.inputs)
            log_ratio = (log_prob(mean, std, self._batch.actions) - self._old_log_prob) * self._batch.weights
        kl = self._kl()
        clipped = self._clipped[0] / self._clipped[1] if self._clipped[1] else 0.0
        return Outcome(log_ratio, kl.mean, kl.largest, self._epochs, self._bound, clipped)

    def _step(self, rows: Tensor, advantage: Tensor) -> None:
        batch, clip = self._batch, self._settings.clip
        weights = batch.weights[rows]
        mean, std = self._policy(batch.inputs[rows])
        ratio = (log_prob(mean, std, batch.actions[rows]) - self._old_log_prob[rows]).exp()
        gain = torch.minimum(ratio * advantage[rows], ratio.clamp(1.0 - clip, 1.0 + clip) * advantage[rows])
        loss = -(gain * weights).sum() / weights.sum().clamp(min=1.0)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._policy.parameters(), self._settings.gradient_norm)
        self._optimiser.step()
        outside = ((ratio.detach() - 1.0).abs() > clip).float()
        self._clipped[0] += float((outside * weights).sum())
        self._clipped[1] += float(weights.sum())

    def _kl(self) -> _Kl:
        with torch.no_grad():
            mean, std = self._policy(self._batch.inputs)
            kl = kl_divergence(self._old_mean, self._old_std, mean, std) * self._batch.weights
        return _Kl(float(kl.double().sum() / self._batch.weights.sum().clamp(min=1.0)), float(kl.max()))

    def _go_back(self, accepted: tuple[list[Tensor], dict[str, Any]], radius: float) -> None:
        start, optimiser_state = accepted
        parameters = list(self._policy.parameters())
        reached = [parameter.detach().clone() for parameter in parameters]
        self._optimiser.load_state_dict(optimiser_state)
        for bisection in range(1, BISECTIONS + 1):
            with torch.no_grad():
                for parameter, a, b in zip(parameters, start, reached):
                    parameter.copy_(torch.lerp(a, b, 0.5**bisection))
            if self._kl().mean <= radius:
                return
        with torch.no_grad():
            for parameter, a in zip(parameters, start):
                parameter.copy_(a)

    def _state(self) -> tuple[list[Tensor], dict[str, Any]]:
        parameters = [parameter.detach().clone() for parameter in self._policy.parameters()]
        return parameters, copy.deepcopy(self._optimiser.state_dict())


@dataclass(frozen=True)
class _Kl:
    mean: float
    largest: float
