"""The product's own tasks as PettingZoo ``ParallelEnv``s, for other people's code and for ``scalmarl env check``.

Agents are called ``agent_0``, ``agent_1``, ...; an observation is an agent's block, ``infos[agent]["cost"]`` its cost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from scalmarl.protocol.kinds import FLAGS
from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World

Floats = NDArray[np.float32]


class TaskEnv(ParallelEnv):  # type: ignore[misc]
    """One copy of a task, NAME or NAME:PARTITION; the choices are those of ``sim_server.tasks.describe``. Raises
    ``ValueError``."""

    def __init__(self, task: str = "safe-manyant", **choices: Any) -> None:
        self.spec = describe(task, **choices)
        self.possible_agents = [f"agent_{agent}" for agent in range(self.spec.agents)]
        self.agents: list[str] = []
        self.metadata = {
            "name": self.spec.label,
            "horizon": self.spec.horizon,
            "cost_limits": {name: own[0] for name, own in zip(self.possible_agents, self.spec.cost_limits)},
            "reward": self.spec.reward_mode,
            "cost": "local" if self.spec.cost_mode == "local" else "team",
            "nonlocal": self.spec.nonlocal_facts,
            "notes": self.spec.notes,
        }
        self.observation_spaces = {
            name: Box(-np.inf, np.inf, (size,), np.float32)
            for name, size in zip(self.possible_agents, self.spec.block_sizes)
        }
        self.action_spaces = {
            name: Box(-1.0, 1.0, (size,), np.float32)
            for name, size in zip(self.possible_agents, self.spec.action_sizes)
        }
        self._world = World(self.spec, copies=1, groups=1, seed=0, threads=1, staggered=False)
        self._next_seed = 0

    def observation_space(self, agent: str) -> Box:
        """Unbounded."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Box:
        """Controls of its actuators, -1 to 1."""
        return self.action_spaces[agent]

    def neighbour_graph(self) -> list[tuple[str, str]]:
        """The natural graph of the task."""
        return [(self.possible_agents[a], self.possible_agents[b]) for a, b in self.spec.edges]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Floats], dict[str, dict[str, float]]]:
        """A new episode; without a seed the one after the last."""
        self._next_seed = self._next_seed + 1 if seed is None else seed
        self._world.restart(self._next_seed)
        self.agents = self.possible_agents[:]
        observations = {name: row[: -2 - FLAGS] for name, row in self._told().items()}
        return observations, {name: {} for name in self.agents}

    def step(self, actions: dict[str, Floats]) -> tuple[dict[str, Any], ...]:
        """One control step."""
        self._world.step(0, [np.asarray(actions[name], np.float32)[None] for name in self.possible_agents])
        told = self._told()
        over = bool(self._world.episodes.over[0])
        self.agents = [] if over else self.agents
        return (
            {name: row[: -2 - FLAGS] for name, row in told.items()},
            {name: float(row[-2 - FLAGS]) for name, row in told.items()},
            {name: bool(row[-2]) for name, row in told.items()},
            {name: bool(row[-1]) for name, row in told.items()},
            {name: {"cost": float(row[-1 - FLAGS])} for name, row in told.items()},
        )

    def _told(self) -> dict[str, Floats]:
        """Block, reward, cost and flags of every agent."""
        rows = {}
        for agent, name in enumerate(self.possible_agents):
            row: Any = self._world.observation(agent, 0)[0]
            rows[name] = row.copy()
        return rows

    def save_state(self) -> bytes:
        """All that is needed to go on bit-identically."""
        from scalmarl.sim_server.making import SavedWorld

        return SavedWorld(self._world).save()

    def load_state(self, content: bytes) -> None:
        """The inverse of ``save_state``."""
        from scalmarl.sim_server.making import SavedWorld

        SavedWorld(self._world).load(content)


make = TaskEnv
