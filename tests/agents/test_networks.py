"""Perceptrons and their tanh, and the network by NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from scalmarl.agents.networks import QuickNetwork, Tanh, first_layer, last_layer, perceptron


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear_layers(network: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in network if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("last_gain", [0.01, 1.0])
@pytest.mark.parametrize(("width", "hidden", "out"), [(7, (16, 16), 3), (40, (8,), 1), (5, (4, 12, 6), 4)])
def test_weights_are_orthogonal_with_their_gains_and_biases_0(
    width: int, hidden: tuple[int, ...], out: int, last_gain: float
) -> None:
    layers = linear_layers(perceptron(width, hidden, out, last_gain, seeded(0)))
    assert [(layer.in_features, layer.out_features) for layer in layers] == list(
        zip((width, *hidden), (*hidden, out), strict=True)
    )
    for layer in layers:
        gain = last_gain if layer is layers[-1] else math.sqrt(2.0)
        singular = torch.linalg.svdvals(layer.weight.detach().double())
        np.testing.assert_allclose(singular.numpy(), gain, rtol=1e-5)
        assert not layer.bias.any()


def test_hidden_layers_are_tanh_and_the_output_is_linear() -> None:
    network = perceptron(3, (4,), 2, 1.0, seeded(1))
    inputs = torch.randn(6, 3, generator=seeded(2))
    one, two = linear_layers(network)
    expected = torch.tanh(inputs @ one.weight.T + one.bias) @ two.weight.T + two.bias
    torch.testing.assert_close(network(inputs), expected)
    assert first_layer(network) is one
    assert last_layer(network) is two


def test_tanh_is_differentiable_twice() -> None:
    x = torch.randn(5, 3, generator=seeded(3), dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(Tanh()(x), torch.tanh(x))
    assert torch.autograd.gradcheck(Tanh(), x)
    assert torch.autograd.gradgradcheck(Tanh(), x)


def test_the_quick_network_is_the_network_to_rounding() -> None:
    network = perceptron(75, (64, 64), 4, 0.01, seeded(3))
    inputs = torch.randn(50, 75, generator=seeded(5))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=seeded(4)))
        wanted = network(inputs).numpy()
    assert np.abs(wanted).max() > 0.5
    np.testing.assert_allclose(QuickNetwork(network)(inputs.numpy()), wanted, atol=2e-5)
