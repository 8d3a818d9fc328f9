"""One turn of the policy: PPO's objective by another formula, and the radius kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, Normal, kl_divergence

from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.agents.ledger import Bounds
from scalmarl.agents.policies import CategoricalPolicy, GaussianPolicy, Policy
from scalmarl.agents.policy_update import Batch, ClippedTurn, Outcome
from scalmarl.agents.settings import LearnerSettings
from scalmarl.launch.config import LearnerConfig

SETTINGS = LearnerSettings.from_data(
    {**LearnerConfig().model_dump(), **asdict(ALGORITHMS["mappo-l"].switches), "initial_std": 0.25}
)
UNCLIPPED_GRADIENT = replace(SETTINGS, gradient_norm=1e9)
SAMPLES, WIDTH, ACTIONS = 96, 3, 2
NOWHERE = math.inf


# ---- the turn ----


@dataclass
class Bench:
    """A policy with a batch of its own samples, and a copy of what it was."""

    policy: Policy
    old: Policy
    optimiser: torch.optim.Optimizer
    batch: Batch
    advantage: Tensor
    settings: LearnerSettings

    def turn(self, radius: float, epochs: Sequence[Sequence[Tensor]]) -> Outcome:
        turn = ClippedTurn(self.policy, self.optimiser, self.batch, Bounds(radius, 0.0), self.settings)
        breaths = sum(1 for _ in turn.improve(self.advantage, epochs))
        outcome = turn.outcome()
        full = len(epochs[0]) * (outcome.epochs + (outcome.bound == "kl_max")) if epochs else 0
        assert breaths == full
        return outcome

    def bits(self) -> bytes:
        return b"".join(parameter.detach().numpy().tobytes() for parameter in self.policy.parameters())

    def optimiser_bits(self) -> list[bytes]:
        state = self.optimiser.state_dict()["state"]
        return [tensor.numpy().tobytes() for moments in state.values() for tensor in moments.values()]

    @property
    def valid(self) -> Tensor:
        return self.batch.weights > 0


def distribution(policy: Policy, inputs: Tensor) -> Distribution:
    if isinstance(policy, CategoricalPolicy):
        # Of one entry, as an action travels.
        return Independent(Categorical(logits=policy.logits(inputs)[:, None]), 1)
    mean, std = policy(inputs)
    return Independent(Normal(mean, std.expand_as(mean)), 1)


def kl_by_torch(bench: Bench, policy: Policy | None = None) -> Tensor:
    """Of the valid samples."""
    with torch.no_grad():
        inputs = bench.batch.inputs[bench.valid]
        return kl_divergence(distribution(bench.old, inputs), distribution(policy or bench.policy, inputs)).double()


def bench(
    seed: int = 0,
    rate: float = 1e-3,
    settings: LearnerSettings = SETTINGS,
    sgd: bool = False,
    invalid: float = 0.2,
    choices: int = 0,
) -> Bench:
    draw = torch.Generator().manual_seed(seed)
    policy: Policy = (
        CategoricalPolicy(WIDTH, (16,), choices, draw) if choices
        else GaussianPolicy(WIDTH, (16,), ACTIONS, settings.initial_std, draw)
    )  # fmt: skip
    inputs = torch.randn(SAMPLES, WIDTH, generator=draw)
    if choices:
        actions = torch.randint(choices, (SAMPLES, 1), generator=draw).float()
    else:
        with torch.no_grad():
            mean, std = policy(inputs)
        actions = mean + std * torch.randn(SAMPLES, ACTIONS, generator=draw)
    weights = (torch.rand(SAMPLES, generator=draw) >= invalid).float()
    # Better where the first entry of action and input agree: something to learn.
    advantage = actions[:, 0] * inputs[:, 0] * 4.0 + 0.1 * torch.randn(SAMPLES, generator=draw)
    optimiser: torch.optim.Optimizer = (
        torch.optim.SGD(policy.parameters(), lr=rate) if sgd
        else torch.optim.Adam(policy.parameters(), lr=rate, eps=1e-5, foreach=False, fused=True)
    )  # fmt: skip
    return Bench(
        policy,
        copy.deepcopy(policy),
        optimiser,
        Batch(inputs, actions, weights, advantage.double().numpy(), {}),
        advantage,
        settings,
    )


def minibatches(epochs: int, pieces: int = 3, seed: int = 0) -> list[list[Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    return [list(torch.randperm(SAMPLES, generator=draw).chunk(pieces)) for _ in range(epochs)]


def gain_of_ppo(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """Schulman et al. 2017, case by case: no gain from going further than the clip in the advantage's direction."""
    up = torch.where(ratio > 1 + clip, torch.full_like(ratio, 1 + clip), ratio)
    down = torch.where(ratio < 1 - clip, torch.full_like(ratio, 1 - clip), ratio)
    return torch.where(advantage >= 0, up * advantage, down * advantage)


def train_by_hand(given: Bench, rate: float, epoch: Sequence[Tensor]) -> tuple[Policy, float]:
    """Plain gradient ascent on PPO's objective over the valid samples; the policy and the clipped share."""
    policy, (outside, seen) = copy.deepcopy(given.old), (0, 0)
    for rows in epoch:
        rows = rows[given.valid[rows]]
        inputs, actions = given.batch.inputs[rows], given.batch.actions[rows]
        with torch.no_grad():
            before = distribution(given.old, inputs).log_prob(actions)
        ratio = (distribution(policy, inputs).log_prob(actions) - before).exp()
        objective = gain_of_ppo(ratio, given.advantage[rows], given.settings.clip).mean()
        gradients = torch.autograd.grad(objective, list(policy.parameters()))
        outside, seen = outside + int(((ratio - 1).abs() > given.settings.clip).sum()), seen + len(rows)
        with torch.no_grad():
            for parameter, gradient in zip(policy.parameters(), gradients):
                parameter.add_(rate * gradient)
    return policy, outside / seen


@pytest.mark.parametrize("choices", [0, 4], ids=["gaussian", "categorical"])
@pytest.mark.parametrize("pieces", [1, 4], ids=["one minibatch: the gradient itself", "four: the ratio is clipped"])
def test_steps_follow_the_gradient_of_ppos_objective(pieces: int, choices: int) -> None:
    rate = 0.3
    given = bench(rate=rate, settings=UNCLIPPED_GRADIENT, sgd=True, choices=choices)
    epochs = minibatches(1, pieces)
    wanted, outside = train_by_hand(given, rate, epochs[0])
    outcome = given.turn(NOWHERE, epochs)
    assert given.bits() != b"".join(p.detach().numpy().tobytes() for p in given.old.parameters())
    for parameter, by_hand in zip(given.policy.parameters(), wanted.parameters()):
        torch.testing.assert_close(parameter, by_hand, atol=2e-6, rtol=1e-4)
    assert outcome.clip_fraction == pytest.approx(outside, abs=1e-6)
    assert (outside > 0.1) == (pieces > 1)


def test_a_gradient_is_no_longer_than_its_largest_norm() -> None:
    given = bench(rate=1.0, settings=replace(SETTINGS, gradient_norm=0.01), sgd=True)
    given.turn(NOWHERE, minibatches(1, 1))
    with torch.no_grad():
        length = sum(float((p - q).square().sum()) for p, q in zip(given.policy.parameters(), given.old.parameters()))
    assert math.sqrt(length) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("choices", [0, 4], ids=["gaussian", "categorical"])
def test_a_turn_raises_the_surrogate(choices: int) -> None:
    given = bench(choices=choices, rate=3e-3)
    outcome = given.turn(0.02, minibatches(5))
    surrogate = (outcome.log_ratio.expm1() * given.advantage)[given.valid].mean()
    assert float(surrogate) > 0.01


@pytest.mark.parametrize("choices", [0, 4], ids=["gaussian", "categorical"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_the_outcome_is_measured_on_the_whole_batch(pieces: int, choices: int) -> None:
    given = bench(rate=1e-3, choices=choices)
    outcome = given.turn(NOWHERE, minibatches(4, pieces))
    assert (outcome.bound, outcome.epochs) == ("epochs", 4)
    with torch.no_grad():
        inputs, actions = given.batch.inputs, given.batch.actions
        change = distribution(given.policy, inputs).log_prob(actions) - distribution(given.old, inputs).log_prob(
            actions
        )
    torch.testing.assert_close(outcome.log_ratio, change * given.batch.weights, atol=1e-5, rtol=1e-4)
    kl = kl_by_torch(given)
    assert outcome.step.kl_mean == pytest.approx(float(kl.mean()), rel=1e-2, abs=1e-7)
    assert outcome.step.kl_max == pytest.approx(float(kl.max()), rel=1e-2, abs=1e-7)
    assert outcome.step.kl_max > outcome.step.kl_mean > 1e-5
    with torch.no_grad():
        entropy = distribution(given.policy, inputs[given.valid]).entropy().mean()
    assert outcome.entropy == pytest.approx(float(entropy), rel=1e-5)


@pytest.mark.parametrize("choices", [0, 4], ids=["gaussian", "categorical"])
def test_a_turn_with_no_advantage_anywhere_does_not_move(choices: int) -> None:
    given = bench(choices=choices)
    given.advantage = torch.zeros(SAMPLES)
    before = given.bits()
    outcome = given.turn(0.02, minibatches(5))
    assert given.bits() == before
    assert outcome.log_ratio.numpy().tobytes() == bytes(4 * SAMPLES)
    assert (outcome.step.kl_mean, outcome.step.kl_max, outcome.bound, outcome.epochs) == (0.0, 0.0, "epochs", 5)


def test_a_turn_without_valid_samples_does_not_move() -> None:
    given = bench(invalid=2.0)
    before = given.bits()
    outcome = given.turn(0.02, minibatches(2))
    assert given.bits() == before
    assert not outcome.log_ratio.any()
    assert (outcome.step.kl_mean, outcome.step.kl_max, outcome.clip_fraction) == (0.0, 0.0, 0.0)


def test_a_warm_optimiser_does_not_move_a_policy_on_samples_none_of_which_is_valid() -> None:
    given = bench()
    given.turn(NOWHERE, minibatches(2))
    before = given.bits()
    given.batch.weights[:] = 0.0
    outcome = given.turn(NOWHERE, minibatches(2))
    assert given.bits() == before
    assert not outcome.log_ratio.any()


# ---- the radius ----


@pytest.mark.parametrize("radius", [1e-9, 1e-6, 1e-4, 0.02, 0.3])
@pytest.mark.parametrize("rate", [1e-3, 0.03, 0.3])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("choices", [0, 4], ids=["gaussian", "categorical"])
def test_the_mean_kl_never_leaves_the_radius(radius: float, rate: float, seed: int, choices: int) -> None:
    free = bench(seed, rate, choices=choices)
    unbounded = free.turn(NOWHERE, minibatches(1)).step.kl_mean
    given = bench(seed, rate, choices=choices)
    outcome = given.turn(radius, minibatches(6))
    assert outcome.step.kl_mean <= radius
    assert float(kl_by_torch(given).mean()) <= radius + 1e-7
    if unbounded > radius:
        assert (outcome.bound, outcome.epochs) == ("kl_max", 0)
    if rate == 0.3:
        assert outcome.bound == "kl_max"


def test_a_wide_radius_is_not_felt() -> None:
    one, two = bench(), bench()
    outcome = one.turn(1e6, minibatches(3))
    two.turn(NOWHERE, minibatches(3))
    assert (outcome.bound, outcome.epochs, outcome.tightest) == ("epochs", 3, None)
    assert outcome.course.figures() == dict.fromkeys(("rejected_kl", "kept", "certain_gain", "accepted"))
    assert one.bits() == two.bits()


@pytest.mark.parametrize("rate", [0.03, 1.0])
def test_when_no_bisection_is_inside_the_policy_does_not_move_at_all(rate: float) -> None:
    given = bench(rate=rate)
    before = given.bits()
    outcome = given.turn(1e-12, minibatches(5))
    assert given.bits() == before
    assert outcome.log_ratio.numpy().tobytes() == bytes(4 * SAMPLES)
    assert (outcome.step.kl_mean, outcome.step.kl_max, outcome.epochs, outcome.bound) == (0.0, 0.0, 0, "kl_max")
    assert given.optimiser_bits() == []


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_on_a_breach_it_goes_back_towards_the_last_accepted_epoch_with_that_epochs_optimiser(share: float) -> None:
    """The radius lies between what one and two epochs spend; the end lies on the line between their policies."""
    rate, epochs = 5e-3, minibatches(2)
    one, two = bench(rate=rate), bench(rate=rate)
    spent_one, spent_two = one.turn(NOWHERE, epochs[:1]).step.kl_mean, two.turn(NOWHERE, epochs).step.kl_mean
    assert spent_two > 1.5 * spent_one
    radius = spent_one + share * (spent_two - spent_one)
    given = bench(rate=rate)
    outcome = given.turn(radius, epochs)
    assert (outcome.bound, outcome.epochs) == ("kl_max", 1)
    assert given.optimiser_bits() == one.optimiser_bits() != two.optimiser_bits()

    def between(fraction: float) -> Policy:
        policy = copy.deepcopy(one.policy)
        with torch.no_grad():
            for parameter, a, b in zip(policy.parameters(), one.policy.parameters(), two.policy.parameters()):
                parameter.copy_(a + fraction * (b - a))
        return policy

    fractions = [0.5, 0.25, 0.125, 0.0625, 0.0]
    nearest = next(f for f in fractions if float(kl_by_torch(given, between(f)).mean()) <= radius)
    for parameter, wanted in zip(given.policy.parameters(), between(nearest).parameters()):
        torch.testing.assert_close(parameter, wanted, atol=1e-7, rtol=1e-6)
    assert outcome.course.kept == nearest
    assert outcome.course.rejected_kl == pytest.approx(spent_two, rel=1e-6)


def test_a_turn_after_a_breach_goes_on_as_if_the_lost_epoch_had_not_been() -> None:
    """Bits, with a radius so tight after the first epoch that nothing of the second one stays."""
    rate, epochs = 5e-3, minibatches(3)
    one = bench(rate=rate)
    spent = one.turn(NOWHERE, epochs[:1]).step.kl_mean
    given = bench(rate=rate)
    assert given.turn(math.nextafter(spent, 1.0), epochs[:2]).bound == "kl_max"
    assert given.bits() == one.bits()
    for bench_ in (one, given):
        bench_.turn(NOWHERE, epochs[2:])
    assert given.bits() == one.bits()
    assert given.optimiser_bits() == one.optimiser_bits()


def test_a_step_that_is_not_finite_is_taken_back() -> None:
    given = bench()
    before = given.bits()
    given.advantage[int(torch.nonzero(given.valid)[0])] = math.nan
    outcome = given.turn(0.02, minibatches(2))
    assert given.bits() == before
    assert (outcome.bound, outcome.step.kl_mean, outcome.epochs) == ("kl_max", 0.0, 0)
    assert (outcome.course.figures()["rejected_kl"], outcome.course.kept) == (None, 0.0)
    assert given.optimiser_bits() == []


@pytest.mark.parametrize("radius", [NOWHERE, 1e-4])
def test_samples_that_are_not_valid_have_no_influence(radius: float) -> None:
    given, changed = bench(), bench()
    hidden = ~changed.valid
    assert 5 < int(hidden.sum()) < SAMPLES // 2
    changed.advantage[hidden] = -123.0
    changed.batch.actions[hidden] += 0.5
    one, two = given.turn(radius, minibatches(3)), changed.turn(radius, minibatches(3))
    assert given.bits() == changed.bits() != bench().bits()
    torch.testing.assert_close(one.log_ratio, two.log_ratio, atol=0.0, rtol=0.0)
    assert not one.log_ratio[hidden].any()
    assert (one.step, one.clip_fraction) == (two.step, two.clip_fraction)


def test_a_valid_sample_has_influence() -> None:
    given, changed = bench(), bench()
    changed.advantage[int(torch.nonzero(changed.valid)[0])] -= 5.0
    for bench_ in (given, changed):
        bench_.turn(NOWHERE, minibatches(1))
    assert given.bits() != changed.bits()


def test_the_same_turn_gives_the_same_bits() -> None:
    def once() -> tuple[Any, ...]:
        given = bench(rate=0.01)
        outcome = given.turn(0.01, minibatches(4))
        return given.bits(), given.optimiser_bits(), outcome.log_ratio.numpy().tobytes(), outcome.step.kl_mean

    assert once() == once()


# ---- the accept test ----


def test_only_a_certain_gain_is_kept_and_what_is_refused_leaves_no_trace() -> None:
    """At gamma 0.99 nu is 19,800 max|A|: no step has a certain gain. At 0.01 it is 0.02 max|A|, and a step that raises
    its surrogate by more than that is kept whole."""
    exact = {**asdict(ALGORITHMS["scal-mappo-l-exact"].switches)}
    accept = replace(SETTINGS, **exact)
    refused = bench(settings=accept)
    before = refused.bits()
    outcome = refused.turn(NOWHERE, minibatches(1))
    assert (outcome.bound, outcome.step.kl_max, outcome.reward_gain) == ("accept", 0.0, 0.0)
    assert refused.bits() == before
    assert refused.optimiser_bits() == []
    assert outcome.course.accepted == 0.0
    assert outcome.course.certain_gain is not None
    assert outcome.course.certain_gain <= 0.0
    kept, free = bench(settings=replace(accept, gamma=0.01)), bench()
    outcome = kept.turn(NOWHERE, minibatches(1))
    assert (outcome.bound, outcome.course.accepted) == ("epochs", 1.0)
    largest = float(np.abs(kept.batch.rewards[kept.valid.numpy()]).max())
    lower = outcome.reward_gain / 0.99 - 2 * 0.01 * largest / 0.99**2 * outcome.step.kl_max
    assert outcome.course.certain_gain == pytest.approx(lower)
    free.turn(NOWHERE, minibatches(1))
    assert kept.bits() == free.bits()


@pytest.mark.parametrize("rate", [1e-8, 1e-7, 3e-7])
def test_a_step_that_loses_is_not_kept_however_short(rate: float) -> None:
    exact = replace(SETTINGS, **asdict(ALGORITHMS["scal-mappo-l-exact"].switches), gamma=0.5)
    given = bench(settings=exact, rate=rate, sgd=True)
    # What the turn climbs, costs included, may lower the rewards.
    given.batch = replace(given.batch, rewards=-given.batch.rewards)
    before = given.bits()
    given.turn(NOWHERE, minibatches(1))
    assert given.bits() == before


def test_a_gain_that_does_not_exceed_the_truncation_error_is_refused() -> None:
    settings = replace(SETTINGS, **asdict(ALGORITHMS["scal-mappo-l-exact"].switches), gamma=0.01, truncation_error=1e6)
    given = bench(settings=settings)
    before = given.bits()
    assert given.turn(NOWHERE, minibatches(1)).bound == "accept"
    assert given.bits() == before
