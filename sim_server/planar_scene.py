"""What hopper and walker share: a planar robot that earns by moving along x and falls when it tips over.

Agent i's reward: (v + 1 while upright) / A - 0.001 |a_i|^2; these sum to the team reward of Gymnasium's robots. v is
the torso's speed along x.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from scalmarl.sim_server.planar_parts import SUBSTEPS
from scalmarl.sim_server.scene import Array, Bools, Floats, Outcome, Scene

CONTROL_COST = 1e-3
ALIVE = 1.0
NOISE = 5e-3
ROOT = 3
"""Coordinates of the root: x, height, pitch."""


class PlanarScene(Scene):
    """A subclass says what a fall is, and what costs."""

    substeps = SUBSTEPS

    def start(self, copy: int, draw: np.random.Generator) -> None:
        """Noise as published."""
        self._qpos[copy] += draw.uniform(-NOISE, NOISE, self._qpos.shape[1])
        self._qvel[copy] = draw.uniform(-NOISE, NOISE, self._qvel.shape[1])

    def marks(self, copies: slice) -> Array:
        """x of the torso."""
        x: Array = self._qpos[copies, 0:1].copy()
        return x

    def refresh(self, copies: slice) -> None:
        """Nothing that both need."""
        return

    def score(self, copies: slice, efforts: Array, moved: Array) -> Outcome:
        """See ``Scene.score``."""
        fallen = self._fallen(copies)
        rewards = (moved / self.spec.control_dt + ALIVE * ~fallen[:, None]) / self.spec.agents - CONTROL_COST * efforts
        return Outcome(rewards, self._costly(copies, moved).astype(np.float64), fallen, moved[:, 0])

    @abstractmethod
    def _fallen(self, copies: slice) -> Bools:
        """``[E/G]``: whose episode is over."""

    def _costly(self, copies: slice, moved: Array) -> Bools:
        """``[E/G, A]`` or ``[E/G, 1]``: whom the step costs; speed, unless a subclass knows of more."""
        return self.too_fast(moved)

    def tell_body(self, copies: slice, out: Floats) -> None:
        """Fill what is told of joints and torso."""
        qpos, qvel, joints = self._qpos[copies], self._qvel[copies], self._qpos.shape[1] - ROOT
        out[:, 0:joints] = qpos[:, ROOT:]
        out[:, joints : 2 * joints] = qvel[:, ROOT:]
        torso = out[:, 2 * joints :]
        torso[:, 0:2] = qpos[:, 1:ROOT]
        torso[:, 2:5] = qvel[:, :ROOT]
