"""The policies pi(a | s_{N_kappa}) that an agent may have, behind one interface: Gaussian and categorical.

A turn reads only ``Policy`` and ``Distribution``; which one an agent has is a fact of its task
(``TaskSpec.action_choices``).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scalmarl.agents.networks import POLICY_GAIN, QuickNetwork, perceptron

_LOG_2PI = math.log(2.0 * math.pi)

Act = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]
"""Normalised inputs ``[E, D]`` and a stream -> actions ``[E, A]``."""
Decide = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Normalised inputs ``[E, D]`` -> actions ``[E, A]``, without chance."""


class Distribution(Protocol):
    """pi(. | s_{N_kappa}) of every sample of a batch ``[B]``."""

    def log_prob(self, actions: Tensor) -> Tensor:
        """log pi(a | s), ``[B]``, of the actions ``[B, A]`` as they travel."""

    def kl_divergence(self, new: Self) -> Tensor:
        """KL(self || new), ``[B]``, in double precision; differentiable twice.

        Beside terms of size 1, float32 would lose the square of a shift below 3e-4, and a step that moved would seem
        not to have moved."""

    def entropy(self) -> Tensor:
        """In nats, ``[B]``; of a Gaussian the differential entropy."""


class Policy(nn.Module, ABC):
    """What learner and turns know of a policy."""

    @property
    @abstractmethod
    def network(self) -> nn.Sequential:
        """What reads s_{N_kappa}."""

    @abstractmethod
    def forward(self, inputs: Tensor) -> Distribution:
        """The distributions at normalised inputs ``[B, D]``."""

    @abstractmethod
    def acting(self) -> Act:
        """The policy as it now is, by NumPy: the same function to rounding, at a third of the calls' cost.

        A step takes equally many random numbers from its stream whatever it draws."""

    @abstractmethod
    def deciding(self) -> Decide:
        """The same policy without its chance: the mean, or the likeliest choice (of equals the first)."""

    @abstractmethod
    def mean_std(self) -> float | None:
        """Mean deviation of the action's entries, where they have one."""


class Gaussian(NamedTuple):
    """Diagonal: ``mean`` ``[B, A]``, ``std`` ``[A]``."""

    mean: Tensor
    std: Tensor

    def log_prob(self, actions: Tensor) -> Tensor:
        """Summed over the action's entries: the joint ratio of the theory, not one per entry."""
        return (-0.5 * ((actions - self.mean) / self.std).square() - self.std.log() - 0.5 * _LOG_2PI).sum(-1)

    def kl_divergence(self, new: Gaussian) -> Tensor:
        """0.5 sum (r + ((mu - mu') / sigma')^2 - 1 - log r), with r = (sigma / sigma')^2."""
        old_mean, old_std, mean, std = (tensor.double() for tensor in (*self, *new))
        ratio = (old_std / std).square()
        return 0.5 * (ratio + ((old_mean - mean) / std).square() - 1.0 - ratio.log()).sum(-1)

    def entropy(self) -> Tensor:
        """The same at every sample."""
        return (self.std.log() + 0.5 * (1.0 + _LOG_2PI)).sum().expand(len(self.mean))


class GaussianPolicy(Policy):
    """For an action of real numbers: mean from a perceptron, state-independent deviations. Actions are not squashed."""

    def __init__(
        self, width: int, hidden: Sequence[int], actions: int, initial_std: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.mean = perceptron(width, hidden, actions, POLICY_GAIN, generator)
        self.log_std = nn.Parameter(torch.full((actions,), math.log(initial_std)))

    @property
    def network(self) -> nn.Sequential:
        """Of the mean."""
        return self.mean

    def forward(self, inputs: Tensor) -> Gaussian:
        """See ``Policy``."""
        return Gaussian(self.mean(inputs), self.log_std.exp())

    def acting(self) -> Act:
        """Mean plus deviation times standard normal noise."""
        quick = QuickNetwork(self.mean)
        std: NDArray[np.float32] = self.log_std.detach().exp().numpy()

        def act(inputs: NDArray[np.float32], draw: np.random.Generator) -> NDArray[np.float32]:
            mean = quick(inputs)
            action: NDArray[np.float32] = mean + std * draw.standard_normal(mean.shape, dtype=np.float32)
            return action

        return act

    def deciding(self) -> Decide:
        """The mean."""
        return QuickNetwork(self.mean)

    def mean_std(self) -> float | None:
        """See ``Policy``."""
        return float(self.log_std.detach().exp().mean())


class Categorical(NamedTuple):
    """Over n choices: unnormalised ``logits`` ``[B, n]``. An action is its choice's index, as one number."""

    logits: Tensor

    def log_prob(self, actions: Tensor) -> Tensor:
        """See ``Distribution``."""
        return self.logits.log_softmax(-1).gather(-1, actions.long()).squeeze(-1)

    def kl_divergence(self, new: Categorical) -> Tensor:
        """sum p (q / p - 1 - log(q / p)): as sum p log(p / q), because both p and q sum to 1, but no term is negative,
        so the short step's KL is not a difference of larger numbers."""
        old, changed = (tensor.double().log_softmax(-1) for tensor in (self.logits, new.logits))
        log_ratio = changed - old
        return (old.exp() * (log_ratio.expm1() - log_ratio)).sum(-1)

    def entropy(self) -> Tensor:
        """-sum p log p."""
        log_p = self.logits.log_softmax(-1)
        return -(log_p.exp() * log_p).sum(-1)


class CategoricalPolicy(Policy):
    """For an action that is one of n choices: their logits from a perceptron; nearly uniform at first."""

    def __init__(self, width: int, hidden: Sequence[int], choices: int, generator: torch.Generator) -> None:
        super().__init__()
        self.logits = perceptron(width, hidden, choices, POLICY_GAIN, generator)

    @property
    def network(self) -> nn.Sequential:
        """Of the logits."""
        return self.logits

    def forward(self, inputs: Tensor) -> Categorical:
        """See ``Policy``."""
        return Categorical(self.logits(inputs))

    def acting(self) -> Act:
        """The first choice whose cumulated weight exceeds u times the whole, with one uniform u per row.

        By inverse distribution function, because it takes one number whatever n is, and sums a row in one order; the
        Gumbel trick takes n, and two logarithms of each."""
        quick = QuickNetwork(self.logits)

        def act(inputs: NDArray[np.float32], draw: np.random.Generator) -> NDArray[np.float32]:
            logits = quick(inputs).astype(np.float64)
            weights = np.exp(logits - logits.max(axis=-1, keepdims=True)).cumsum(axis=-1)
            threshold = draw.random(len(weights)) * weights[:, -1]
            # Without the last column: it is what remains, so rounding leads to no choice beyond it.
            passed = weights[:, :-1] <= threshold[:, None]
            choice: NDArray[np.float32] = passed.sum(axis=-1, keepdims=True, dtype=np.float32)
            return choice

        return act

    def deciding(self) -> Decide:
        """The choice with the largest logit."""
        quick = QuickNetwork(self.logits)

        def decide(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
            choice: NDArray[np.float32] = quick(inputs).argmax(axis=-1, keepdims=True).astype(np.float32)
            return choice

        return decide

    def mean_std(self) -> float | None:
        """See ``Policy``."""
        return None
