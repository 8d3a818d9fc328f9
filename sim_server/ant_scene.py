"""What the ant scenes share: a free root in a corridor, contact forces, falls, and the reward of Safe MAMuJoCo.

Agent i's reward: v / A - 0.5 |a_i|^2 - 0.0005 sum over its bodies of clip(contact force, -1, 1)^2 + 1 / A; these sum
to the published team reward. In ``fast`` physics v is that of the root, and contact forces are those of the last
physics substep; ``parity`` takes both from MuJoCo's fields as the published code does after a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco.batch import Batch

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.corridor import Corridor
from scalmarl.sim_server.scene import Array, Bools, Outcome, Owned, Scene

CONTROL_COST = 0.5
CONTACT_COST = 0.0005
ALIVE = 1.0
HEALTHY_HEIGHT = (0.2, 1.0)
UPSIDE_DOWN = -0.7
FORCE = slice(3, 6)
"""Of a row of contact forces; before it stands the torque."""


class AntScene(Scene):
    """``owned_bodies[i]``: bodies whose contacts agent i pays for; those of ``shared_bodies`` are paid for in equal
    parts. Body ids are those of the model, without the world's."""

    def __init__(
        self,
        spec: TaskSpec,
        model: mujoco.MjModel,
        corridor: Corridor,
        owned_bodies: Sequence[Sequence[int]],
        shared_bodies: Sequence[int] = (),
    ) -> None:
        super().__init__(spec)
        self.model, self.corridor = model, corridor
        self.persistent = spec.physics == "parity"
        self._root = int(model.body_rootid[-1])
        self._owned = Owned([[body - 1 for body in own] for own in owned_bodies])
        self._shared = [body - 1 for body in shared_bodies]

    def bind(self, batch: Batch) -> None:
        """See ``Scene.bind``."""
        super().bind(batch)
        # The world's own row is no body of the robot.
        self._forces: Array = batch.bind("cfrc_ext")[:, 1:]
        self._places: Array = batch.bind("xpos")
        if self.persistent:
            self._data = mujoco.MjData(self.model)
            self._forces = np.zeros(self._forces.shape)

    def marks(self, copies: slice) -> Array:
        """x of the root: of its state, or (``parity``) of the body, which lags one force evaluation behind."""
        x: Array = self._places[copies, self._root, 0:1] if self.persistent else self._qpos[copies, 0:1]
        return x.copy()

    def refresh(self, copies: slice) -> None:
        """Axes of the root, and (``parity``) the contact forces of the last force evaluation, which for RK4 is not
        the one that a batch keeps."""
        w, x, y, z = self._qpos[copies, 3:7].T
        xx, yy, zz, xy, xz, yz, wx, wy, wz = x * x, y * y, z * z, x * y, x * z, y * z, w * x, w * y, w * z
        axes = np.stack(
            [0.5 - yy - zz, xy + wz, xz - wy, xy - wz, 0.5 - xx - zz, yz + wx, xz + wy, yz - wx, 0.5 - xx - yy], axis=1
        )
        axes *= 2.0
        self._forward, self._left, self._up = axes[:, 0:3], axes[:, 3:6], axes[:, 6:9]
        if self.persistent:
            for copy in range(copies.start, copies.stop):
                self._batch.get_data(copy, self._data)
                mujoco.mj_rnePostConstraint(self.model, self._data)
                self._forces[copy] = self._data.cfrc_ext[1:]

    def score(self, copies: slice, efforts: Array, moved: Array) -> Outcome:
        """See ``Scene.score``."""
        agents = self.spec.agents
        felt = np.clip(self._forces[copies], -1.0, 1.0)
        np.square(felt, out=felt)
        contacts = felt.sum(axis=2)
        rewards = self._owned.sum(contacts)
        if self._shared:
            rewards += contacts[:, self._shared].sum(axis=1, keepdims=True) / agents
        rewards *= -CONTACT_COST
        rewards -= CONTROL_COST * efforts
        rewards += (moved / self.spec.control_dt + ALIVE) / agents
        height = self._qpos[copies, 2]
        fallen = (height < HEALTHY_HEIGHT[0]) | (height > HEALTHY_HEIGHT[1]) | (self._up[:, 2] < UPSIDE_DOWN)
        near = self._near(copies)
        return Outcome(rewards, (near | fallen[:, None]).astype(np.float64), fallen, moved[:, 0])

    def _near(self, copies: slice) -> Bools:
        """``[E/G, A]``: whose cost the corridor's wall is now."""
        raise NotImplementedError

    def _head_near(self, copies: slice) -> Bools:
        """The published rule: the root's offset is everybody's cost."""
        near = self.corridor.is_too_near(self.corridor.offset(self._qpos[copies, 0], self._qpos[copies, 1]))
        return np.repeat(near[:, None], self.spec.agents, axis=1)

    def _felt(self, copies: slice, bodies: Sequence[int]) -> Array:
        """Size of the contact force on each of these bodies, clipped at 1 N; ``[E/G, bodies]``."""
        force: Array = self._forces[copies][:, [body - 1 for body in bodies], FORCE]
        size: Array = np.minimum(np.sqrt(np.square(force).sum(axis=2)), 1.0)
        return size


def heading(axis: Array) -> Array:
    """Cosine and sine of a body's heading, ``[E/G, 2]``; zeros for one that stands upright."""
    flat = axis[:, 0:2]
    length = np.sqrt(np.square(flat).sum(axis=1, keepdims=True))
    return flat / np.where(length > 0.0, length, 1.0)
