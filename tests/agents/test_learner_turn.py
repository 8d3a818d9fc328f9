"""What a learner's turn and its critics' training do, read from its round file alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from scalmarl.agents.critics import explained_variance
from scalmarl.agents.learner import Learner
from scalmarl.protocol.kinds import TURN_FIGURES, Value, turn_surrogates
from scalmarl.protocol.plan import Plan
from tests.agents.played import (
    ME,
    PLAN,
    Array,
    Heard,
    Round,
    arrays,
    both,
    forward,
    new,
    plan_of,
    play,
    raw_inputs,
    told,
    valid_of,
)

# ---- the turn ----


def test_a_turn_tells_log_ratios_kl_and_surrogates_of_the_policies_in_the_files() -> None:
    given, learner = told(PLAN), new()
    file = arrays(learner.save())
    played = play(learner, PLAN)
    after = arrays(played.saved)
    # The first layer was rescaled to the new statistics; unclipped inputs see the same function.
    raw, valid = raw_inputs(given)[:-1], valid_of(given)
    means = [forward(file, "policy.mean", raw), forward(after, "policy.mean", raw, 1e9)]
    stds = [np.exp(f["policy.log_std"].astype(np.float64)) for f in (file, after)]
    log_probs = [
        -0.5 * np.square((played.actions - mean) / std).sum(axis=2) - np.log(std).sum()
        for mean, std in zip(means, stds)
    ]
    log_ratio = np.where(valid, log_probs[1] - log_probs[0], 0.0)
    np.testing.assert_allclose(played.log_ratio.reshape(valid.shape), log_ratio, atol=1e-4)
    assert np.abs(log_ratio).max() > 0.01
    ratio2 = np.square(stds[0] / stds[1])
    kl = 0.5 * (ratio2 + np.square((means[0] - means[1]) / stds[1]) - 1.0 - np.log(ratio2)).sum(axis=2)
    figures = played.turn[PLAN.samples :]
    np.testing.assert_allclose(figures[:2], [kl[valid].mean(), kl[valid].max()], rtol=2e-2)
    assert 0.0 < figures[0] <= PLAN.learner["kl_max"]
    advantages = {**given.advantages, ME: played.advantage}
    change = np.expm1(played.log_ratio.astype(np.float64))
    signals = [advantages[0][0].astype(np.float64) + advantages[1][0] + advantages[2][0]]
    signals += [advantages[h][1 + j].astype(np.float64) for h, j in turn_surrogates(PLAN, ME)]
    expected = [(change * signal)[valid.reshape(-1)].mean() for signal in signals]
    np.testing.assert_allclose(figures[2:], expected, rtol=1e-4, atol=1e-6)
    assert figures[2] > 0.0


@both
def test_an_agent_that_does_not_move_publishes_exact_zeros(of: Callable[[Plan], Plan]) -> None:
    plan = of(plan_of(kl_max=1e-12, policy_lr=0.5))
    learner = Learner(plan, ME)
    before = arrays(learner.save())
    played = play(learner, plan)
    assert played.turn.tobytes() == bytes(4 * played.turn.size)
    assert (played.figures["kl"], played.figures["bound"]) == (0.0, "kl_max")
    after = arrays(played.saved)
    for name in before:
        if name.startswith("policy.") and not name.startswith(("policy.mean.0", "policy.logits.0")):
            assert after[name].tobytes() == before[name].tobytes(), name


def with_cost(given: Round, agent: int, multiplier: float, cost: Array | None = None) -> Round:
    """A neighbour's first cost and its multiplier; its other one is silent."""
    slacks = {h: np.array(slack) for h, slack in given.slacks.items()}
    advantages = {h: np.array(advantage) for h, advantage in given.advantages.items()}
    for slack in slacks.values():
        slack[:, 2] = 0.0
    slacks[agent][0, 2] = multiplier
    if cost is not None:
        advantages[agent][1] = cost
    return replace(given, slacks=slacks, advantages=advantages)


@pytest.mark.parametrize("agent", [0, 2])
def test_a_neighbours_cost_counts_by_its_multiplier(agent: int) -> None:
    other = np.random.default_rng(8).normal(size=PLAN.samples)

    def log_ratio(multiplier: float, cost: Array | None, plan: Plan = PLAN) -> bytes:
        return play(Learner(plan, ME), plan, 0, with_cost(told(PLAN), agent, multiplier, cost)).log_ratio.tobytes()

    silent = log_ratio(0.0, None)
    assert log_ratio(0.0, other) == silent
    assert log_ratio(2.0, None) != silent
    assert log_ratio(2.0, other) != log_ratio(2.0, None)


def test_an_update_leaves_what_a_neighbours_priced_cost_dislikes() -> None:
    """The neighbour's cost is the agent's own first action entry: priced, the update lowers it."""
    file, given = arrays(new().save()), told(PLAN)
    actions = play(new(), PLAN).actions
    mean = forward(file, "policy.mean", raw_inputs(given)[:-1])
    cost = (actions - mean)[:, :, 0].reshape(-1).astype(np.float32)
    place = PLAN.samples + TURN_FIGURES + turn_surrogates(PLAN, ME).index((0, 0))
    rises = [play(new(), PLAN, 0, with_cost(given, 0, price, cost)).turn[place] for price in (0.0, 50.0)]
    assert rises[1] < 0.0
    assert rises[1] < rises[0]


def test_a_team_cost_is_charged_once() -> None:
    """A neighbour's copy of it counts nothing, whatever its multiplier; the own one does."""
    plan = plan_of("team")

    def moved(multiplier: float, plan: Plan = plan) -> bytes:
        return play(Learner(plan, ME), plan, 0, with_cost(told(plan), 0, multiplier)).log_ratio.tobytes()

    assert moved(0.0) == moved(50.0)
    assert moved(0.0, PLAN) != moved(50.0, PLAN)
    own = plan_of("velocity")
    assert moved(0.0, own) == moved(50.0, own)
    own = replace(own, task=replace(own.task, own_costs=True))
    assert moved(0.0, own) != moved(50.0, own), "separate robots: a neighbour's speed is not ours"
    costly, eager = told(plan, cost=3.0), plan_of("team", multiplier_rate=1000.0)
    costly.observations[:, :, 4] = told(plan).observations[:, :, 4] * 9.0
    own = [play(Learner(p, ME), p, 0, costly) for p in (plan, eager)]
    assert own[1].slack[0, 2] > 10.0
    assert own[0].log_ratio.tobytes() != own[1].log_ratio.tobytes()


def test_a_predecessors_ratios_change_the_update_and_its_figures_do_not() -> None:
    given = told(PLAN)
    usual = play(new(), PLAN, 0, given).log_ratio.tobytes()
    turn = np.array(given.turns[0])
    turn[PLAN.samples :] += 7.0
    assert play(new(), PLAN, 0, replace(given, turns={0: turn})).log_ratio.tobytes() == usual
    turn[: PLAN.samples] *= 2.0
    assert play(new(), PLAN, 0, replace(given, turns={0: turn})).log_ratio.tobytes() != usual
    standing = np.zeros_like(turn)
    alone = play(new(), PLAN, 0, replace(given, turns={})).log_ratio.tobytes()
    assert play(new(), PLAN, 0, replace(given, turns={0: standing})).log_ratio.tobytes() == alone != usual


def test_samples_of_a_finished_episode_do_not_count() -> None:
    """Their reward, costs and what the neighbours say of them; all published values and the file stay."""
    given, hidden = told(PLAN), ~valid_of(told(PLAN))
    assert hidden.any()
    seen = given.observations.copy()
    seen[1:, :, 3:6][hidden] = 77.0
    flat = hidden.reshape(-1)

    def shifted(heard: Mapping[int, Value]) -> Heard:
        return {h: np.where(flat, value + np.float32(9.0), value) for h, value in heard.items()}

    changed = replace(given, observations=seen, advantages=shifted(given.advantages))
    assert play(new(), PLAN, 0, changed).values() == play(new(), PLAN, 0, given).values()


# ---- critics and statistics ----


def test_a_terminated_state_teaches_nothing() -> None:
    """It is worth nothing and its sample is masked: its block moves neither policy nor critics, only statistics."""
    given = told(PLAN)
    final = given.observations[:, :, -2] != 0
    final[-1] = False
    assert final.any()
    seen = given.observations.copy()
    seen[:, :, :3][final] += 2.0
    one, two = play(new(), PLAN, 0, given), play(new(), PLAN, 0, replace(given, observations=seen))
    assert one.after_critics == two.after_critics
    np.testing.assert_array_equal(one.turn, two.turn)
    assert one.saved != two.saved


@pytest.mark.parametrize("signal", [0, 1, 2], ids=["reward", "first cost", "second cost"])
def test_training_the_critics_lowers_the_error_of_a_fixed_target(signal: int) -> None:
    plan = plan_of(critic_epochs=20)
    given, learner, name = told(plan), Learner(plan, ME), ["reward_critic", "cost_critic_0", "cost_critic_1"][signal]
    raw, valid = raw_inputs(given)[:-1], valid_of(given)
    first = forward(arrays(learner.save()), name, raw)[..., 0]
    untrained = play(Learner(plan, ME), plan, critics="after")
    trained = play(learner, plan)
    target = trained.advantage[signal].reshape(valid.shape) + first
    assert trained.after_critics is not None
    predicted = []
    for content in (untrained.before_turn, trained.after_critics):
        file = arrays(content)
        _, mean, square = file["values"][signal]
        assert (mean, square) == pytest.approx((target[valid].mean(), np.square(target[valid]).mean()), rel=1e-5)
        predicted.append(mean + np.sqrt(square - mean**2) * forward(file, name, raw)[..., 0])
    # New value statistics alone do not move what a critic says.
    np.testing.assert_allclose(predicted[0], first, atol=1e-5)
    errors = [float(np.square(prediction - target)[valid].mean()) for prediction in predicted]
    assert errors[1] < 0.7 * errors[0]


def test_input_statistics_are_those_of_the_raw_blocks_and_keep_the_policys_function() -> None:
    learner, everything = new(), []
    for round in range(2):
        given = told(PLAN, round)
        played = play(learner, PLAN, round, given)
        everything.append(raw_inputs(given)[:-1].reshape(-1, 9).astype(np.float64))
        file, together = arrays(played.saved), np.concatenate(everything)
        assert file["inputs.count"].tolist() == [len(together)]
        np.testing.assert_allclose(file["inputs.mean"], together.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(np.sqrt(file["inputs.squares"] / len(together)), together.std(axis=0), rtol=1e-9)


def test_closing_a_round_does_not_change_what_the_networks_say() -> None:
    still = plan_of(kl_max=1e-12, policy_lr=0.5)
    learner, given = Learner(still, ME), told(still)
    before = forward(arrays(learner.save()), "policy.mean", raw_inputs(given), 1e9)
    played = play(learner, still)
    assert played.figures["kl"] == 0.0
    np.testing.assert_allclose(forward(arrays(played.saved), "policy.mean", raw_inputs(given), 1e9), before, atol=1e-6)


def test_explained_variance() -> None:
    returns = np.array([1.0, 2.0, 3.0, 4.0])
    assert explained_variance(returns - 7.0, returns) == pytest.approx(1.0)
    assert explained_variance(np.zeros(4), returns) == pytest.approx(0.0)
    assert explained_variance(-returns, returns) == pytest.approx(-3.0)
    assert explained_variance(returns, np.ones(4)) == 0.0
    assert explained_variance(np.empty(0), np.empty(0)) == 0.0


# ---- sensitivities ----


def closed(turns: Mapping[int, tuple[float, list[float]]], rounds: int = 1) -> tuple[list[float], list[Array]]:
    """Sensitivities after rounds in which predecessors spent these KLs and moved the own costs by so much, and what
    the own step of each round says of them."""
    learner, figures, own = new(), {}, []
    for round in range(rounds):
        given = told(PLAN, round)
        heard = {}
        for h in turns:
            turn = np.full(PLAN.samples + TURN_FIGURES + len(turn_surrogates(PLAN, h)), 55.0, np.float32)
            turn[PLAN.samples] = turns[h][0]
            for j, surrogate in enumerate(turns[h][1]):
                turn[PLAN.samples + TURN_FIGURES + turn_surrogates(PLAN, h).index((ME, j))] = surrogate
            heard[h] = turn
        played = play(learner, PLAN, round, replace(given, turns=heard))
        figures, told_ = played.figures, played.turn[PLAN.samples :].astype(float)
        gains = [told_[TURN_FIGURES + turn_surrogates(PLAN, ME).index((ME, j))] for j in range(PLAN.costs(ME))]
        own.append(PLAN.task.horizon * np.abs(gains) / np.sqrt(told_[0] / 2.0))
    return [float(x) for x in figures["sensitivity"]], own


def test_a_sensitivity_is_a_running_mean_of_cost_moved_over_distance_spent() -> None:
    """sqrt(KL / 2) is 0.1 and 0.2; an episode has 10 steps; predecessors and the own step are averaged, the sign does
    not count, a tenth is new."""
    turns = {0: (0.02, [0.3, -0.5]), 2: (0.08, [-0.2, 0.2])}
    heard, (found, own) = np.array([30.0 + 10.0, 50.0 + 10.0]), closed(turns, 2)
    expected = np.array([10.0, 10.0])
    for said in own:
        assert (said > 0).all()
        expected = 0.9 * expected + 0.1 * (heard + said) / 3
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_predecessor_that_did_not_move_says_nothing_of_the_sensitivity() -> None:
    found, (own,) = closed({0: (0.02, [0.3, -0.5]), 2: (0.0, [0.0, 0.0])})
    np.testing.assert_allclose(found, 9.0 + 0.1 * (np.array([30.0, 50.0]) + own) / 2, rtol=1e-5)
    found, (own,) = closed({})
    np.testing.assert_allclose(found, 9.0 + 0.1 * own, rtol=1e-5)


def test_sensitivities_are_clamped_and_published_with_the_next_slack() -> None:
    assert closed({0: (1e-12, [10.0, 1e-3])})[0][0] == 1e5
    learner = new()
    first = play(learner, PLAN, 0)
    second = play(learner, PLAN, 1)
    np.testing.assert_allclose(second.slack[:, 1], first.figures["sensitivity"], rtol=1e-6)
    assert first.figures["sensitivity"] != [10.0, 10.0]
    np.testing.assert_array_equal(arrays(second.saved)["sensitivities"], second.figures["sensitivity"])


def test_a_round_without_a_single_valid_sample_leaves_everything_finite() -> None:
    """Every copy falls at the same step of a round of one step: the next round holds nothing but resets."""
    plan = replace(PLAN, steps=1)
    given = told(plan)
    given.observations[:, :, -2:] = 0.0
    given.observations[0, :, -2] = 1.0
    learner = Learner(plan, ME)
    played = play(learner, plan, 0, given)
    assert all(np.isfinite(array).all() for array in arrays(played.saved).values())
