"""A world of your own: robots on a line, each drawn to a place of its own, pay for coming near one another.

scalmarl launch --world crossing:make --kappa 1 --rounds 60        (from this directory)
"""

import numpy as np
from gymnasium.spaces import Box
from pettingzoo import ParallelEnv


class Crossing(ParallelEnv):
    """Action: a push. Observation: place, speed, goal. Reward: minus the distance to the goal."""

    metadata = {"name": "crossing-v0", "horizon": 100, "cost_limits": 2.0, "nonlocal": ()}  # noqa: RUF012

    def __init__(self, robots=6):
        self.possible_agents = [f"robot_{i}" for i in range(robots)]
        self.observation_spaces = dict.fromkeys(self.possible_agents, Box(-np.inf, np.inf, (3,)))
        self.action_spaces = dict.fromkeys(self.possible_agents, Box(-1, 1, (1,)))

    def neighbour_graph(self):
        """Pairs of neighbours, or a networkx graph of the agents' names."""
        return list(zip(self.possible_agents, self.possible_agents[1:]))

    def reset(self, seed=None, options=None):
        """All chance comes from the seed, so that a killed run goes on as it was."""
        draw, self.agents, self.steps = np.random.default_rng(seed), self.possible_agents[:], 0
        self.place = np.arange(len(self.agents)) + draw.uniform(-0.2, 0.2, len(self.agents))
        self.goal = self.place + draw.uniform(-1.5, 1.5, len(self.agents))
        self.speed = np.zeros(len(self.agents))
        return self.told(), {agent: {} for agent in self.agents}

    def step(self, actions):
        """Each robot pays 1 for every step within half a metre of a neighbour."""
        self.speed = 0.9 * self.speed + 0.1 * np.array([actions[agent][0] for agent in self.agents])
        self.place, self.steps = self.place + 0.2 * self.speed, self.steps + 1
        gaps = np.pad(np.abs(np.diff(self.place)), 1, constant_values=np.inf)
        costs, rewards = (gaps < 0.5).astype(float), -np.abs(self.goal - self.place)
        infos = {agent: {"cost": max(costs[i : i + 2])} for i, agent in enumerate(self.agents)}
        never, over = dict.fromkeys(self.agents, False), dict.fromkeys(self.agents, self.steps >= 100)
        answer = self.told(), dict(zip(self.agents, rewards)), never, over, infos
        self.agents = [] if self.steps >= 100 else self.agents
        return answer

    def told(self):
        """What each robot knows by itself; its neighbours tell it the rest."""
        rows = np.stack([self.place, self.speed, self.goal], axis=1).astype(np.float32)
        return dict(zip(self.possible_agents, rows))


make = Crossing
