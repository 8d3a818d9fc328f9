"""``safe-swimmer``: A agents of S joints each of a planar chain of links in a folded corridor.

Agent i's reward: v / A - 0.0001 |a_i|^2; these sum to the published team reward. v is the speed along x of the
origin, a point of the head's frame half a metre behind its rear. Poses and velocities of all links follow from the root
and the joints of the current state, whereas MuJoCo's derived fields lag one physics substep behind.
"""

from __future__ import annotations

import numpy as np

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.corridor import Corridor, scale_for
from scalmarl.sim_server.scene import Array, Bools, Floats, Outcome, Owned, Scene
from scalmarl.sim_server.swimmer_model import SUBSTEPS, build_model, joint_signs
from scalmarl.sim_server.swimmer_task import HALF_WIDTH, LEGACY_HALF_WIDTH, features, links_of

CONTROL_COST = 1e-4
NOISE = 0.1
LEVEL = 8
"""Joints up to which a start is as crooked as the published; a longer chain would reach the walls."""
ROOT = 3
"""Coordinates of the root: x, y, yaw."""


def corridor_of(spec: TaskSpec) -> Corridor:
    """The corridor that suits the length of a task's chain; the published one under ``legacy``."""
    if spec.cost_mode == "legacy":
        return Corridor(LEGACY_HALF_WIDTH, legacy=True)
    return Corridor(HALF_WIDTH, scale_for(spec.agents * int(spec.parameters["joints"]) + 1))


class SwimmerScene(Scene):
    """Agent i's cost: 1 while the middle of any of its links is within 1.8 m of a wall or beyond it; unless costs are
    local, the place of the head's origin is everybody's."""

    substeps = SUBSTEPS

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self._joints = spec.agents * int(spec.parameters["joints"])
        self.corridor = corridor_of(spec)
        self.model = build_model(self._joints, self.corridor, spec.physics)
        self.features = features(self._joints)
        self._signs = np.array(joint_signs(self._joints), dtype=np.float64)
        self._owned_links = Owned(links_of(spec.action_entries))
        self._crooked = NOISE * min(1.0, LEVEL / self._joints)

    def start(self, copy: int, draw: np.random.Generator) -> None:
        """Noise as published, up to eight joints."""
        self._qpos[copy, 0:2] = draw.uniform(-NOISE, NOISE, 2)
        self._qpos[copy, 2:] = draw.uniform(-self._crooked, self._crooked, 1 + self._joints)
        self._qvel[copy] = draw.uniform(-NOISE, NOISE, self._qvel.shape[1])

    def marks(self, copies: slice) -> Array:
        """x of the origin."""
        x: Array = self._qpos[copies, 0:1].copy()
        return x

    def speed(self, moved: Array) -> Array:
        """Along x; backwards it is negative and costs nothing, as in safety-gymnasium."""
        speed: Array = moved / self.spec.control_dt
        return speed

    def refresh(self, copies: slice) -> None:
        """Heading, place, velocity and offset of every link's middle."""
        qpos, qvel = self._qpos[copies], self._qvel[copies]
        angles = np.stack([qpos[:, 2:], qvel[:, 2:]])
        angles[:, :, 1:] *= self._signs
        heading, self._turning = np.cumsum(angles, axis=2)
        # What a link reaches along x and y, and how fast that changes.
        reach = np.empty((4, *heading.shape))
        np.cos(heading, out=reach[0])
        np.sin(heading, out=reach[1])
        np.multiply(reach[1], -self._turning, out=reach[2])
        np.multiply(reach[0], self._turning, out=reach[3])
        self._heading = reach[:2]
        origin = np.concatenate([qpos[:, :2], qvel[:, :2]], axis=1).T[:, :, None]
        x, y, self._velocity_x, self._velocity_y = _middles(reach, origin)
        self._x, self._offset = x, self.corridor.offset(x, y)

    def score(self, copies: slice, efforts: Array, moved: Array) -> Outcome:
        """See ``Scene.score``."""
        rewards = moved / self.spec.control_dt / self.spec.agents - CONTROL_COST * efforts
        costs = self.too_fast(moved) if self.limits_speed else self._near(copies)
        return Outcome(rewards, costs.astype(np.float64), None, moved[:, 0])

    def _near(self, copies: slice) -> Bools:
        if self.spec.cost_mode == "local":
            return self._owned_links.any(self.corridor.is_too_near(self._offset))
        origin = self._qpos[copies]
        return self.corridor.is_too_near(self.corridor.offset(origin[:, 0:1], origin[:, 1:2]))

    def observe(self, copies: slice, out: Floats) -> None:
        """See ``swimmer_task.features``."""
        joints, links = self._joints, self._joints + 1
        out[:, 0:joints] = self._qpos[copies, ROOT:]
        out[:, joints : 2 * joints] = self._qvel[copies, ROOT:]
        told = out[:, 2 * joints : -1].reshape(len(out), -1, links)
        told[:, 0], told[:, 1] = self._heading
        told[:, 2] = self._turning
        told[:, 3] = self._velocity_x
        told[:, 4] = self._velocity_y
        told[:, 5] = self._x / 5.0
        told[:, 6] = self._offset
        out[:, -1] = 1.0


def _middles(reach: Array, origin: Array) -> Array:
    """Where the middles of the links ``[..., n + 1]`` are in one direction, from what each link reaches in it; also how
    fast they move, from how fast that changes. The origin lies half a link behind the head; links are 1 m long."""
    middles = np.cumsum(reach, axis=-1)
    # Behind the first joint: all links before this one and half of itself, of which the head counts half forward.
    np.subtract(0.5 * reach, middles, out=middles)
    middles += 1.5 * reach[..., :1] + origin
    middles[..., :1] = reach[..., :1] + origin
    return middles
