"""The centralised MAPPO-L: one process asks all policies, steps all worlds through pipes, and updates agent by agent.

The loop is that of the published codes: per control step one call of every agent's policy and of its two critics on all
copies at once; per round the agents in random order, each with the product of the ratios of those before it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from scalmarl.agents.centralised.agent import CentralAgent, Shared
from scalmarl.agents.normaliser import FrozenInput, InputNormaliser
from scalmarl.agents.settings import LearnerSettings
from scalmarl.protocol.kinds import FLAGS
from scalmarl.protocol.plan import Plan


class Worlds(Protocol):
    """E copies of a world. What is told is ``[E, W]``: for every agent, ascending, its block, reward, cost, terminated
    and truncated (of the action just taken), side by side. Reset is next-step."""

    def told(self) -> NDArray[np.float32]:
        """The latest observation."""

    def step(self, actions: NDArray[np.float32]) -> NDArray[np.float32]:
        """One control step of all copies with joint actions ``[E, A]``; returns what is told then."""


@dataclass(frozen=True)
class Took:
    """A round in seconds, and the team's reward and the agents' largest cost per control step."""

    sample_s: float
    update_s: float
    reward: float
    cost: float


class CentralisedTrainer:
    """All agents of a plan, each with one cost; trains on ``worlds`` round by round, by ``threads`` threads of
    torch."""

    def __init__(self, plan: Plan, worlds: Worlds, threads: int) -> None:
        torch.set_num_threads(threads)
        self._plan, self._worlds = plan, worlds
        settings = LearnerSettings.from_data(plan.learner)
        self._generator = torch.Generator().manual_seed(plan.seed % 2**63)
        self.agents = [CentralAgent(plan, me, settings, self._generator) for me in range(plan.agents)]
        self._limit = settings.observation_limit
        blocks = np.array(plan.task.block_sizes)
        ends = np.cumsum(blocks + 2 + FLAGS)
        starts = ends - (blocks + 2 + FLAGS)
        self._blocks = np.concatenate([np.arange(start, start + size) for start, size in zip(starts, blocks)])
        self._rewards, self._costs = starts + blocks, starts + blocks + 1
        self._inputs = InputNormaliser.empty(len(self._blocks))
        # Flags are the team's: every agent is told the same.
        self._terminated, self._truncated = int(ends[0]) - 2, int(ends[0]) - 1
        self._told = np.zeros((plan.steps + 1, plan.copies, int(ends[-1])), np.float32)

    def round(self) -> Took:
        """Sample and update once."""
        began = time.perf_counter()
        shared = self._sample()
        sampled = time.perf_counter()
        self._update(shared)
        updated = time.perf_counter()
        rewards, costs = self._told[1:, :, self._rewards], self._told[1:, :, self._costs]
        team = rewards.mean() * (1 if self._plan.task.reward_mode == "team" else self._plan.agents)
        return Took(sampled - began, updated - sampled, float(team), float(costs.max(axis=2).mean()))

    def _sample(self) -> Shared:
        plan, told = self._plan, self._told
        see = FrozenInput(self._inputs, self._limit)
        inputs = torch.zeros(plan.steps + 1, plan.copies, len(self._blocks))
        told[0] = self._worlds.told()
        for t in range(plan.steps):
            inputs[t] = torch.from_numpy(see(told[t][:, self._blocks]))
            actions = [agent.act(t, inputs[t]) for agent in self.agents]
            told[t + 1] = self._worlds.step(np.concatenate(actions, axis=1))
        inputs[-1] = torch.from_numpy(see(told[-1][:, self._blocks]))
        for agent in self.agents:
            agent.look(plan.steps, inputs[-1])
        return Shared(inputs, told[:, :, self._terminated] != 0, told[:, :, self._truncated] != 0)

    def _update(self, shared: Shared) -> None:
        """Sequentially, in random order, with the product of the predecessors' ratios."""
        factor = torch.ones(self._plan.samples)
        rewards, costs = (self._told[1:][:, :, columns].astype(np.float64) for columns in (self._rewards, self._costs))
        for me in torch.randperm(self._plan.agents, generator=self._generator).tolist():
            factor = self.agents[me].learn(shared, rewards[:, :, me], costs[:, :, me], factor)
        self._inputs = self._inputs.merged(self._told[:-1][:, :, self._blocks])
