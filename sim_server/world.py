"""The world that the sim server steps: E copies of the ant chain on ``mujoco.batch.Batch``, vectorised over copies.

Reset is next-step: the final state of an episode is sent with its flag, the next action of that copy is ignored, and its
next observation is the reset state. Poses and velocities of all segments follow from the free joint alone, because the
spine is rigid; contact forces are those of the last physics substep.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from scalmarl.protocol.kinds import FLAGS, Value
from scalmarl.protocol.streams import Purpose, stream
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.corridor import is_too_near, offset, scale_for
from scalmarl.sim_server.episodes import Episodes
from scalmarl.sim_server.manyant_model import BODIES_PER_SEGMENT, START_HEIGHT, SUBSTEPS, build_model
from scalmarl.sim_server.tasks import SEGMENT_ENTRIES

Array = NDArray[np.float64]

CONTROL_COST = 0.5
CONTACT_COST = 0.0005
HEALTHY_HEIGHT = (0.2, 1.0)
UPSIDE_DOWN = -0.7
LEGS = 4
_WIDTH = len(SEGMENT_ENTRIES)


class World(Protocol):
    """What the sim server needs of a world; shapes as in the table of kinds."""

    spec: TaskSpec

    def step(self, group: int, actions: Sequence[Value]) -> None:
        """One control step of a group's copies; ``actions[i]`` is ``[E/G, action size of i]``."""

    def observation(self, agent: int, group: int) -> Value:
        """``[E/G, block + 1 + m + 2]``: block, reward, costs, terminated, truncated of the action just taken."""

    def figures(self) -> dict[str, Any]:
        """Episode figures and rates since the last call."""

    def snapshot(self) -> dict[str, NDArray[np.generic]]:
        """All that is needed to go on bit-identically."""

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """The inverse of ``snapshot``; raises ``ValueError`` if it is of another model or MuJoCo."""


class WorldBroken(ValueError):
    """Physics gave a number that is not finite."""


def make_world(spec: TaskSpec, *, copies: int, groups: int, seed: int, threads: int) -> World:
    """The world of a task."""
    return ManyAntWorld(spec, copies=copies, groups=groups, seed=seed, threads=threads)


class ManyAntWorld:
    """``safe-manyant``: ``agents`` x ``segments`` of a rigid chain walk a folded corridor.

    Agent i's reward: v_head / A - 0.5 |a_i|^2 - 0.0005 sum over its bodies of clip(contact force, -1, 1)^2 + 1 / A; these
    sum to the original team reward. Its cost: 1 while any of its segments is within 1.8 m of a wall or beyond it, or when
    the body falls. Source: Safe MAMuJoCo, with the repairs listed in docs/tasks/safe-manyant.md.
    """

    def __init__(self, spec: TaskSpec, *, copies: int, groups: int, seed: int, threads: int) -> None:
        self.spec = spec
        self._agents, self._segments = spec.agents, int(spec.parameters["segments"])
        self._chain = self._agents * self._segments
        self._scale = scale_for(self._chain)
        self._seed, self._copies, self._size = seed, copies, copies // groups
        self.model = build_model(self._chain, self._scale)
        self.batch = Batch(self.model, nsim=copies, nthread=threads)
        self._qpos, self._qvel, self._ctrl, self._cfrc = (
            self.batch.bind(name) for name in ("qpos", "qvel", "ctrl", "cfrc_ext")
        )
        self._bodies = self._bodies_of_segments()
        self._feet = self.model_bodies("foot_1", "foot_2")
        self._behind = -np.arange(self._chain, dtype=np.float64)
        self.episodes = Episodes(copies, self._agents, spec.horizon)
        width = spec.block_sizes[0] + 1 + 1 + FLAGS
        self._sent = [np.zeros((self._agents, self._size, width), np.float32) for _ in range(groups)]
        self.rewards = np.zeros((copies, self._agents))
        self.costs = np.zeros((copies, self._agents))
        self._reset(np.arange(copies))
        for group in range(groups):
            self._fill(group)

    # ---- one control step ----

    def step(self, group: int, actions: Sequence[Value]) -> None:
        """See ``World.step``. Raises ``WorldBroken``."""
        copies = self._slice(group)
        action = np.concatenate(actions, axis=1).astype(np.float64)
        over = self.episodes.over[copies].copy()
        before = self._qpos[copies, 0].copy()
        self._ctrl[copies] = action
        everyone = np.arange(copies.start, copies.stop)
        moving = everyone[~over]
        if len(moving):
            ids = None if len(moving) == self._copies else moving
            self.batch.step(ids=ids, nstep=SUBSTEPS)
        self._check_finite(copies, action)
        if over.any():
            self._reset(everyone[over])
        self._score(copies, action, before, over)
        self._fill(group)

    def _score(self, copies: slice, action: Array, before: Array, resetting: NDArray[np.bool_]) -> None:
        """Rewards, costs and flags of the step just taken, for all copies at once."""
        agents = self._agents
        x, y, height = self._qpos[copies, 0], self._qpos[copies, 1], self._qpos[copies, 2]
        speed = (x - before) / self.spec.control_dt
        squares = np.square(action).reshape(self._size, agents, -1).sum(axis=2)
        force = np.square(np.clip(self._cfrc[copies][:, self._bodies], -1.0, 1.0))
        contact = force.reshape(self._size, agents, -1).sum(axis=2)
        local = (speed / agents)[:, None] - CONTROL_COST * squares - CONTACT_COST * contact + 1.0 / agents
        tilt = 1.0 - 2.0 * (np.square(self._qpos[copies, 4]) + np.square(self._qpos[copies, 5]))
        fallen = (height < HEALTHY_HEIGHT[0]) | (height > HEALTHY_HEIGHT[1]) | (tilt < UPSIDE_DOWN)
        axis = self._axis(copies)
        near = is_too_near(self._offsets(x, y, axis), self._scale)
        cost = np.maximum(near.reshape(self._size, agents, -1).any(axis=2), fallen[:, None]).astype(np.float64)
        if self.spec.cost_mode == "team":
            cost = np.repeat(np.maximum(near[:, :1], fallen[:, None]), agents, axis=1).astype(np.float64)
        team = local.sum(axis=1)
        reward = np.repeat(team[:, None], agents, axis=1) if self.spec.reward_mode == "team" else local
        self.rewards[copies] = np.where(resetting[:, None], 0.0, reward)
        self.costs[copies] = np.where(resetting[:, None], 0.0, cost)
        self.episodes.count(copies, resetting, team, cost, x - before, fallen & ~resetting)

    # ---- observations ----

    def observation(self, agent: int, group: int) -> Value:
        """See ``World.observation``."""
        sent: Value = self._sent[group][agent]
        return sent

    def _fill(self, group: int) -> None:
        """Write what every agent is sent into a fresh array: what was sent before may still be held."""
        copies = self._slice(group)
        size, agents, chain = self._size, self._agents, self._chain
        sent = np.empty(self._sent[group].shape, np.float32)
        block = np.empty((size, chain, _WIDTH), np.float32)
        block[:, :, 0:4] = self._qpos[copies, 7:].reshape(size, chain, LEGS)
        block[:, :, 4:8] = self._qvel[copies, 6:].reshape(size, chain, LEGS)
        axis, up = self._axis(copies), self._up(copies)
        root = self._qpos[copies, 0:3]
        along = self._behind[None, :]
        block[:, :, 8] = root[:, 2:3] + axis[:, 2:3] * along
        block[:, :, 9:12] = up[:, None, :]
        block[:, :, 12:15] = self._velocities(copies, axis)
        block[:, :, 15:18] = self._qvel[copies, 3:6][:, None, :]
        block[:, :, 18] = (root[:, 0:1] + axis[:, 0:1] * along) / 5.0
        block[:, :, 19] = self._offsets(root[:, 0], root[:, 1], axis)
        force = np.sqrt(np.square(self._cfrc[copies][:, self._feet, 3:]).sum(axis=3))
        block[:, :, 20:22] = np.minimum(force, 1.0)
        flat = np.hypot(axis[:, 0], axis[:, 1])
        flat[flat == 0.0] = 1.0
        block[:, :, 22] = (axis[:, 0] / flat)[:, None]
        block[:, :, 23] = (axis[:, 1] / flat)[:, None]
        own = self.spec.block_sizes[0] - 1
        sent[:, :, :own] = block.reshape(size, agents, own).transpose(1, 0, 2)
        sent[:, :, own] = 1.0
        sent[:, :, own + 1] = self.rewards[copies].T
        sent[:, :, own + 2] = self.costs[copies].T
        sent[:, :, own + 3] = self.episodes.terminated[copies]
        sent[:, :, own + 4] = self.episodes.truncated[copies]
        self._sent[group] = sent

    def _axis(self, copies: slice) -> Array:
        """Direction of the spine, ``[E/G, 3]``: the first column of the rotation."""
        w, x, y, z = self._qpos[copies, 3:7].T
        return np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], axis=1)

    def _up(self, copies: slice) -> Array:
        """Up vector of the body in the world frame, ``[E/G, 3]``: the third column of the rotation."""
        w, x, y, z = self._qpos[copies, 3:7].T
        return np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=1)

    def _velocities(self, copies: slice, axis: Array) -> Array:
        """Linear velocity of every segment in the world frame, ``[E/G, n, 3]``."""
        up = self._up(copies)
        left = np.cross(up, axis)
        spin = self._qvel[copies, 3:6]
        turning = spin[:, 0:1] * axis + spin[:, 1:2] * left + spin[:, 2:3] * up
        lever = np.cross(turning, axis)
        return self._qvel[copies, None, 0:3] + lever[:, None, :] * self._behind[None, :, None]

    def _offsets(self, x: Array, y: Array, axis: Array) -> Array:
        """Offset of every segment from the centre line, ``[E/G, n]`` (m)."""
        along = self._behind[None, :]
        return offset(x[:, None] + axis[:, 0:1] * along, y[:, None] + axis[:, 1:2] * along, self._scale)

    # ---- episodes ----

    def _reset(self, copies: NDArray[np.int64]) -> None:
        """Put copies at a drawn start. The root's pitch and roll stay level: a long rod would not survive noise there."""
        self.batch.reset(ids=copies, stage=mujoco.mjtStage.mjSTAGE_NONE)
        joints = LEGS * self._chain
        for copy in copies:
            episode = int(self.episodes.number[copy]) + 1
            draw = stream(self._seed, purpose=Purpose.EPISODE_RESET, process=int(copy), round=episode)
            yaw = draw.uniform(-0.1, 0.1)
            self._qpos[copy, 0:2] = draw.uniform(-0.1, 0.1, 2)
            self._qpos[copy, 2] = START_HEIGHT + draw.uniform(-0.02, 0.02)
            self._qpos[copy, 3:7] = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
            self._qpos[copy, 7:] = draw.uniform(-0.1, 0.1, joints)
            self._qvel[copy, 0:3] = draw.normal(0.0, 0.1, 3)
            self._qvel[copy, 3:6] = draw.normal(0.0, 0.01, 3)
            self._qvel[copy, 6:] = draw.normal(0.0, 0.1, joints)
        # Kinematics of the new state, so that the contact forces of the old one are not sent with it.
        self.batch.forward(ids=copies)
        self.episodes.begin(copies)

    def figures(self) -> dict[str, Any]:
        """See ``World.figures``; rates are per episode of the horizon's length."""
        return self.episodes.take_figures()

    def _check_finite(self, copies: slice, action: Array) -> None:
        if np.isfinite(self._qpos[copies].sum() + self._qvel[copies].sum()):
            return
        broken = ~np.isfinite(self._qpos[copies]).all(axis=1) | ~np.isfinite(self._qvel[copies]).all(axis=1)
        if broken.any():
            row = int(np.flatnonzero(broken)[0])
            copy = copies.start + row
            raise WorldBroken(
                f"{self.spec.name}: physics gave a number that is not finite, copy {copy}, episode step "
                f"{int(self.episodes.age[copy])}, last action {np.array2string(action[row], precision=4)}"
            )

    # ---- names and state ----

    def _slice(self, group: int) -> slice:
        return slice(group * self._size, (group + 1) * self._size)

    def model_bodies(self, *names: str) -> NDArray[np.int64]:
        """Body ids ``[n, len(names)]`` of ``NAME_SEGMENT``."""
        rows = [[self.model.body(f"{name}_{segment}").id for name in names] for segment in range(self._chain)]
        return np.array(rows)

    def _bodies_of_segments(self) -> NDArray[np.int64]:
        """All bodies of the robot in segment order, ``[7 n]``; the world is left out."""
        parts = ("torso", "leg_1", "thigh_1", "foot_1", "leg_2", "thigh_2", "foot_2")
        bodies = self.model_bodies(*parts)
        assert bodies.size == BODIES_PER_SEGMENT * self._chain
        return bodies.reshape(-1)

    def _identity(self) -> NDArray[np.uint8]:
        buffer = np.empty(mujoco.mj_sizeModel(self.model), np.uint8)
        mujoco.mj_saveModel(self.model, None, buffer)
        text = f"mujoco {mujoco.__version__} state {int(mujoco.mjtState.mjSTATE_INTEGRATION)} ".encode()
        return np.frombuffer(hashlib.sha256(text + buffer.tobytes()).digest(), np.uint8)

    def snapshot(self) -> dict[str, NDArray[np.generic]]:
        """See ``World.snapshot``: integration state of every copy, episodes, and the last observations verbatim."""
        return {
            "identity": self._identity(),
            "state": self.batch.state.copy(),
            "sent": np.stack(self._sent),
            **self.episodes.arrays(),
        }

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """See ``World.restore``."""
        if arrays["identity"].tobytes() != self._identity().tobytes():
            raise ValueError(
                "the saved world was made by another MuJoCo or another model; install the versions in run.json"
            )
        self.batch.state[:] = arrays["state"]
        self._sent = [sent.astype(np.float32) for sent in arrays["sent"]]
        self.episodes.load(arrays)


