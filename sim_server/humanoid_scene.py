"""``safe-humanoid``: one humanoid in a narrow folded corridor, its joints shared out among agents.

Agent i's reward: (1.25 v + 5 while upright) / A - 0.016 |a_i|^2 - its part of min(5e-7 sum of contact forces^2, 10);
these sum to the published team reward. v is the speed of the centre of mass, as of the last physics substep; 0.016 is
the published 0.1 for motors that take 0.4 times as much.
"""

from __future__ import annotations

import numpy as np
from mujoco.batch import Batch

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.corridor import Corridor
from scalmarl.sim_server.free_root_scene import FreeRootScene
from scalmarl.sim_server.humanoid_model import PUBLISHED_RANGE, SUBSTEPS, build_model
from scalmarl.sim_server.humanoid_task import FEATURES, HALF_WIDTH, JOINTS, LIMBS, limbs_of
from scalmarl.sim_server.scene import Array, Bools, Floats, Outcome, Owned

FORWARD = 1.25
CONTROL_COST = 0.1 * PUBLISHED_RANGE**2
CONTACT_COST, LARGEST_CONTACT_COST = 5e-7, 10.0
ALIVE = 5.0
HEALTHY_HEIGHT = (1.0, 2.0)
NOISE = 0.01
N = len(JOINTS)


class HumanoidScene(FreeRootScene):
    """The published cost is that of the torso; with ``local`` an agent's is that of the limbs that it moves (of their
    middles, as of the last physics substep)."""

    substeps = SUBSTEPS
    features = FEATURES

    def __init__(self, spec: TaskSpec) -> None:
        corridor = Corridor(HALF_WIDTH, legacy=spec.cost_mode == "legacy")
        super().__init__(spec, build_model(corridor, spec.physics), corridor)
        self._masses = self.model.body_mass[1:] / self.model.body_mass.sum()
        limbs = list(LIMBS)
        # Rows of the contact forces, which lack the world's; a shin's force is that on its foot.
        self._felt = [self.model.body(limb.replace("shin", "foot")).id - 1 for limb in limbs]
        self._limb_geoms = [self.model.geom(limb).id for limb in limbs]
        self._owned_limbs = Owned([[limbs.index(limb) for limb in limbs_of(own)] for own in spec.action_entries])
        self._parts = self._parts_of_contacts()

    def _parts_of_contacts(self) -> Array:
        """``[A, B]``: which part of each body's contacts an agent pays for. The owners of a limb's joints pay for it,
        with its foot, in equal parts; everybody for the torso."""
        model, owners = self.model, self.spec.action_entries
        parts = np.zeros((len(owners), model.nbody - 1))
        parts[:, model.body("torso").id - 1] = 1.0 / len(owners)
        for limb, (_, joints) in LIMBS.items():
            bodies = [limb] + ([limb.replace("shin", "foot")] if "shin" in limb else [])
            for agent, own in enumerate(owners):
                for body in bodies:
                    parts[agent, model.body(body).id - 1] = len(set(own) & set(joints)) / len(joints)
        return parts

    def bind(self, batch: Batch) -> None:
        """See ``Scene.bind``."""
        super().bind(batch)
        self._centres: Array = batch.bind("xipos")[:, 1:, :2]
        if self.spec.cost_mode == "local":
            self._middles: Array = batch.bind("geom_xpos")

    def start(self, copy: int, draw: np.random.Generator) -> None:
        """Noise as published: on every coordinate, the quaternion included."""
        self._qpos[copy] += draw.uniform(-NOISE, NOISE, self._qpos.shape[1])
        self._qpos[copy, 3:7] /= np.sqrt(np.square(self._qpos[copy, 3:7]).sum())
        self._qvel[copy] = draw.uniform(-NOISE, NOISE, self._qvel.shape[1])

    def marks(self, copies: slice) -> Array:
        """x and y of the centre of mass."""
        weighted = self._centres[copies].transpose(0, 2, 1) * self._masses
        place: Array = weighted.sum(axis=2)
        return place

    def refresh(self, copies: slice) -> None:
        """Also the torso's offset."""
        super().refresh(copies)
        self._offset = self.corridor.offset(self._qpos[copies, 0:1], self._qpos[copies, 1:2])

    def score(self, copies: slice, efforts: Array, moved: Array) -> Outcome:
        """See ``Scene.score``."""
        height = self._qpos[copies, 2]
        upright = (height > HEALTHY_HEIGHT[0]) & (height < HEALTHY_HEIGHT[1])
        rewards = (FORWARD * moved[:, 0:1] / self.spec.control_dt + ALIVE * upright[:, None]) / self.spec.agents
        rewards = rewards - CONTROL_COST * efforts - self._contact_costs(copies)
        if self.limits_speed:
            return Outcome(rewards, self.too_fast(moved).astype(np.float64), ~upright, moved[:, 0])
        costs = self._near(copies) | ~upright[:, None]
        return Outcome(rewards, costs.astype(np.float64), ~upright, moved[:, 0])

    def _contact_costs(self, copies: slice) -> Array:
        """``[E/G, A]``: they sum to the published cost, which is cut at 10."""
        contacts = np.square(self._forces[copies]).sum(axis=2)
        whole = CONTACT_COST * contacts.sum(axis=1, keepdims=True)
        costs: Array = CONTACT_COST * (contacts[:, None, :] * self._parts).sum(axis=2)
        costs *= LARGEST_CONTACT_COST / np.maximum(whole, LARGEST_CONTACT_COST)
        return costs

    def _near(self, copies: slice) -> Bools:
        if self.spec.cost_mode != "local":
            return self.corridor.is_too_near(self._offset)
        middles = self._middles[copies][:, self._limb_geoms]
        return self._owned_limbs.any(self.corridor.is_too_near(self.corridor.offset(middles[..., 0], middles[..., 1])))

    def observe(self, copies: slice, out: Floats) -> None:
        """See ``humanoid_task.FEATURES``."""
        out[:, 0:N] = self._qpos[copies, 7:]
        out[:, N : 2 * N] = self._qvel[copies, 6:]
        forces = np.sqrt(np.square(np.take(self._forces[copies, :, 3:], self._felt, axis=1)).sum(axis=2))
        out[:, 2 * N : 2 * N + len(LIMBS)] = np.minimum(forces / 100.0, 10.0)
        self.tell_root(copies, self._offset, out[:, 2 * N + len(LIMBS) : -1])
        out[:, -1] = 1.0
