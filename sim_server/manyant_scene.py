"""``safe-manyant``: A agents of S segments each of a rigid chain in a folded corridor.

Poses and velocities of all segments follow from the free root alone, because the spine is rigid; they are those of the
current state, whereas MuJoCo's derived fields lag one physics substep behind.
"""

from __future__ import annotations

import numpy as np
from mujoco.batch import Batch

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.ant_parts import START_HEIGHT
from scalmarl.sim_server.ant_scene import AntScene
from scalmarl.sim_server.corridor import Corridor, scale_for
from scalmarl.sim_server.free_root_scene import heading
from scalmarl.sim_server.manyant_model import BODIES, SUBSTEPS, build_model
from scalmarl.sim_server.manyant_task import HALF_WIDTH, JOINTS, SEGMENT_ENTRIES, features
from scalmarl.sim_server.scene import Bools, Floats

LEGS = len(JOINTS)
FEET = (BODIES.index("foot_1"), BODIES.index("foot_2"))


def corridor_of(spec: TaskSpec) -> Corridor:
    """The corridor that suits the length of a task's chain; the published one under ``legacy``."""
    legacy = spec.cost_mode == "legacy"
    return Corridor(HALF_WIDTH, 1.0 if legacy else scale_for(spec.agents * spec.parameters["segments"]), legacy)


class ManyAntScene(AntScene):
    """Agent i's cost: 1 while any of its segments is within 1.8 m of a wall or beyond it, or when the body falls."""

    substeps = SUBSTEPS

    def __init__(self, spec: TaskSpec) -> None:
        self._segments = int(spec.parameters["segments"])
        self._chain = spec.agents * self._segments
        corridor, each = corridor_of(spec), len(BODIES) * self._segments
        bodies = [range(1 + each * agent, 1 + each * (agent + 1)) for agent in range(spec.agents)]
        super().__init__(spec, build_model(self._chain, corridor, spec.physics), corridor, bodies)
        self.features = features(self._chain)
        self._behind = -np.arange(self._chain, dtype=np.float64)

    def bind(self, batch: Batch) -> None:
        """See ``Scene.bind``."""
        super().bind(batch)
        per_segment = self._forces.reshape(len(self._forces), self._chain, len(BODIES), 6)
        self._feet_forces = per_segment[:, :, FEET[0] :: FEET[1] - FEET[0], 3:]

    def start(self, copy: int, draw: np.random.Generator) -> None:
        """The root stays level: a long rod would not survive noise in pitch and roll."""
        yaw, joints = draw.uniform(-0.1, 0.1), LEGS * self._chain
        self._qpos[copy, 0:2] = draw.uniform(-0.1, 0.1, 2)
        self._qpos[copy, 2] = START_HEIGHT + draw.uniform(-0.02, 0.02)
        self._qpos[copy, 3:7] = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
        self._qpos[copy, 7:] = draw.uniform(-0.1, 0.1, joints)
        self._qvel[copy, 0:3] = draw.normal(0.0, 0.1, 3)
        self._qvel[copy, 3:6] = draw.normal(0.0, 0.01, 3)
        self._qvel[copy, 6:] = draw.normal(0.0, 0.1, joints)

    def refresh(self, copies: slice) -> None:
        """Also the place and the offset of every segment."""
        super().refresh(copies)
        self._position = self._qpos[copies, 0:3, None] + self._forward[:, :, None] * self._behind
        self._offset = self.corridor.offset(self._position[:, 0], self._position[:, 1])

    def _own_near(self, copies: slice) -> Bools:
        near = self.corridor.is_too_near(self._offset).reshape(len(self._offset), self.spec.agents, self._segments)
        anywhere: Bools = np.logical_or.reduce(near, axis=2)
        return anywhere

    def observe(self, copies: slice, out: Floats) -> None:
        """See ``manyant_task.SEGMENT_ENTRIES``."""
        qpos, qvel, size = self._qpos[copies], self._qvel[copies], len(out)
        block = out[:, : self._chain * len(SEGMENT_ENTRIES)].reshape(size, self._chain, len(SEGMENT_ENTRIES))
        # Angular velocity (in the body's frame) x axis: the term along the axis itself is zero.
        lever = qvel[:, 5:6] * self._left - qvel[:, 4:5] * self._up
        block[:, :, 0:4] = qpos[:, 7:].reshape(size, -1, LEGS)
        block[:, :, 4:8] = qvel[:, 6:].reshape(size, -1, LEGS)
        block[:, :, 8] = self._position[:, 2]
        block[:, :, 9:12] = self._up[:, None]
        block[:, :, 12:15] = qvel[:, None, 0:3] + lever[:, None] * self._behind[:, None]
        block[:, :, 15:18] = qvel[:, None, 3:6]
        block[:, :, 18] = self._position[:, 0] / 5.0
        block[:, :, 19] = self._offset
        force = np.square(self._feet_forces[copies]).sum(axis=3)
        block[:, :, 20:22] = np.minimum(np.sqrt(force), 1.0)
        block[:, :, 22:24] = heading(self._forward)[:, None]
        out[:, -1] = 1.0
