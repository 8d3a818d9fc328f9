"""One agent's learner, driven by hand through whole rounds; what it learnt is read from its round file alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from numpy.typing import NDArray

from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.agents.critics import explained_variance
from scalmarl.agents.learner import Learner, NotFinite
from scalmarl.launch.config import LearnerConfig, resolve
from scalmarl.launch.planning import make_plan
from scalmarl.protocol.keys import Key, Kind
from scalmarl.protocol.kinds import TURN_FIGURES, Value, form, turn_surrogates
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.standins import toy_plan

ME = 1
"""In the middle of a path of three: two costs, a block of 3 beside blocks of 2 and 4, two action entries."""
STEPS, COPIES, GROUPS, HORIZON, LIMIT = 12, 6, 2, 10, 5.0
Array = NDArray[Any]
Arrays = dict[str, Array]
Heard = dict[int, Value]
Change = Callable[["Round"], None]


def plan_of(cost_mode: str = "local", **learner: Any) -> Plan:
    toy = toy_plan(((1,), (0, 2), (1,)), (0, 1, 0), steps=STEPS, copies=COPIES, groups=GROUPS)
    switches = asdict(ALGORITHMS["scal-mappo-l"].switches)
    settings = {**LearnerConfig().model_dump(), **switches, "initial_std": 0.25, "hidden": [16, 16], **learner}
    return replace(toy, learner=settings, task=replace(toy.task, cost_mode=cost_mode))


def choosing(plan: Plan) -> Plan:
    """The same, but the agent chooses one of four."""
    return replace(plan, task=replace(plan.task, action_sizes=(1, 1, 1), action_choices=(0, 4, 0)))


PLAN = plan_of()
both = pytest.mark.parametrize("of", [lambda plan: plan, choosing], ids=["gaussian", "categorical"])


@dataclass
class Round:
    """All that an agent is told in a round; ``others``: the blocks of agents 0 and 2."""

    observations: Array
    others: list[Array]
    advantages: Heard
    slacks: Heard
    turns: Heard


def told(plan: Plan, round: int = 0, cost: float | None = None, seed: int = 0) -> Round:
    """Random inputs; ``cost`` at every step instead of a random one; next-step resets."""
    draw = np.random.default_rng([seed, round])
    steps, copies = plan.steps, plan.copies
    block = plan.task.block_sizes[ME]
    seen = draw.normal(size=(steps + 1, copies, block + 1 + plan.costs(ME) + 2)).astype(np.float32)
    costs = draw.random((steps + 1, copies, plan.costs(ME))) < 0.3
    seen[:, :, block + 1 : -2] = costs if cost is None else cost
    ends = draw.random((steps + 1, copies)) < 0.1
    ends[1:] &= ~ends[:-1]
    fell = draw.random(ends.shape) < 0.5
    seen[:, :, -2], seen[:, :, -1] = ends & fell, ends & ~fell
    others = [
        draw.normal(size=(steps + 1, copies, plan.task.block_sizes[h])).astype(np.float32) for h in plan.neighbours[ME]
    ]

    def publish(kind: Kind, scale: float) -> Heard:
        shapes = {h: form(plan, Key(h, kind, h, round, 0))[1] for h in plan.neighbours[ME]}
        return {h: (scale * draw.normal(size=shape)).astype(np.float32) for h, shape in shapes.items()}

    slacks = {h: np.abs(slack) for h, slack in publish(Kind.SLACK, 1.0).items()}
    turns = publish(Kind.TURN, 0.05)
    for turn in turns.values():
        turn[plan.samples : plan.samples + 2] = np.abs(turn[plan.samples : plan.samples + 2])
    return Round(seen, others, publish(Kind.ADVANTAGE, 1.0), slacks, {0: turns[0]})


@dataclass
class Played:
    """All that a learner gave in a round."""

    actions: Array
    advantage: Value
    slack: Value
    turn: Value
    figures: dict[str, Any]
    saved: bytes
    before_turn: bytes
    after_critics: bytes | None

    @property
    def log_ratio(self) -> Array:
        return self.turn[: PLAN.samples]

    def values(self) -> list[bytes]:
        return [x.tobytes() for x in (self.actions, self.advantage, self.slack, self.turn)] + [self.saved]


def play(learner: Learner, plan: Plan, round: int = 0, given: Round | None = None, critics: str = "before") -> Played:
    """As ``agents.body`` does; ``critics``: before, around or after the turn."""
    given = given or told(plan, round)
    size = plan.group_copies
    actions = np.zeros((plan.steps, plan.copies, plan.task.action_sizes[ME]), np.float32)
    learner.begin_round(round)
    for step in range(plan.groups * (plan.steps + 1)):
        t, group = divmod(step, plan.groups)
        copies = slice(group * size, (group + 1) * size)
        block = learner.observe(step, given.observations[t, copies])
        learner.look(step, [given.others[0][t, copies], block, given.others[1][t, copies]])
        if t < plan.steps:
            actions[t, copies] = learner.act(step)
    advantage, slack = learner.estimate()
    training, after_critics = learner.train_critics(), None
    if critics != "after":
        for n, _ in enumerate(training):
            if critics == "around" and n == 2:
                break
        else:
            after_critics = learner.save()
    before_turn = learner.save()
    for _ in learner.improve({**given.advantages, ME: advantage}, {**given.slacks, ME: slack}, given.turns):
        pass
    turn = learner.turn()
    for _ in training:
        pass
    figures = learner.close_round()
    return Played(actions, advantage, slack, turn, figures, learner.save(), before_turn, after_critics)


def arrays(content: bytes) -> Arrays:
    return dict(safetensors.numpy.load(content))


def forward(file: Arrays, network: str, raw: Array, limit: float = 5.0) -> Array:
    """A network of a round file by double-precision NumPy, on raw inputs."""
    count = float(file["inputs.count"][0])
    std = np.maximum(np.sqrt(file["inputs.squares"] / count), 1e-2) if count else 1.0
    x = np.clip((raw.astype(np.float64) - file["inputs.mean"]) / std, -limit, limit)
    layers = sorted(name for name in file if name.startswith(f"{network}.") and name.endswith(".weight"))
    for n, name in enumerate(layers):
        x = x @ file[name].astype(np.float64).T + file[name.replace("weight", "bias")]
        x = np.tanh(x) if n < len(layers) - 1 else x
    return x


def raw_inputs(given: Round) -> Array:
    return np.concatenate([given.others[0], given.observations[:, :, :3], given.others[1]], axis=2)


def valid_of(given: Round) -> NDArray[np.bool_]:
    return ~(given.observations[:-1, :, -2:] != 0).any(axis=2)


def new() -> Learner:
    return Learner(PLAN, ME)


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
