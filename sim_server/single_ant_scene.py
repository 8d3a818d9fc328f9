"""``safe-ant``: one ant in a folded corridor, its joints shared out among agents."""

from __future__ import annotations

import numpy as np
from mujoco.batch import Batch

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.ant_model import SUBSTEPS, build_model
from scalmarl.sim_server.ant_scene import AntScene
from scalmarl.sim_server.ant_task import FEATURES, HALF_WIDTH, JOINTS
from scalmarl.sim_server.corridor import Corridor
from scalmarl.sim_server.scene import Array, Bools, Floats, Owned

_MOVED = {"hip": "thigh", "ankle": "foot"}
"""The limb that a joint moves."""
N = len(JOINTS)


def _limb(joint: str) -> str:
    kind, leg = joint.split("_")
    return f"{_MOVED[kind]}_{leg}"


def _bodies_of(joint: str) -> tuple[str, ...]:
    """A hip's owner pays for the strut between torso and thigh as well."""
    kind, leg = joint.split("_")
    return (f"leg_{leg}", f"thigh_{leg}") if kind == "hip" else (f"foot_{leg}",)


class SingleAntScene(AntScene):
    """The published cost is that of the torso; with ``local`` an agent's is that of the limbs that it moves (of their
    middles, as of the last physics substep)."""

    substeps = SUBSTEPS
    features = FEATURES

    def __init__(self, spec: TaskSpec) -> None:
        corridor = Corridor(HALF_WIDTH, legacy=spec.cost_mode == "legacy")
        model = build_model(corridor, spec.physics)
        owners = spec.action_entries
        bodies = [[model.body(body).id for joint in own for body in _bodies_of(joint)] for own in owners]
        super().__init__(spec, model, corridor, bodies, shares_root=True)
        # Rows of the contact forces, which lack the world's.
        self._limbs = np.array([model.body(_limb(joint)).id - 1 for joint in JOINTS])
        self._limb_geoms = [model.geom(f"{_limb(joint)}_geom").id for joint in JOINTS]
        self._owned_limbs = Owned([[JOINTS.index(joint) for joint in own] for own in owners])

    def bind(self, batch: Batch) -> None:
        """See ``Scene.bind``."""
        super().bind(batch)
        if self.spec.cost_mode == "local":
            self._middles: Array = batch.bind("geom_xpos")

    def start(self, copy: int, draw: np.random.Generator) -> None:
        """Noise as published: on every coordinate, the quaternion included."""
        self._qpos[copy] += draw.uniform(-0.1, 0.1, self._qpos.shape[1])
        self._qpos[copy, 3:7] /= np.sqrt(np.square(self._qpos[copy, 3:7]).sum())
        self._qvel[copy] = draw.normal(0.0, 0.1, self._qvel.shape[1])

    def refresh(self, copies: slice) -> None:
        """Also the torso's offset."""
        super().refresh(copies)
        self._offset = self.corridor.offset(self._qpos[copies, 0:1], self._qpos[copies, 1:2])

    def _own_near(self, copies: slice) -> Bools:
        middles = self._middles[copies][:, self._limb_geoms]
        return self._owned_limbs.any(self.corridor.is_too_near(self.corridor.offset(middles[..., 0], middles[..., 1])))

    def observe(self, copies: slice, out: Floats) -> None:
        """See ``ant_task.FEATURES``."""
        out[:, 0:N] = self._qpos[copies, 7:]
        out[:, N : 2 * N] = self._qvel[copies, 6:]
        forces = np.sqrt(np.square(self._forces[copies, :, 3:]).sum(axis=2))
        out[:, 2 * N : 3 * N] = np.minimum(np.take(forces, self._limbs, axis=1), 1.0)
        self.tell_root(copies, self._offset, out[:, 3 * N : -1])
        out[:, -1] = 1.0
