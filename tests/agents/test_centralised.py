"""The centralised MAPPO-L is no straw man: its update is that of the equations, and it learns what can be learnt."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scalmarl.agents.centralised.agent import CentralAgent, Shared
from scalmarl.agents.centralised.trainer import CentralisedTrainer
from scalmarl.agents.settings import LearnerSettings
from scalmarl.launch.config import resolve
from scalmarl.launch.planning import make_plan
from scalmarl.protocol.plan import Plan

HORIZON = 8


def small_plan(limit: float = 1e3, **learner: Any) -> Plan:
    """Two agents, each told a number of its own and a constant, each with one motor."""
    chosen = {"run.algo": "mappo-l", "world.task": "safe-manyant:2x1", "world.envs": 16, "world.steps": 16}
    plan = make_plan(*resolve(None, (), chosen)).plan
    task = replace(
        plan.task, block_sizes=(2, 2), action_sizes=(1, 1), cost_limits=((limit,), (limit,)), horizon=HORIZON
    )
    return replace(plan, task=task, learner={**plan.learner, "hidden": (16,), **learner})


class Guessing:
    """Every step an agent is told a number and is paid for how near its action is; an action above 0 costs 1."""

    def __init__(self, plan: Plan) -> None:
        self._draw, self._copies = np.random.default_rng(0), plan.copies
        self._age = np.arange(plan.copies) % HORIZON
        self._over = np.zeros(plan.copies, bool)
        self._say(np.zeros(plan.copies), np.zeros((plan.copies, 2)))

    def _say(self, rewards: NDArray[Any], costs: NDArray[Any]) -> None:
        self._numbers = self._draw.normal(size=(self._copies, 2))
        of_each = [
            np.column_stack([self._numbers[:, i], np.ones(self._copies), rewards, costs[:, i], 0 * rewards, self._over])
            for i in range(2)
        ]
        self._told = np.hstack(of_each).astype(np.float32)

    def told(self) -> NDArray[np.float32]:
        return self._told

    def step(self, actions: NDArray[np.float32]) -> NDArray[np.float32]:
        resetting = self._over
        rewards = np.where(resetting, 0.0, -np.square(actions - self._numbers).sum(axis=1))
        costs = np.where(resetting[:, None], 0.0, actions > 0.0)
        self._age = np.where(resetting, 0, self._age + 1)
        self._over = self._age >= HORIZON
        self._say(rewards, costs)
        return self._told


def trained(rounds: int, **chosen: Any) -> tuple[list[float], list[float], list[float]]:
    """Per round: the team's reward of a step, its cost of an episode, and the first agent's multiplier. What is told
    next does not follow from actions, so nothing is discounted."""
    plan = small_plan(policy_lr=2e-2, critic_lr=1e-2, gamma=0.0, **chosen)
    trainer = CentralisedTrainer(plan, Guessing(plan), 1)
    took = [(trainer.round(), trainer.agents[0].multiplier) for _ in range(rounds)]
    return [t.reward for t, _ in took], [t.cost * HORIZON for t, _ in took], [multiplier for _, multiplier in took]


def test_it_learns() -> None:
    earned, _, _ = trained(12)
    # Two agents that guess nothing lose 1 each, and the variance of their noise.
    assert earned[0] == pytest.approx(-2.0, abs=0.5)
    assert np.mean(earned[-3:]) > -0.7


def test_the_multiplier_answers_the_cost() -> None:
    _, paid, multipliers = trained(12, limit=1.0, multiplier_rate=0.02)
    assert paid[0] > 4.0
    assert np.mean(paid[-3:]) < 1.0
    assert 0.0 < multipliers[0] < max(multipliers)
    assert multipliers[-1] < 0.5 * max(multipliers)
    idle = small_plan(limit=1e3, multiplier_start=1.0)
    trainer = CentralisedTrainer(idle, Guessing(idle), 1)
    trainer.round()
    assert trainer.agents[0].multiplier == 0.0


def advantages(signal: Any, values: Any, truncated: Any, gamma: float, lambda_: float) -> Any:
    """Sample by sample: the sum of (gamma lambda)^n delta to the episode's end."""
    found = np.zeros(signal.shape)
    for t, e in np.ndindex(signal.shape):
        if truncated[t, e]:
            continue
        for later in range(t, len(signal)):
            delta = signal[later, e] + gamma * values[later + 1, e] - values[later, e]
            found[t, e] += (gamma * lambda_) ** (later - t) * delta
            if truncated[later + 1, e]:
                break
    return found


def test_a_single_step_is_that_of_the_equations() -> None:
    """One epoch of one minibatch: Adam's first step on factor * A, and the multiplier by its rule."""
    limit, steps, copies = 2.0, 12, 3
    plan = small_plan(limit, policy_epochs=1, critic_epochs=1, minibatches=1, multiplier_start=0.5)
    plan = replace(plan, steps=steps, copies=copies)
    settings = LearnerSettings.from_data(plan.learner)
    agent = CentralAgent(plan, 0, settings, torch.Generator().manual_seed(3))
    draw = np.random.default_rng(4)
    inputs = torch.from_numpy(draw.normal(size=(steps + 1, copies, 4)).astype(np.float32))
    truncated = np.zeros((steps + 1, copies), bool)
    truncated[5, 1] = truncated[9, 2] = True
    for t in range(steps):
        agent.act(t, inputs[t])
    agent.look(steps, inputs[-1])
    rewards, costs = draw.normal(size=(steps, copies)), (draw.random((steps, copies)) < 0.4).astype(float)
    factor = torch.from_numpy(draw.uniform(0.5, 1.5, steps * copies).astype(np.float32))
    before = [parameter.detach().clone().requires_grad_() for parameter in agent.policy.parameters()]
    values = agent.values.numpy().astype(float)

    told = agent.learn(Shared(inputs, np.zeros_like(truncated), truncated), rewards, costs, factor)

    valid = ~truncated[:-1]
    gain, harm = (
        advantages(signal, value, truncated, settings.gamma, settings.gae_lambda)
        for signal, value in zip((rewards, costs), values)
    )
    gain, harm = ((a - a[valid].mean()) / a[valid].std() for a in (gain, harm))
    mixed = torch.from_numpy(((gain - 0.5 * harm) * valid).astype(np.float32)).ravel() * factor
    log_std, w0, b0, w1, b1 = before
    mean = torch.tanh(inputs[:-1].reshape(-1, 4) @ w0.T + b0) @ w1.T + b1
    normal = torch.distributions.Normal(mean, log_std.exp().expand_as(mean))
    old = normal.log_prob(agent.actions.reshape(-1, 1)).sum(1)
    gradients = torch.autograd.grad(-(mixed * old).sum() / valid.sum(), before)
    norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
    for start, gradient, end in zip(before, gradients, agent.policy.parameters()):
        clipped = gradient * min(1.0, settings.gradient_norm / norm)
        expected = start - settings.policy_lr * clipped / (clipped.abs() + 1e-5)
        torch.testing.assert_close(end, expected, rtol=1e-3, atol=1e-6)

    episodes = max(2.0, valid.sum() / HORIZON)
    push = (costs[valid].sum() / episodes - limit) * (1 - settings.gamma)
    assert agent.multiplier == pytest.approx(0.5 + settings.multiplier_rate * push, abs=1e-6)
    with torch.no_grad():
        mean, std = agent.policy.mean(inputs[:-1].reshape(-1, 4)), agent.policy.log_std.exp()
        new = torch.distributions.Normal(mean, std.expand_as(mean)).log_prob(agent.actions.reshape(-1, 1)).sum(1)
    ratio = torch.where(torch.from_numpy(valid.ravel()), (new - old.detach()).exp(), torch.ones(steps * copies))
    torch.testing.assert_close(told, factor * ratio, rtol=1e-4, atol=1e-5)
