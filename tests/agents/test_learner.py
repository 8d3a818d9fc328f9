"""One agent's learner, driven by hand through whole rounds; what it learnt is read from its round file alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from scalmarl.agents.learner import Learner, NotFinite
from scalmarl.launch.config import resolve
from scalmarl.launch.planning import make_plan
from scalmarl.protocol.keys import Key, Kind
from scalmarl.protocol.kinds import form
from scalmarl.protocol.plan import Plan
from tests.agents.played import (
    COPIES,
    LIMIT,
    ME,
    PLAN,
    STEPS,
    Array,
    Round,
    arrays,
    both,
    choosing,
    forward,
    new,
    plan_of,
    play,
    raw_inputs,
    told,
    valid_of,
)

# ---- bits ----


def test_the_same_inputs_give_the_same_bits() -> None:
    one, two = new(), new()
    assert one.save() == two.save()
    for round in range(3):
        first, second = play(one, PLAN, round), play(two, PLAN, round)
        assert first.values() == second.values()
    assert one.save() != new().save()


def test_seed_agent_and_what_was_seen_change_the_bits() -> None:
    usual = play(new(), PLAN).saved
    reseeded = replace(PLAN, seed=1)
    assert Learner(reseeded, ME).save() != new().save()
    assert play(new(), PLAN, given=told(PLAN, seed=5)).saved != usual
    twins = plan_of()
    twins = replace(twins, task=replace(twins.task, block_sizes=(3, 3, 3)), neighbours=((1, 2), (0, 2), (0, 1)))
    assert arrays(Learner(twins, 0).save())["policy.mean.0.weight"].shape == (16, 9)
    assert Learner(twins, 0).save() != Learner(twins, 2).save()


@both
def test_a_learner_that_was_loaded_goes_on_as_the_one_that_was_saved(of: Callable[[Plan], Plan]) -> None:
    plan = of(PLAN)
    one, two = Learner(plan, ME), Learner(plan, ME)
    play(one, plan, 0, told(plan, 0, cost=3.0))
    saved = play(one, plan, 1, told(plan, 1, cost=3.0)).saved
    assert arrays(saved)["multipliers"].all()
    play(two, plan, 0, told(plan, seed=9))
    two.load(saved)
    assert two.save() == saved
    for round in (2, 3):
        assert play(two, plan, round).values() == play(one, plan, round).values()


def test_a_first_file_is_loaded_too() -> None:
    saved, two = new().save(), new()
    play(two, PLAN, 0)
    two.load(saved)
    assert two.save() == saved
    assert play(two, PLAN, 0).values() == play(new(), PLAN, 0).values()


def test_going_on_does_not_write_to_what_was_saved_or_loaded() -> None:
    one = new()
    saved = play(one, PLAN, 0).saved
    kept = bytes(bytearray(saved))
    two = new()
    two.load(saved)
    play(two, PLAN, 1)
    assert saved == kept


@pytest.mark.parametrize("critics", ["around", "after"])
def test_when_the_critics_train_changes_no_bit(critics: str) -> None:
    one, two = new(), new()
    for round in range(2):
        assert play(one, PLAN, round).values() == play(two, PLAN, round, critics=critics).values()


def test_a_real_plan_has_all_that_a_learner_reads() -> None:
    flags = {"run.agents": 3, "run.kappa": 1, "world.envs": 4, "world.steps": 6}
    plan = make_plan(*resolve(None, ("learner.hidden=[8]",), flags)).plan
    learner = Learner(plan, ME)
    draw = np.random.default_rng(0)
    learner.begin_round(0)
    for step in range(plan.steps + 1):
        block = learner.observe(step, draw.normal(size=(4, 29)).astype(np.float32))
        learner.look(step, [np.zeros((4, 25), np.float32), block, np.zeros((4, 25), np.float32)])
        if step < plan.steps:
            action = learner.act(step)
            dtype, shape = form(plan, Key(ME, Kind.ACTION, ME, 0, step))
            assert (action.dtype, action.shape) == (dtype, shape)
    assert arrays(learner.save())["policy.log_std"] == pytest.approx(np.log(plan.task.initial_std))


# ---- acting ----


def test_actions_are_the_mean_plus_noise_of_the_policys_deviation() -> None:
    given, learner = told(PLAN), new()
    file = arrays(learner.save())
    played = play(learner, PLAN)
    mean = forward(file, "policy.mean", raw_inputs(given)[:-1])
    noise = (played.actions - mean) / np.exp(file["policy.log_std"])
    count = noise.size
    assert count == STEPS * COPIES * 2
    # Four standard errors of a mean and of a variance.
    assert abs(noise.mean()) < 4 / np.sqrt(count)
    assert abs(noise.var() - 1.0) < 4 * np.sqrt(2 / count)
    assert len(np.unique(noise.round(3))) > 0.9 * count


@both
def test_the_action_of_a_step_is_drawn_once_and_for_all(of: Callable[[Plan], Plan]) -> None:
    learner, given = Learner(of(PLAN), ME), told(PLAN)
    drawn = []
    for round in (0, 0, 1, 2, 3):
        learner.begin_round(round)
        block = learner.observe(0, given.observations[0, :3])
        learner.look(0, [given.others[0][0, :3], block, given.others[1][0, :3]])
        drawn.append([learner.act(0).tobytes(), learner.act(0).tobytes()])
    assert drawn[0][0] == drawn[0][1] == drawn[1][0]
    assert len({first for first, _ in drawn}) > 2


def test_a_choice_travels_as_its_index_and_every_one_is_tried() -> None:
    plan = choosing(PLAN)
    learner = Learner(plan, ME)
    played = play(learner, plan)
    dtype, shape = form(plan, Key(ME, Kind.ACTION, ME, 0, 0))
    action = learner.act(0)
    assert (action.dtype, action.shape) == (dtype, shape) == (np.dtype("<f4"), (3, 1))
    assert set(played.actions.ravel().tolist()) == {0.0, 1.0, 2.0, 3.0}
    assert played.figures["policy_std"] is None
    assert 0.9 * np.log(4) < played.figures["policy_entropy"] < np.log(4)


# ---- estimates and multipliers ----


def test_what_is_published_has_the_form_of_the_table() -> None:
    played = play(new(), PLAN)
    for kind, value in ((Kind.ADVANTAGE, played.advantage), (Kind.SLACK, played.slack), (Kind.TURN, played.turn)):
        dtype, shape = form(PLAN, Key(ME, kind, ME, 0, 0))
        assert (value.dtype, value.shape) == (dtype, shape)


@pytest.mark.parametrize("signal", [0, 1, 2], ids=["reward", "first cost", "second cost"])
def test_published_advantages_are_gae_under_the_critic_of_the_rounds_start(signal: int) -> None:
    given, learner = told(PLAN), new()
    name = ["reward_critic", "cost_critic_0", "cost_critic_1"][signal]
    value = forward(arrays(learner.save()), name, raw_inputs(given))[..., 0]
    published = play(learner, PLAN).advantage[signal].reshape(STEPS, COPIES)
    seen = given.observations
    terminated, done = seen[:, :, -2] != 0, (seen[:, :, -2:] != 0).any(axis=2)
    expected, following = np.zeros((STEPS, COPIES)), np.zeros(COPIES)
    for t in reversed(range(STEPS)):
        delta = seen[t + 1, :, 3 + signal] + 0.99 * ~terminated[t + 1] * value[t + 1] - value[t]
        following = ~done[t] * (delta + 0.99 * 0.95 * ~done[t + 1] * following)
        expected[t] = following
    assert done[1:-1].any()
    np.testing.assert_allclose(published, expected, atol=1e-4)


def test_the_multiplier_rises_while_the_cost_is_above_the_limit_and_falls_to_0_below() -> None:
    plan = plan_of(multiplier_rate=1.0)
    eta = plan.samples / 4096
    learner, path = Learner(plan, ME), [0.0]
    for round in range(6):
        played = play(learner, plan, round, told(plan, round, cost=3.0 if round < 3 else 0.0))
        path.append(float(played.slack[0, 2]))
        assert played.figures["multiplier"] == pytest.approx(played.slack[:, 2])
        assert (played.slack[:, 0] < 0).all() if round < 3 else (played.slack[:, 0] == LIMIT).all()
    np.testing.assert_allclose(path[:4], [0.0, eta, 2 * eta, 3 * eta], rtol=1e-6)
    np.testing.assert_allclose(path[4:6], [2 * eta, eta], rtol=1e-6)
    assert path[6] < 1e-7
    assert arrays(learner.save())["multipliers"].max() < 1e-12
    played = play(learner, plan, 6, told(plan, 6, cost=0.0))
    assert played.slack[:, 2].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("horizon", [2, 1000], ids=["by steps", "by ends"])
def test_the_slack_is_the_limit_less_this_rounds_cost_per_episode(horizon: int) -> None:
    """An end that came with the first observation was counted in the round before."""
    plan = replace(PLAN, task=replace(PLAN.task, horizon=horizon))
    given = told(plan)
    given.observations[0, 0, -1], given.observations[1, 0, -2:] = 1.0, 0.0
    valid = valid_of(given)
    ends = (given.observations[:, :, -2:] != 0).any(axis=2)
    assert ends[1:].sum() < valid.sum() / 2
    episodes = ends[1:].sum() if horizon == 1000 else valid.sum() / horizon
    costs = [given.observations[1:, :, 4 + j][valid].sum() / episodes for j in range(2)]
    played = play(Learner(plan, ME), plan, 0, given)
    np.testing.assert_allclose(played.slack[:, 0], LIMIT - np.array(costs), rtol=1e-5)
    assert played.slack[:, 1].tolist() == [10.0, 10.0]
    assert played.figures["cost_estimate"] == pytest.approx(costs)


# ---- numbers that are not finite ----


def poison(network: torch.nn.Module) -> None:
    with torch.no_grad():
        next(iter(network.parameters())).view(-1)[0] = np.nan


def put_nan(array: Array, *place: Any) -> None:
    array[place] = np.nan


@pytest.mark.parametrize(
    ("spoil", "quantity"),
    [
        (lambda learner, given: put_nan(given.others[0], 3, 2, 0), "what its neighbourhood observed"),
        (lambda learner, given: put_nan(given.observations, 3, 2, 3), "what its reward_critic learns from"),
        (lambda learner, given: put_nan(given.observations, 3, 2, 5), "what its cost_critic_1 learns from"),
        (lambda learner, given: poison(learner._own.critics[0]), "a value of its reward_critic"),
        (lambda learner, given: poison(learner._own.critics[2]), "a value of its cost_critic_1"),
        (lambda learner, given: put_nan(given.advantages[0], 0, 5), "its mixed advantage"),
        (lambda learner, given: put_nan(given.advantages[2], 1, 5), "its mixed advantage"),
        (lambda learner, given: learner._own.sensitivities.__setitem__(1, np.nan), "its slack"),
        (lambda learner, given: put_nan(given.turns[0], 7), "its mixed advantage"),
        (lambda learner, given: poison(learner._own.policy), "what its turn did to its policy"),
    ],
)
def test_a_number_that_is_not_finite_is_named_where_it_first_shows(
    spoil: Callable[[Learner, Round], None], quantity: str
) -> None:
    learner, given = new(), told(PLAN, 4)
    spoil(learner, given)
    with pytest.raises(NotFinite, match=f"^agent/1, round 4: {quantity}.* is not finite$"):
        play(learner, PLAN, 4, given)


def test_a_parameter_that_is_not_finite_is_not_saved() -> None:
    """As a learning rate far too large leaves it after the last minibatch."""
    plan = plan_of(critic_lr=1e38)
    with pytest.raises(NotFinite, match=r"^agent/1, round 0: a parameter of its reward_critic is not finite$"):
        play(Learner(plan, ME), plan)
