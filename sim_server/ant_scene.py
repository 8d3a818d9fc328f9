"""What the ant scenes share: a free root in a corridor, contact forces, falls, and the reward of Safe MAMuJoCo.

Agent i's reward: v / A - 0.5 |a_i|^2 - 0.0005 sum over its bodies of clip(contact force, -1, 1)^2 + 1 / A; these sum
to the published team reward. In ``fast`` physics v is that of the root, and contact forces are those of the last
physics substep; ``parity`` takes both from MuJoCo's fields as the published code does after a step.
"""

from __future__ import annotations

from abc import abstractmethod
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


class AntScene(Scene):
    """``owned_bodies[i]``: ids of the bodies whose contacts agent i pays for; with ``shares_root`` those of the root
    are paid for in equal parts. A subclass's ``refresh`` sets ``_offset`` ``[E/G, places]``, the root's first."""

    _offset: Array

    def __init__(
        self,
        spec: TaskSpec,
        model: mujoco.MjModel,
        corridor: Corridor,
        owned_bodies: Sequence[Sequence[int]],
        shares_root: bool = False,
    ) -> None:
        super().__init__(spec)
        self.model, self.corridor = model, corridor
        self.persistent = spec.physics == "parity"
        self._root = int(model.body_rootid[-1])
        self._owned = Owned([[body - 1 for body in own] for own in owned_bodies])
        self._shares_root = shares_root

    def bind(self, batch: Batch) -> None:
        """See ``Scene.bind``."""
        super().bind(batch)
        # The world's own row is no body of the robot.
        self._forces: Array = batch.bind("cfrc_ext")[:, 1:]
        if self.persistent:
            self._places: Array = batch.bind("xpos")
            self._data = mujoco.MjData(self.model)
            self._forces = np.zeros(self._forces.shape)

    def marks(self, copies: slice) -> Array:
        """x of the root: of its state, or (``parity``) of the body, which lags one force evaluation behind."""
        x: Array = self._places[copies, self._root, 0:1] if self.persistent else self._qpos[copies, 0:1]
        return x.copy()

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

    def score(self, copies: slice, efforts: Array, moved: Array) -> Outcome:
        """See ``Scene.score``."""
        agents = self.spec.agents
        felt = np.minimum(self._forces[copies], 1.0)
        np.maximum(felt, -1.0, out=felt)
        np.square(felt, out=felt)
        contacts = felt.sum(axis=2)
        rewards = self._owned.sum(contacts)
        if self._shares_root:
            rewards += contacts[:, 0:1] / agents
        rewards *= -CONTACT_COST
        rewards -= CONTROL_COST * efforts
        rewards += (moved / self.spec.control_dt + ALIVE) / agents
        height = self._qpos[copies, 2]
        fallen = (height < HEALTHY_HEIGHT[0]) | (height > HEALTHY_HEIGHT[1]) | (self._up[:, 2] < UPSIDE_DOWN)
        # Unless costs are local, the root's offset is everybody's, as published.
        is_local = self.spec.cost_mode == "local"
        near = self._own_near(copies) if is_local else self.corridor.is_too_near(self._offset[:, 0:1])
        return Outcome(rewards, (near | fallen[:, None]).astype(np.float64), fallen, moved[:, 0])

    @abstractmethod
    def _own_near(self, copies: slice) -> Bools:
        """``[E/G, A]``: which agents' own parts are too near to a wall."""


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
