"""The networks of policies and critics over s_{N_kappa}: plain multilayer perceptrons with tanh."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

HIDDEN_GAIN = math.sqrt(2.0)
POLICY_GAIN = 0.01
VALUE_GAIN = 1.0


def perceptron(
    width: int, hidden: Sequence[int], out: int, last_gain: float, generator: torch.Generator
) -> nn.Sequential:
    """Linear and tanh layers with orthogonal weights (drawn from ``generator``) and zero biases."""
    sizes = [width, *hidden, out]
    layers: list[nn.Module] = []
    for index, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        layer = nn.Linear(fan_in, fan_out)
        last = index == len(sizes) - 2
        nn.init.orthogonal_(layer.weight, last_gain if last else HIDDEN_GAIN, generator=generator)
        nn.init.zeros_(layer.bias)
        layers += [layer] if last else [layer, Tanh()]
    return nn.Sequential(*layers)


class Tanh(nn.Module):
    """tanh by NumPy, as in acting: a fifth of the time of torch's, whose library is slow on some processors."""

    def forward(self, x: Tensor) -> Tensor:
        """tanh(x), of any shape; differentiable twice."""
        y: Tensor = _Tanh.apply(x)  # type: ignore[no-untyped-call]
        return y


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.from_numpy(np.tanh(x.detach().numpy()))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        passed_on: Tensor = torch.ops.aten.tanh_backward(gradient, y)
        return passed_on


class QuickNetwork:
    """A policy's network by NumPy, for acting: the same function to rounding, at a third of the calls' cost.

    Log-probabilities are always taken from the network itself, so nothing that is learned from depends on it.
    """

    def __init__(self, network: nn.Sequential) -> None:
        linear = [layer for layer in network if isinstance(layer, nn.Linear)]
        self._layers = [(layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy()) for layer in linear]

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs ``[E, out]`` for normalised inputs ``[E, D]``."""
        *hidden, (weight, bias) = self._layers
        for inner_weight, inner_bias in hidden:
            inputs = np.tanh(inputs @ inner_weight + inner_bias)
        outputs: NDArray[np.float32] = inputs @ weight + bias
        return outputs


def first_layer(network: nn.Sequential) -> nn.Linear:
    """The layer that reads the input."""
    layer = network[0]
    assert isinstance(layer, nn.Linear)
    return layer


def last_layer(network: nn.Sequential) -> nn.Linear:
    """The layer that gives the output."""
    layer = network[-1]
    assert isinstance(layer, nn.Linear)
    return layer
