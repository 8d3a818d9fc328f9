"""The networks of ``agents.networks`` as a user of PyTorch writes them, for the trainer that is measured against.

Same layers, widths, activations and first weights. They stand apart so that what makes the agents' own networks faster
is not given to the other side of the measurement, whose speed must not move with theirs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scalmarl.agents.networks import HIDDEN_GAIN, POLICY_GAIN, VALUE_GAIN

_LOG_2PI = math.log(2.0 * math.pi)


def perceptron(
    width: int, hidden: Sequence[int], out: int, last_gain: float, generator: torch.Generator
) -> nn.Sequential:
    """Linear and tanh layers with orthogonal weights and zero biases."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise([width, *hidden, out]):
        layers += [nn.Linear(fan_in, fan_out), nn.Tanh()]
    layers.pop()
    for layer in layers[::2]:
        gain = last_gain if layer is layers[-1] else HIDDEN_GAIN
        assert isinstance(layer, nn.Linear)
        nn.init.orthogonal_(layer.weight, gain, generator=generator)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


def critic(width: int, hidden: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """One value for an input."""
    return perceptron(width, hidden, 1, VALUE_GAIN, generator)


class Policy(nn.Module):
    """Mean from a perceptron, state-independent deviations; actions are not squashed."""

    def __init__(
        self, width: int, hidden: Sequence[int], actions: int, initial_std: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.mean = perceptron(width, hidden, actions, POLICY_GAIN, generator)
        self.log_std = nn.Parameter(torch.full((actions,), math.log(initial_std)))

    def sample(self, inputs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Actions ``[E, A]`` for inputs ``[E, D]``, and their log-probabilities ``[E]``."""
        mean = self.mean(inputs)
        actions = mean + self.log_std.exp() * torch.randn(mean.shape, generator=generator)
        return actions, self._density(mean, actions)

    def log_prob(self, inputs: Tensor, actions: Tensor) -> Tensor:
        """log pi(a | s) ``[B]``, summed over the action's entries."""
        return self._density(self.mean(inputs), actions)

    def _density(self, mean: Tensor, actions: Tensor) -> Tensor:
        noise = (actions - mean) / self.log_std.exp()
        return (-0.5 * noise.square() - self.log_std - 0.5 * _LOG_2PI).sum(-1)
