"""``formation``: N robots in a corridor, each told only what is near it.

Agent i's reward: v_i - f_i - 0.1 |a_i|^2, where v_i is its speed along the corridor and f_i the mean over its
neighbours j of e^2 / (1 + e^2), with e (m) by how much the place of j seen from i differs from that in the formation;
they sum to the team's. Its cost: 1 while a wall or another robot is nearer than 0.25 m.
"""

from __future__ import annotations

import numpy as np
from mujoco.batch import Batch

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.formation_model import SUBSTEPS, build_model
from scalmarl.sim_server.formation_sensing import BAY, MARGIN, RADIUS, SIGHT, half_width, nearest, wall_gaps
from scalmarl.sim_server.formation_shape import LANE, abreast, places
from scalmarl.sim_server.formation_task import START_OFF, START_SPEED, features, heard
from scalmarl.sim_server.scene import Array, Floats, Outcome, Scene

CONTROL_COST = 0.1
SHARPNESS = 4.0
"""1/m; of what tells the gap at which it begins to cost."""


class FormationScene(Scene):
    """See the module; ``cost_mode`` ``team``: of anybody, to everybody."""

    substeps = SUBSTEPS

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.model = build_model(spec)
        self.features = features(spec.agents, spec.edges)
        self._home_x, self._home_y = np.array(places(spec.partition, spec.agents)).T
        self._half = half_width(abreast(spec.partition, spec.agents), LANE)
        pairs = heard(spec.edges)
        self._who, self._other = (np.array([pair[end] for pair in pairs], dtype=np.intp) for end in (0, 1))
        # Every robot has a neighbour, so every one has a first pair.
        self._first = np.searchsorted(self._who, np.arange(spec.agents))
        self._share = 1.0 / np.bincount(self._who)

    def bind(self, batch: Batch) -> None:
        """See ``Scene.bind``."""
        super().bind(batch)
        shape = (batch.nsim, self.spec.agents, 2)
        self._off, self._speed = (values.reshape(shape) for values in (self._qpos, self._qvel))
        assert np.shares_memory(self._off, self._qpos)

    def start(self, copy: int, draw: np.random.Generator) -> None:
        """Everybody in place, but for a little noise."""
        self._off[copy] = draw.uniform(-START_OFF, START_OFF, self._off.shape[1:])
        self._speed[copy] = draw.normal(0.0, START_SPEED, self._speed.shape[1:])

    def marks(self, copies: slice) -> Array:
        """x of every robot, from its place at the start."""
        x: Array = self._off[copies, :, 0].copy()
        return x

    def refresh(self, copies: slice) -> None:
        """Places, gaps, and how neighbours stand to one another."""
        off = self._off[copies]
        self._x, y = off[:, :, 0] + self._home_x, off[:, :, 1] + self._home_y
        self._walls = wall_gaps(self._x, y, self._half)
        distance, self._ahead, self._beside = nearest(self._x, y)
        self._gap = distance - 2.0 * RADIUS
        # A joint is zero in its robot's place, so the difference of two is how far the pair is out of formation.
        self._apart = np.take(off, self._other, axis=1) - np.take(off, self._who, axis=1)

    def score(self, copies: slice, efforts: Array, moved: Array) -> Outcome:
        """See ``Scene.score``."""
        error = np.square(self._apart).sum(axis=2)
        error /= 1.0 + error
        rewards = moved / self.spec.control_dt
        rewards -= np.add.reduceat(error, self._first, axis=1) * self._share
        rewards -= CONTROL_COST * efforts
        near = np.minimum(self._walls.min(axis=0), self._gap) < MARGIN
        if self.spec.cost_mode == "team":
            near = np.logical_or.reduce(near, axis=1)[:, None]
        return Outcome(rewards, near.astype(np.float64), None, moved.sum(axis=1) / self.spec.agents)

    def observe(self, copies: slice, out: Floats) -> None:
        """See ``formation_task.features``."""
        robots, pairs, size = self.spec.agents, len(self._who), len(out)
        speed = self._speed[copies]
        own = out[:, : 11 * robots].reshape(size, 11, robots)
        own[:, 0:2] = speed.transpose(0, 2, 1)
        walls = self._walls.transpose(1, 0, 2)
        own[:, 2:4] = np.minimum(walls, SIGHT)
        own[:, 4:6] = np.tanh(SHARPNESS * (walls - MARGIN))
        turn = self._x * (2.0 * np.pi / BAY)
        own[:, 6], own[:, 7] = np.cos(turn), np.sin(turn)
        closeness = (1.0 - self._gap / SIGHT) / (self._gap + 2.0 * RADIUS)
        own[:, 8], own[:, 9] = self._ahead * closeness, self._beside * closeness
        own[:, 10] = np.tanh(SHARPNESS * (self._gap - MARGIN))
        told = out[:, 11 * robots : 11 * robots + 4 * pairs].reshape(size, 4, pairs)
        told[:, 0:2] = self._apart.transpose(0, 2, 1)
        told[:, 2:4] = (np.take(speed, self._other, axis=1) - np.take(speed, self._who, axis=1)).transpose(0, 2, 1)
        out[:, -1] = 1.0
