"""``safe-halfcheetah``, ``safe-coupled-halfcheetah`` and ``cheetahs``: half cheetahs behind a moving plate.

Agent i's reward, one of the A_c agents of cheetah c: weight * (v_c / A_c - 0.1 |a_i|^2); they sum to the team's. Its
cost: 1 while the gap to the plate is below the task's threshold.
"""

from __future__ import annotations

import numpy as np
from mujoco.batch import Batch

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.cheetah_model import BOMB_START, LANE, SUBSTEPS, WALL, build_model
from scalmarl.sim_server.cheetah_task import JOINTS, costs_by_limb, features, herd_of
from scalmarl.sim_server.scene import Array, Bools, Floats, Outcome, Owned, Scene

CONTROL_COST = 0.1
SHARE = len(JOINTS)
OF_ONE = 3 + SHARE
"""Coordinates of one cheetah: x, z, pitch, joints."""


def bomb_control(elapsed: Array) -> Array:
    """The plate's control ``elapsed`` seconds after the start (Safe MAMuJoCo): it comes nearer, then runs away."""
    control: Array = 0.02 * np.square(np.sin(elapsed / 3.0)) - 0.004
    return control


class CheetahScene(Scene):
    """See the module; ``cost_mode`` ``team``: of any cheetah, to everybody; ``legacy``: the published rule."""

    substeps = SUBSTEPS

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self._herd = herd = herd_of(spec)
        self._legacy = spec.cost_mode == "legacy"
        self._costs_by_limb = costs_by_limb(herd, spec.cost_mode)
        self.model = build_model(herd, spec.physics)
        self.features = features(herd, self._legacy)
        owners = spec.action_entries
        self._cheetah_of = np.array([int(own[0].rpartition("_")[2]) for own in owners], dtype=np.intp)
        self._whole = len(owners) == herd.cheetahs
        self._shares = herd.weight / np.bincount(self._cheetah_of)[self._cheetah_of] / spec.control_dt
        self._limb_geoms = [self.model.geom(joint).id for own in owners for joint in own]
        self._owned_limbs = Owned(_split(range(len(self._limb_geoms)), [len(own) for own in owners]))

    def bind(self, batch: Batch) -> None:
        """See ``Scene.bind``."""
        super().bind(batch)
        shape = (batch.nsim, self._herd.cheetahs, OF_ONE)
        self._position, self._speed = (values[:, 1:].reshape(shape) for values in (self._qpos, self._qvel))
        assert np.shares_memory(self._position, self._qpos)
        if self._costs_by_limb:
            self._middles: Array = batch.bind("geom_xpos")

    def start(self, copy: int, draw: np.random.Generator) -> None:
        """Noise as published, the plate's included."""
        self._qpos[copy] += draw.uniform(-0.1, 0.1, self._qpos.shape[1])
        self._qvel[copy] = draw.normal(0.0, 0.1, self._qvel.shape[1])

    def drive(self, copies: slice, elapsed: Array) -> None:
        """The plate's motor."""
        self._ctrl[copies, 0] = bomb_control(elapsed * self.spec.control_dt)

    def marks(self, copies: slice) -> Array:
        """x of every torso."""
        x: Array = self._position[copies, :, 0].copy()
        return x

    def refresh(self, copies: slice) -> None:
        """The gap of every cheetah."""
        self._gap = (self._qpos[copies, 0:1] + BOMB_START) - self._position[copies, :, 0]

    def score(self, copies: slice, efforts: Array, moved: Array) -> Outcome:
        """See ``Scene.score``."""
        rewards = self._each(moved) * self._shares
        rewards -= CONTROL_COST * self._herd.weight * efforts
        travelled = moved.sum(axis=1) / self._herd.cheetahs
        costs = self.too_fast(moved) if self.limits_speed else self._near(copies)
        return Outcome(rewards, costs.astype(np.float64), None, travelled)

    def speed(self, moved: Array) -> Array:
        """Of each agent's own cheetah."""
        return self._each(super().speed(moved))

    def _each(self, of_cheetahs: Array) -> Array:
        """A figure of every cheetah, for each of its agents."""
        return of_cheetahs if self._whole else np.take(of_cheetahs, self._cheetah_of, axis=1)

    def _near(self, copies: slice) -> Bools:
        """``[E/G, A]`` or ``[E/G, 1]``: whose cost the plate is now."""
        if self._costs_by_limb:
            ahead = (self._qpos[copies, 0:1] + BOMB_START) - self._middles[copies][:, self._limb_geoms, 0]
            return self._owned_limbs.any(np.abs(ahead) < self._herd.near)
        near: Bools = np.abs(self._gap) < self._herd.near
        if self.spec.cost_mode == "local":
            return near if self._whole else near[:, self._cheetah_of]
        anybody = near if self._herd.cheetahs == 1 else np.logical_or.reduce(near, axis=1)[:, None]
        if self._legacy and self._herd.cheetahs == 2:
            # The published rule also takes the side walls, 3 m from either lane, for obstacles at 5 m.
            anybody |= self._herd.near > WALL - LANE / 2
        return anybody

    def observe(self, copies: slice, out: Floats) -> None:
        """See ``cheetah_task.features``."""
        position, speed, size, herd = self._position[copies], self._speed[copies], len(out), self._herd.cheetahs
        joints = SHARE * herd
        out[:, :joints] = position[:, :, 3:].reshape(size, joints)
        out[:, joints : 2 * joints] = speed[:, :, 3:].reshape(size, joints)
        torso = out[:, 2 * joints : 2 * joints + 5 * herd].reshape(size, 5, herd)
        torso[:, 0:2] = position[:, :, 1:3].transpose(0, 2, 1)
        torso[:, 2:5] = speed[:, :, 0:3].transpose(0, 2, 1)
        at = 2 * joints + 5 * herd
        out[:, at : at + herd] = np.minimum(np.maximum(self._gap / 10.0, -5.0), 5.0)
        at += herd
        if not self._legacy:
            over = self._gap - self._herd.near
            out[:, at : at + herd] = np.tanh(2.0 * over)
            out[:, at + herd : at + 2 * herd] = np.tanh(over / 3.0)
            at += 2 * herd
        if self._herd.coupling and herd > 1:
            out[:, at : at + herd - 1], out[:, at + herd - 1 : at + 2 * herd - 2] = _tendons(position, speed)
        out[:, -3] = self._qvel[copies, 0]
        out[:, -2] = self._ctrl[copies, 0]
        out[:, -1] = 1.0


def _tendons(position: Array, speed: Array) -> tuple[Array, Array]:
    """Length and speed of the tendons between neighbours, ``[E/G, C - 1]``, from the torsos' places."""
    apart, closing = np.diff(position[:, :, 0:2], axis=1), np.diff(speed[:, :, 0:2], axis=1)
    length = np.sqrt(np.square(apart).sum(axis=2) + LANE * LANE)
    return length, (apart * closing).sum(axis=2) / length


def _split(columns: range, sizes: list[int]) -> list[list[int]]:
    ends = np.cumsum(sizes).tolist()
    return [list(columns[end - size : end]) for end, size in zip(ends, sizes)]
