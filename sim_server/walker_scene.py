"""``safe-walker2d``: one planar walker, its joints shared out among agents."""

from __future__ import annotations

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.planar_scene import PlanarScene
from scalmarl.sim_server.scene import Bools, Floats
from scalmarl.sim_server.walker_model import build_model
from scalmarl.sim_server.walker_task import FEATURES

HEALTHY_HEIGHT = (0.8, 2.0)
STEEPEST = 1.0
"""Pitch (rad)."""


class WalkerScene(PlanarScene):
    """The torso's speed is the cost."""

    features = FEATURES

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.model = build_model(spec.physics)

    def _fallen(self, copies: slice) -> Bools:
        height, pitch = self._qpos[copies, 1], self._qpos[copies, 2]
        upright: Bools = (height > HEALTHY_HEIGHT[0]) & (height < HEALTHY_HEIGHT[1]) & (abs(pitch) < STEEPEST)
        return ~upright

    def observe(self, copies: slice, out: Floats) -> None:
        """See ``walker_task.FEATURES``."""
        self.tell_body(copies, out)
        out[:, -1] = 1.0
