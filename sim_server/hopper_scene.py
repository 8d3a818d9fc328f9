"""``safe-hopper``: one hopper behind a moving box, its joints shared out among agents."""

from __future__ import annotations

import numpy as np
from mujoco.batch import Batch

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.hopper_model import build_model
from scalmarl.sim_server.hopper_task import BOX_START, GAP_LIMIT, JOINTS, NEAR, entries
from scalmarl.sim_server.planar_scene import PlanarScene
from scalmarl.sim_server.scene import Array, Bools, Floats, Owned

LOWEST = 0.7
STEEPEST = 0.2
"""Pitch (rad)."""
LARGEST = 100.0
"""Of pitch, joints and speeds."""


def box_place(elapsed: Array) -> Array:
    """x of the box ``elapsed`` seconds after the start (Safe MAMuJoCo): 1 m/s on average, between 0 and 2."""
    place: Array = BOX_START + elapsed + np.sin(elapsed)
    return place


class HopperScene(PlanarScene):
    """Cost: 1 while the torso is nearer to the box than 1 m or has passed it; with ``local`` an agent's is that of the
    limbs that it moves (of their middles, as of the last physics substep); ``legacy``: free again 1 m beyond."""

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.model = build_model(spec.physics)
        self._legacy = spec.cost_mode == "legacy"
        self.features = entries(JOINTS, self._legacy)
        owners = spec.action_entries
        self._limb_geoms = [self.model.geom(joint).id for own in owners for joint in own]
        self._owned_limbs = Owned([[JOINTS.index(joint) for joint in own] for own in owners])

    def bind(self, batch: Batch) -> None:
        """See ``Scene.bind``."""
        super().bind(batch)
        self._time: Array = batch.bind("time")
        self._drawn: Array = batch.bind("mocap_pos")
        if self.spec.cost_mode == "local":
            self._middles: Array = batch.bind("geom_xpos")

    def drive(self, copies: slice, elapsed: Array) -> None:
        """Show the box where it is; nothing is computed from that."""
        self._drawn[copies, 0, 0] = self._box

    def refresh(self, copies: slice) -> None:
        """The box as the clock says, and the gap to it."""
        self._clock = self._time[copies].reshape(-1)
        self._box = box_place(self._clock)
        self._gap = self._box - self._qpos[copies, 0]

    def _fallen(self, copies: slice) -> Bools:
        qpos, qvel = self._qpos[copies], self._qvel[copies]
        bounded = (np.abs(qpos[:, 2:]) < LARGEST).all(axis=1) & (np.abs(qvel) < LARGEST).all(axis=1)
        upright: Bools = bounded & (qpos[:, 1] > LOWEST) & (np.abs(qpos[:, 2]) < STEEPEST)
        return ~upright

    def _costly(self, copies: slice, moved: Array) -> Bools:
        if self.limits_speed:
            return self.too_fast(moved)
        if self.spec.cost_mode == "local":
            gaps = self._box[:, None] - self._middles[copies][:, self._limb_geoms, 0]
            return self._owned_limbs.any(gaps < NEAR)
        near: Bools = (np.abs(self._gap) if self._legacy else self._gap)[:, None] < NEAR
        return near

    def observe(self, copies: slice, out: Floats) -> None:
        """See ``hopper_task.entries``."""
        self.tell_body(copies, out)
        box = out[:, 2 * len(JOINTS) + 5 :]
        box[:, 0] = np.minimum(np.maximum(self._gap, -GAP_LIMIT), GAP_LIMIT)
        if not self._legacy:
            box[:, 1] = np.tanh(2.0 * (self._gap - NEAR))
        box[:, -3] = 1.0 + np.cos(self._clock)
        box[:, -2] = -np.sin(self._clock)
        box[:, -1] = 1.0
