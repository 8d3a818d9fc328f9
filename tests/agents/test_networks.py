"""Perceptrons, the Gaussian policy, and its formulas against torch.distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal
from torch.distributions import kl_divergence as kl_oracle

from scalmarl.agents.networks import (
    GaussianPolicy,
    QuickMean,
    Tanh,
    first_layer,
    kl_divergence,
    last_layer,
    log_prob,
    perceptron,
)


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


def test_the_same_seed_gives_the_same_weights_and_the_global_generator_is_not_read() -> None:
    def weights(seed: int, shadow: int) -> list[bytes]:
        torch.manual_seed(shadow)
        policy = GaussianPolicy(6, (8, 8), 3, 0.25, seeded(seed))
        return [tensor.numpy().tobytes() for tensor in policy.state_dict().values()]

    assert weights(5, 0) == weights(5, 1)
    assert weights(5, 0) != weights(6, 0)


def test_a_new_policy_acts_near_0_with_the_initial_deviation() -> None:
    policy = GaussianPolicy(6, (64, 64), 3, 0.25, seeded(0))
    with torch.no_grad():
        mean, std = policy(torch.randn(100, 6, generator=seeded(1)))
    assert mean.shape == (100, 3)
    assert 0.0 < float(mean.abs().max()) < 0.15
    np.testing.assert_allclose(std.numpy(), [0.25] * 3, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_log_prob_and_kl_are_those_of_torch_distributions(seed: int) -> None:
    draw = seeded(seed)
    means = torch.randn(2, 20, 4, generator=draw, dtype=torch.float64)
    stds = torch.rand(2, 4, generator=draw, dtype=torch.float64) + 0.05
    actions = torch.randn(20, 4, generator=draw, dtype=torch.float64)
    old, new = (Independent(Normal(mean, std.expand_as(mean)), 1) for mean, std in zip(means, stds))
    torch.testing.assert_close(log_prob(means[0], stds[0], actions), old.log_prob(actions))
    torch.testing.assert_close(kl_divergence(means[0], stds[0], means[1], stds[1]), kl_oracle(old, new))


def test_closed_forms_of_log_prob_and_kl() -> None:
    zero, one = torch.zeros(1, 2), torch.ones(2)
    assert float(log_prob(zero, one, zero)) == pytest.approx(-math.log(2 * math.pi))
    assert float(log_prob(zero, 2 * one, 2 * torch.ones(1, 2))) == pytest.approx(-math.log(8 * math.pi) - 1.0)
    assert float(kl_divergence(zero, one, zero, one)) == 0.0
    assert float(kl_divergence(zero, one, torch.tensor([[3.0, 0.0]]), one)) == pytest.approx(4.5)
    assert float(kl_divergence(zero, one, zero, 2 * one)) == pytest.approx(2 * (math.log(2.0) + 0.125 - 0.5))


@pytest.mark.parametrize("shift", [1e-5, 1e-4, 2e-4])
def test_the_kl_of_a_short_step_is_not_lost_in_rounding(shift: float) -> None:
    zero, half = torch.zeros(1, 1), torch.full((1,), 0.5)
    assert float(kl_divergence(zero, half, zero + shift, half)) == pytest.approx(2 * shift**2, rel=1e-3)


def test_quick_mean_is_the_networks_mean_to_rounding() -> None:
    policy = GaussianPolicy(75, (64, 64), 4, 0.25, seeded(3))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=seeded(4)))
    inputs = torch.randn(50, 75, generator=seeded(5))
    with torch.no_grad():
        wanted = policy.mean(inputs).numpy()
    quick = QuickMean(policy.mean)(inputs.numpy())
    assert np.abs(wanted).max() > 0.5
    np.testing.assert_allclose(quick, wanted, atol=2e-5)
