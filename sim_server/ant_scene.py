"""What the ant scenes share: a free root in a corridor, contact forces, falls, and the reward of Safe MAMuJoCo.

Agent i's reward: v / A - 0.5 |a_i|^2 - 0.0005 sum over its bodies of clip(contact force, -1, 1)^2 + 1 / A; these sum
to the published team reward. In ``fast`` physics v is that of the root; ``parity`` takes it from MuJoCo's fields as
the published code does after a step.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco.batch import Batch

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.corridor import Corridor
from scalmarl.sim_server.free_root_scene import FreeRootScene
from scalmarl.sim_server.scene import Array, Bools, Outcome, Owned

CONTROL_COST = 0.5
CONTACT_COST = 0.0005
ALIVE = 1.0
HEALTHY_HEIGHT = (0.2, 1.0)
UPSIDE_DOWN = -0.7


class AntScene(FreeRootScene):
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
        super().__init__(spec, model, corridor)
        self._root = int(model.body_rootid[-1])
        self._owned = Owned([[body - 1 for body in own] for own in owned_bodies])
        self._shares_root = shares_root

    def bind(self, batch: Batch) -> None:
        """See ``Scene.bind``."""
        super().bind(batch)
        if self.persistent:
            self._places: Array = batch.bind("xpos")

    def marks(self, copies: slice) -> Array:
        """x of the root, where speed costs y too: of its state, or (``parity``) of the body, which lags one force
        evaluation behind."""
        axes = 2 if self.limits_speed else 1
        place: Array = self._places[copies, self._root, :axes] if self.persistent else self._qpos[copies, :axes]
        return place.copy()

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
        rewards += (moved[:, 0:1] / self.spec.control_dt + ALIVE) / agents
        height = self._qpos[copies, 2]
        fallen = (height < HEALTHY_HEIGHT[0]) | (height > HEALTHY_HEIGHT[1]) | (self._up[:, 2] < UPSIDE_DOWN)
        if self.limits_speed:
            return Outcome(rewards, self.too_fast(moved).astype(np.float64), fallen, moved[:, 0])
        # Unless costs are local, the root's offset is everybody's, as published.
        is_local = self.spec.cost_mode == "local"
        near = self._own_near(copies) if is_local else self.corridor.is_too_near(self._offset[:, 0:1])
        return Outcome(rewards, (near | fallen[:, None]).astype(np.float64), fallen, moved[:, 0])

    @abstractmethod
    def _own_near(self, copies: slice) -> Bools:
        """``[E/G, A]``: which agents' own parts are too near to a wall."""
