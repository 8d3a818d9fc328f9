"""Defects of published safe multi-agent codes, each by a number that the defect would change.

docs/published-defects.md lists all of them with the test that guards each; here are those that no other file guards.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from numpy.typing import NDArray

from scalmarl.agents import multiplier
from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.agents.critics import Regression, huber
from scalmarl.agents.learner import Learner
from scalmarl.agents.policies import Gaussian
from scalmarl.agents.policy_update import predecessor_factor
from scalmarl.launch.config import LearnerConfig, WorldConfig
from scalmarl.protocol.kinds import TURN_FIGURES, Value, turn_surrogates
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.standins import toy_plan

STEPS, COPIES = 24, 8
PLAIN = toy_plan(((1,), (0,)), (0, 1), steps=STEPS, copies=COPIES, costs=[1, 1])
"""Two agents that hear one another, with one and with two action entries."""


def plan_of(algo: str = "scal-mappo-l", **learner: Any) -> Plan:
    algorithm = ALGORITHMS[algo].switches
    settings = {**LearnerConfig().model_dump(), **asdict(algorithm), "initial_std": 0.25, "hidden": [8], **learner}
    return replace(PLAIN, learner=settings, exchanged=algorithm.exchanged())


def observations(plan: Plan, me: int, round: int, reward: float = 1.0, cost: float = 1.0) -> NDArray[np.float32]:
    """Random blocks; rewards and costs are normal numbers times a scale; no episode ends."""
    draw = np.random.default_rng([me, round])
    block = plan.task.block_sizes[me]
    seen = draw.normal(size=(plan.steps + 1, plan.copies, block + 1 + plan.costs(me) + 2)).astype(np.float32)
    seen[:, :, block] *= reward
    seen[:, :, block + 1 : -2] *= cost
    seen[:, :, -2:] = 0.0
    return seen


def rolled_out(plan: Plan, me: int, round: int = 0, learner: Learner | None = None, **scales: float) -> Learner:
    """A learner that has seen a round and has not yet estimated anything."""
    learner = learner or Learner(plan, me)
    other = 1 - me
    seen, theirs = observations(plan, me, round, **scales), observations(plan, other, round)
    learner.begin_round(round)
    for t in range(plan.steps + 1):
        blocks = {me: learner.observe(t, seen[t]), other: theirs[t, :, : plan.task.block_sizes[other]].copy()}
        learner.look(t, [blocks[h] for h in sorted(blocks)])
        if t < plan.steps:
            learner.act(t)
    return learner


def turn_of(plan: Plan, agent: int, log_ratio: float) -> Value:
    told = np.zeros(plan.samples + TURN_FIGURES + len(turn_surrogates(plan, agent)), "<f4")
    told[: plan.samples] = log_ratio * np.random.default_rng(agent).normal(size=plan.samples)
    return told


def finished(plan: Plan, me: int, learner: Learner) -> tuple[Value, Value]:
    """Everything of a round that comes after the rollout; what was published and the turn."""
    advantage, slack = learner.estimate()
    other = 1 - me
    for _ in learner.train_critics():
        pass
    heard = {me: advantage, other: np.zeros((1 + plan.costs(other), plan.samples), "<f4")}
    slacks = {me: slack, other: np.zeros((plan.costs(other), 3), "<f4")}
    before = {other: turn_of(plan, other, 0.1)}
    for _ in learner.improve(heard, slacks, before):
        pass
    turn = learner.turn()
    learner.close_round()
    return advantage, turn


def file_of(learner: Learner) -> dict[str, NDArray[Any]]:
    return dict(safetensors.numpy.load(learner.save()))


# ---- critics ----


@pytest.mark.parametrize(
    ("error", "loss", "slope"),
    [(-15.0, 100.0, -10.0), (15.0, 100.0, 10.0), (-3.0, 4.5, -3.0), (3.0, 4.5, 3.0), (-10.0, 50.0, -10.0)],
)
def test_huber_is_linear_on_both_sides(error: float, loss: float, slope: float) -> None:
    """The published loss tests e > d instead of |e| > d: an error of -15 costs nothing there and teaches nothing."""
    value = torch.tensor([error], requires_grad=True)
    found = huber(value, torch.zeros(1)).sum()
    found.backward()  # type: ignore[no-untyped-call]
    assert value.grad is not None
    assert (found.item(), value.grad.item()) == pytest.approx((loss, slope))


def test_a_critic_that_says_far_too_little_learns() -> None:
    critic = torch.nn.Linear(1, 1)
    with torch.no_grad():
        critic.weight.zero_()
        critic.bias.fill_(-15.0)
    rows = [[torch.arange(4)]]
    regression = Regression(torch.zeros(4, 1), torch.zeros(1, 4), torch.ones(4))
    for _ in regression.train([critic], [torch.optim.SGD(critic.parameters(), lr=0.1)], rows, 1e9):
        pass
    assert critic.bias.item() == pytest.approx(-14.0)


def test_reward_and_cost_have_statistics_of_their_own_that_move_once_a_round() -> None:
    """A reward a hundred thousand times as large as the cost; a shared normaliser would see one scale for both."""
    plan, learner = plan_of(), None
    for round in range(2):
        learner = rolled_out(plan, 0, round, learner, reward=1000.0, cost=0.01)
        reward = finished(plan, 0, learner)[0][0].astype(np.float64)
        values = file_of(learner)["values"]
        assert values[:, 0].tolist() == [round + 1, round + 1]
        deviations = np.sqrt(values[:, 2] - values[:, 1] ** 2)
        if round == 0:
            # A target is advantage + value, and the values of a new critic are of the order of 1.
            assert deviations[0] == pytest.approx(reward.std(), rel=0.02)
        assert deviations[0] > 500.0
        assert deviations[1] < 5.0
        for _ in learner.train_critics():
            pass
        np.testing.assert_array_equal(file_of(learner)["values"], values)


# ---- ratios and actions ----


def test_a_ratio_is_the_product_over_an_actions_entries() -> None:
    """Entries with ratios 1.2 and 0.5 make one ratio of 0.6, not two that are clipped and summed apart."""
    old, new, std = torch.zeros(1, 2), torch.tensor([[1.0, -1.0]]), torch.ones(2)
    # log N(a; m) - log N(a; 0) = m a - m^2 / 2 for a deviation of 1.
    actions = torch.tensor([[np.log(1.2) + 0.5, -(np.log(0.5) + 0.5)]], dtype=torch.float32)
    ratio = (Gaussian(new, std).log_prob(actions) - Gaussian(old, std).log_prob(actions)).exp()
    assert ratio.shape == (1,)
    assert float(ratio) == pytest.approx(0.6, rel=1e-5)


@pytest.mark.parametrize("me", [0, 1])
def test_unequal_action_sizes_need_no_padding(me: int) -> None:
    plan = plan_of()
    assert plan.task.action_sizes == (1, 2)
    learner = rolled_out(plan, me)
    _, turn = finished(plan, me, learner)
    assert turn.shape == (plan.samples + TURN_FIGURES + 2,)
    assert np.abs(turn[: plan.samples]).max() > 0.0
    assert file_of(learner)["policy.log_std"].shape == (plan.task.action_sizes[me],)
    factor = predecessor_factor([turn[: plan.samples].astype(np.float64)], 1e9, plan.samples)
    np.testing.assert_allclose(factor, np.exp(turn[: plan.samples].astype(np.float64)))


# ---- processes and speed ----


def test_autograd_s_anomaly_detection_is_off_while_an_agent_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    backward = torch.Tensor.backward

    def watched(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        seen.append(torch.is_anomaly_enabled())
        backward(tensor, *args, **kwargs)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(torch.Tensor, "backward", watched)
    plan = plan_of()
    finished(plan, 0, rolled_out(plan, 0))
    assert len(seen) > 10
    assert not any(seen)


def test_an_agent_s_step_moves_nothing_of_another_agent() -> None:
    """No optimiser, gradient step or early stop is shared: the other one's file keeps its bits."""
    plan = plan_of()
    one, two = rolled_out(plan, 0), rolled_out(plan, 1)
    before = two.save()
    finished(plan, 0, one)
    assert two.save() == before
    alone = rolled_out(plan, 1)
    assert finished(plan, 1, two)[1].tobytes() == finished(plan, 1, alone)[1].tobytes()


# ---- files ----


@pytest.mark.parametrize(("algo", "critics"), [("scal-mappo-l", 2), ("mappo-l", 2), ("happo", 1)])
def test_a_round_file_holds_everything_that_learning_goes_on_from(algo: str, critics: int) -> None:
    """Networks, the optimiser of each, a normaliser per critic, multipliers, sensitivities and input statistics."""
    plan = plan_of(algo, gamma=0.5)
    learner = rolled_out(plan, 0)
    finished(plan, 0, learner)
    file = file_of(learner)
    names = ["policy", "reward_critic", "cost_critic_0"][: 1 + critics]
    for name in names:
        parameters = {key for key in file if key.startswith(f"{name}.") and ".adam." not in key}
        moments = [file[key] for key in file if key.startswith(f"{name}.adam.") and key.endswith(".exp_avg_sq")]
        assert len(moments) == len(parameters) > 0
        assert any(moment.any() for moment in moments)
        assert {float(file[key]) for key in file if key.startswith(f"{name}.adam.") and key.endswith(".step")} != {0.0}
    assert not any(key.startswith("cost_critic_1") for key in file)
    assert file["values"].shape == (critics, 3)
    assert file["multipliers"].shape == file["sensitivities"].shape == (1,)
    assert file["inputs.count"].tolist() == [STEPS * COPIES]
    assert file["inputs.mean"].shape == file["inputs.squares"].shape == (5,)


# ---- multipliers ----


def test_a_multiplier_of_the_default_settings_visibly_rises_and_falls() -> None:
    """The published rates move it by a few hundredths in a whole run at a hundred above the limit."""
    settings, world = LearnerConfig(), WorldConfig()
    samples, path = world.envs * world.steps, [0.0]
    for estimate in [50.0] * 20 + [0.0] * 25:
        path.append(
            multiplier.step(path[-1], estimate, 5.0, settings.multiplier_rate, samples, settings.multiplier_max)
        )
    assert path[20] > 0.5
    assert path[-1] == 0.0


def test_a_multiplier_does_not_drift_before_the_first_episode_ends() -> None:
    """The published buffers hold zeros until an episode has ended, so their multipliers first drift down, whatever the
    cost; here one round of a cost of 1 per step, none of whose episodes ended, is ten per episode of ten steps."""
    plan = plan_of()
    learner = rolled_out(plan, 0)
    learner._rollout.costs[:] = 1.0
    assert not learner._rollout.done.any()
    _, slack = learner.estimate()
    assert float(slack[0, 0]) == pytest.approx(5.0 - 10.0)
    assert float(slack[0, 2]) == pytest.approx(0.05 * STEPS * COPIES / 4096)


def test_a_multiplier_moves_once_a_round_however_many_minibatches_there_are() -> None:
    moved = set()
    for pieces in (1, 8):
        plan = plan_of(minibatches=pieces, policy_epochs=pieces, critic_epochs=pieces)
        learner = rolled_out(plan, 0, cost=0.0)
        learner._rollout.costs[:] = 1.0
        finished(plan, 0, learner)
        moved.add(float(file_of(learner)["multipliers"][0]))
    assert moved == {0.05 * STEPS * COPIES / 4096}
