"""What scenes of robots with a free root in a corridor share: the root's axes, contact forces, and what is told of it.

In ``fast`` physics contact forces are those of the last physics substep; in ``parity`` they are MuJoCo's own after the
step, as the published codes take them.
"""

from __future__ import annotations

import mujoco
import numpy as np
from mujoco.batch import Batch

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.corridor import Corridor
from scalmarl.sim_server.scene import Array, Floats, Scene


class FreeRootScene(Scene):
    """``refresh`` sets ``_forward``, ``_left`` and ``_up`` ``[E/G, 3]``, the root's axes; ``_forces`` ``[E, B, 6]``
    are the contact forces on the robot's B bodies, of which the root is the first."""

    def __init__(self, spec: TaskSpec, model: mujoco.MjModel, corridor: Corridor) -> None:
        super().__init__(spec)
        self.model, self.corridor = model, corridor
        self.persistent = spec.physics == "parity"

    def bind(self, batch: Batch) -> None:
        """See ``Scene.bind``."""
        super().bind(batch)
        # The world's own row is no body of the robot.
        self._forces: Array = batch.bind("cfrc_ext")[:, 1:]
        if self.persistent:
            self._data = mujoco.MjData(self.model)
            self._forces = np.zeros(self._forces.shape)

    def refresh(self, copies: slice) -> None:
        """Axes of the root, and (``parity``) the contact forces of the last force evaluation, which for RK4 is not
        the one that a batch keeps."""
        axes = rotation_axes(self._qpos[copies, 3:7])
        self._forward, self._left, self._up = axes[:, 0:3], axes[:, 3:6], axes[:, 6:9]
        if self.persistent:
            for copy in range(copies.start, copies.stop):
                self._batch.get_data(copy, self._data)
                mujoco.mj_rnePostConstraint(self.model, self._data)
                self._forces[copy] = self._data.cfrc_ext[1:]

    def speed(self, moved: Array) -> Array:
        """Along the ground, whatever the direction."""
        speed: Array = np.hypot(moved[:, 0:1], moved[:, 1:2]) / self.spec.control_dt
        return speed

    def tell_root(self, copies: slice, offset: Array, out: Floats) -> None:
        """Fill ``task_family.ROOT_ENTRIES``; ``offset`` ``[E/G, 1]`` is the root's."""
        qpos, qvel = self._qpos[copies], self._qvel[copies]
        out[:, 0] = qpos[:, 2]
        out[:, 1:4] = self._up
        out[:, 4:10] = qvel[:, 0:6]
        out[:, 10] = qpos[:, 0] / 5.0
        out[:, 11:12] = offset
        out[:, 12:14] = heading(self._forward)


# A rotation matrix of a unit quaternion, column by column: twice (a sum or difference of two products of its entries),
# plus 1 on the diagonal. The products stand in a 4 x 4 table, row by row.
_FIRST, _SECOND = (
    np.array([4 * "wxyz".index(pair[0]) + "wxyz".index(pair[1]) for pair in products.split()])
    for products in ("yy xy xz xy xx yz xz yz xx", "zz wz wy wz zz wx wy wx yy")
)
_TWICE_FIRST = 2.0 * np.array([-1, 1, 1, 1, -1, 1, 1, 1, -1])
_TWICE_SECOND = 2.0 * np.array([-1, 1, -1, -1, -1, 1, 1, -1, -1])
_DIAGONAL = np.eye(3).reshape(9)


def rotation_axes(quaternions: Array) -> Array:
    """``[E/G, 9]``: the axes x, y and z of frames turned by unit quaternions ``[E/G, 4]``."""
    products = (quaternions[:, :, None] * quaternions[:, None, :]).reshape(-1, 16)
    axes: Array = np.take(products, _FIRST, axis=1) * _TWICE_FIRST
    axes += np.take(products, _SECOND, axis=1) * _TWICE_SECOND
    axes += _DIAGONAL
    return axes


def heading(axis: Array) -> Array:
    """Cosine and sine of a body's heading, ``[E/G, 2]``; zeros for one that stands upright."""
    length = np.hypot(axis[:, 0:1], axis[:, 1:2])
    return axis[:, 0:2] / np.maximum(length, np.finfo(np.float64).tiny)
