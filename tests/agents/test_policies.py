"""Both policies against torch.distributions, by hand, and by counting what they draw."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import chi2
from torch import Tensor
from torch.distributions import Categorical as CategoricalOracle
from torch.distributions import Independent, Normal
from torch.distributions import kl_divergence as kl_oracle

from scalmarl.agents.networks import last_layer
from scalmarl.agents.policies import Categorical, CategoricalPolicy, Distribution, Gaussian, GaussianPolicy, Policy
from scalmarl.protocol.streams import Purpose, stream

WIDTH = 6
MAKE: dict[str, Callable[[torch.Generator], Policy]] = {
    "gaussian": lambda draw: GaussianPolicy(WIDTH, (8, 8), 3, 0.25, draw),
    "categorical": lambda draw: CategoricalPolicy(WIDTH, (8, 8), 5, draw),
}
both = pytest.mark.parametrize("kind", MAKE)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_of(step: int) -> np.random.Generator:
    return stream(3, purpose=Purpose.ACTION_NOISE, process=1, round=2, step=step)


def drawn(policy: Policy, inputs: Tensor, step: int = 0) -> NDArray[np.float32]:
    return policy.acting()(inputs.numpy(), noise_of(step))


def with_logits(*logits: float) -> CategoricalPolicy:
    """That has these whatever it sees."""
    policy = CategoricalPolicy(WIDTH, (4,), len(logits), seeded(0))
    with torch.no_grad():
        last_layer(policy.logits).weight.zero_()
        last_layer(policy.logits).bias.copy_(torch.tensor(logits))
    return policy


# ---- what both are ----


@both
def test_the_same_seed_gives_the_same_weights_and_the_global_generator_is_not_read(kind: str) -> None:
    def weights(seed: int, shadow: int) -> list[bytes]:
        torch.manual_seed(shadow)
        return [tensor.numpy().tobytes() for tensor in MAKE[kind](seeded(seed)).state_dict().values()]

    assert weights(5, 0) == weights(5, 1)
    assert weights(5, 0) != weights(6, 0)


@both
def test_actions_are_a_function_of_stream_and_policy(kind: str) -> None:
    inputs = torch.randn(40, WIDTH, generator=seeded(1))
    one, two = MAKE[kind](seeded(0)), MAKE[kind](seeded(0))
    np.random.seed(1)
    first = drawn(one, inputs)
    np.random.seed(2)
    assert first.dtype == np.float32
    assert first.flags.c_contiguous
    assert drawn(two, inputs).tobytes() == first.tobytes()
    assert drawn(one, inputs, step=1).tobytes() != first.tobytes()


@both
def test_a_step_takes_equally_many_random_numbers_whatever_it_draws(kind: str) -> None:
    policy, after = MAKE[kind](seeded(0)), []
    for scale in (0.0, 1.0, 100.0):
        draw = noise_of(0)
        policy.acting()((scale * torch.randn(40, WIDTH, generator=seeded(1))).numpy(), draw)
        after.append(draw.random())
    assert len(set(after)) == 1


@both
def test_a_policy_that_did_not_move_has_a_kl_of_exactly_0_without_a_slope(kind: str) -> None:
    policy, inputs = MAKE[kind](seeded(0)), torch.randn(20, WIDTH, generator=seeded(1))
    with torch.no_grad():
        old: Distribution = policy(inputs)
    kl = old.kl_divergence(policy(inputs))
    assert kl.dtype == torch.float64
    assert kl.detach().numpy().tobytes() == bytes(8 * 20)
    for slope in torch.autograd.grad(kl.sum(), list(policy.parameters())):
        assert float(slope.abs().max()) < 1e-7


# ---- Gaussian ----


def test_without_chance_it_is_the_mean_or_the_likeliest_choice() -> None:
    inputs = torch.randn(50, WIDTH, generator=seeded(4))
    pushes, chooses = (make(seeded(5)) for make in MAKE.values())
    assert isinstance(pushes, GaussianPolicy)
    assert isinstance(chooses, CategoricalPolicy)
    mean = pushes.deciding()(inputs.numpy())
    np.testing.assert_allclose(mean, pushes(inputs).mean.detach().numpy(), rtol=1e-5, atol=1e-7)
    choice = chooses.deciding()(inputs.numpy())
    assert (choice.shape, choice.dtype) == ((50, 1), np.float32)
    np.testing.assert_array_equal(choice[:, 0], chooses(inputs).logits.argmax(-1).numpy())
    assert len(np.unique(choice)) > 1
    last_layer(chooses.network).weight.data.zero_()
    np.testing.assert_array_equal(chooses.deciding()(inputs.numpy()), 0.0)


def test_a_new_gaussian_policy_acts_near_0_with_the_initial_deviation() -> None:
    policy = GaussianPolicy(WIDTH, (64, 64), 3, 0.25, seeded(0))
    with torch.no_grad():
        mean, std = policy(torch.randn(100, WIDTH, generator=seeded(1)))
    assert mean.shape == (100, 3)
    assert 0.0 < float(mean.abs().max()) < 0.15
    np.testing.assert_allclose(std.numpy(), [0.25] * 3, rtol=1e-6)
    assert policy.mean_std() == pytest.approx(0.25)


@pytest.mark.parametrize("seed", range(3))
def test_a_gaussians_formulas_are_those_of_torch_distributions(seed: int) -> None:
    draw = seeded(seed)
    means = torch.randn(2, 20, 4, generator=draw, dtype=torch.float64)
    stds = torch.rand(2, 4, generator=draw, dtype=torch.float64) + 0.05
    actions = torch.randn(20, 4, generator=draw, dtype=torch.float64)
    old, new = (Independent(Normal(mean, std.expand_as(mean)), 1) for mean, std in zip(means, stds))
    ours = [Gaussian(mean, std) for mean, std in zip(means, stds)]
    torch.testing.assert_close(ours[0].log_prob(actions), old.log_prob(actions))
    torch.testing.assert_close(ours[0].kl_divergence(ours[1]), kl_oracle(old, new))
    torch.testing.assert_close(ours[0].entropy(), old.entropy())


def test_a_gaussians_closed_forms() -> None:
    zero, one = torch.zeros(1, 2), torch.ones(2)
    standard, wide = Gaussian(zero, one), Gaussian(zero, 2 * one)
    assert float(standard.log_prob(zero)) == pytest.approx(-math.log(2 * math.pi))
    assert float(wide.log_prob(2 * torch.ones(1, 2))) == pytest.approx(-math.log(8 * math.pi) - 1.0)
    assert float(standard.kl_divergence(standard)) == 0.0
    assert float(standard.kl_divergence(Gaussian(torch.tensor([[3.0, 0.0]]), one))) == pytest.approx(4.5)
    assert float(standard.kl_divergence(wide)) == pytest.approx(2 * (math.log(2.0) + 0.125 - 0.5))
    assert float(standard.entropy()) == pytest.approx(math.log(2 * math.pi * math.e))


@pytest.mark.parametrize("shift", [1e-5, 1e-4, 2e-4])
def test_a_gaussian_short_steps_kl_is_not_lost_in_rounding(shift: float) -> None:
    old, new = (Gaussian(torch.full((1, 1), at), torch.full((1,), 0.5)) for at in (0.0, shift))
    assert float(old.kl_divergence(new)) == pytest.approx(2 * shift**2, rel=1e-3)


# ---- categorical ----


def test_a_new_categorical_policy_is_nearly_uniform() -> None:
    policy = CategoricalPolicy(WIDTH, (64, 64), 5, seeded(0))
    with torch.no_grad():
        distribution = policy(torch.randn(100, WIDTH, generator=seeded(1)))
    probabilities = distribution.logits.softmax(-1)
    assert probabilities.shape == (100, 5)
    assert 0.0 < float((probabilities - 0.2).abs().max()) < 0.02
    assert policy.mean_std() is None


@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
@pytest.mark.parametrize("choices", [2, 7])
def test_a_categoricals_formulas_are_those_of_torch_distributions(choices: int, scale: float) -> None:
    draw = seeded(choices)
    logits = scale * torch.randn(2, 20, choices, generator=draw, dtype=torch.float64)
    actions = torch.randint(choices, (20, 1), generator=draw)
    old, new = (CategoricalOracle(logits=own) for own in logits)
    ours = [Categorical(own) for own in logits]
    torch.testing.assert_close(ours[0].log_prob(actions.float()), old.log_prob(actions[:, 0]))
    torch.testing.assert_close(ours[0].kl_divergence(ours[1]), kl_oracle(old, new))
    torch.testing.assert_close(ours[0].entropy(), old.entropy())


def test_a_categoricals_closed_forms() -> None:
    fair, loaded = Categorical(torch.zeros(1, 2)), Categorical(torch.tensor([[math.log(3.0), 0.0]]))
    actions = torch.tensor([[1.0]])
    assert float(fair.log_prob(actions)) == pytest.approx(-math.log(2))
    assert float(loaded.log_prob(actions)) == pytest.approx(-math.log(4))
    assert float(fair.kl_divergence(loaded)) == pytest.approx(0.5 * math.log(4 / 3))
    assert float(loaded.kl_divergence(fair)) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert float(fair.entropy()) == pytest.approx(math.log(2))
    assert float(loaded.entropy()) == pytest.approx(2 * math.log(2) - 0.75 * math.log(3))


@pytest.mark.parametrize("shift", [1e-6, 1e-5, 1e-4])
def test_a_categorical_short_steps_kl_is_not_lost_in_rounding(shift: float) -> None:
    """Second order of a shift s of one of three equal logits: s^2 p (1 - p) / 2 = s^2 / 9."""
    old, new = Categorical(torch.zeros(1, 3)), Categorical(torch.tensor([[shift, 0.0, 0.0]]))
    assert float(old.kl_divergence(new)) == pytest.approx(shift**2 / 9, rel=1e-3)


def test_the_kls_second_derivative_is_the_fisher_matrix() -> None:
    """diag(p) - p p' of the logits."""
    logits = torch.randn(1, 4, generator=seeded(2), dtype=torch.float64)
    old, p = Categorical(logits), logits.softmax(-1)[0]
    hessian = torch.autograd.functional.hessian(lambda x: old.kl_divergence(Categorical(x)).sum(), logits)
    torch.testing.assert_close(hessian[0, :, 0], torch.diag(p) - torch.outer(p, p))


@pytest.mark.parametrize("probabilities", [(0.5, 0.5), (0.1, 0.2, 0.3, 0.4), (0.001, 0.9, 0.05, 0.049)])
def test_choices_are_drawn_as_often_as_they_are_likely(probabilities: tuple[float, ...]) -> None:
    """By Pearson's chi square; the bound is exceeded by one fair seed in a million, and this seed is fixed."""
    rows = 20_000
    actions = drawn(with_logits(*np.log(probabilities)), torch.zeros(rows, WIDTH))
    assert actions.shape == (rows, 1)
    seen = np.bincount(actions[:, 0].astype(int), minlength=len(probabilities))
    expected = rows * np.array(probabilities)
    assert len(seen) == len(probabilities)
    assert (np.square(seen - expected) / expected).sum() < chi2.isf(1e-6, len(probabilities) - 1)


def test_a_choice_is_where_the_uniform_number_falls() -> None:
    policy = with_logits(*np.log([0.25, 0.25, 0.5]))
    uniform = noise_of(0).random(50)
    wanted = np.where(uniform < 0.25, 0.0, np.where(uniform < 0.5, 1.0, 2.0))
    np.testing.assert_array_equal(drawn(policy, torch.zeros(50, WIDTH))[:, 0], wanted)


@pytest.mark.parametrize("sure", [0, 1, 2])
def test_a_choice_without_weight_is_never_drawn(sure: int) -> None:
    logits = [-1e4, -1e4, -1e4]
    logits[sure] = 1e4
    assert (drawn(with_logits(*logits), torch.zeros(1000, WIDTH)) == sure).all()


class Extreme(np.random.Generator):
    """Draws nothing but one number."""

    def __init__(self, number: float) -> None:
        super().__init__(np.random.Philox(0))
        self._number = number

    def random(self, size: int) -> NDArray[np.float64]:  # type: ignore[override]
        return np.full(size, self._number)


@pytest.mark.parametrize(("number", "choice"), [(0.0, 0), (1.0 - 2.0**-53, 2)])
def test_the_least_and_the_largest_uniform_number_are_choices_too(number: float, choice: int) -> None:
    act = with_logits(0.3, -1.0, 0.1).acting()
    assert act(np.zeros((2, WIDTH), np.float32), Extreme(number)).tolist() == [[choice]] * 2


def test_the_quick_policy_draws_from_the_networks_probabilities() -> None:
    """The index counts the cumulated probabilities that a uniform number has passed."""
    policy = CategoricalPolicy(WIDTH, (64, 64), 5, seeded(3))
    inputs = torch.randn(500, WIDTH, generator=seeded(5))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=seeded(4)))
        cumulated = policy(inputs).logits.double().softmax(-1).cumsum(-1).numpy()
    uniform = noise_of(0).random(500)[:, None]
    clear = np.abs(cumulated - uniform).min(axis=1) > 1e-4
    assert clear.mean() > 0.95
    wanted = (cumulated[:, :-1] < uniform).sum(axis=1)
    np.testing.assert_array_equal(drawn(policy, inputs)[clear, 0], wanted[clear])
    assert len(set(wanted)) == 5
