"""The world that the sim server steps: E copies of the ant chain on ``mujoco.batch.Batch``, vectorised over copies.

Reset is next-step: the final state of an episode is sent with its flag, the next action of that copy is ignored, and
its next observation is the reset state. Poses and velocities of all segments follow from the free joint alone, because
the spine is rigid; they are those of the current state, whereas MuJoCo's derived fields lag one physics substep behind.
Contact forces have no such form and are those of the last substep (of the new state after a reset).

Arithmetic here is elementwise, or sums along the last axis, so that the bits of a copy depend neither on its group nor
on which other copies are reset.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from scalmarl.protocol.kinds import FLAGS, Value
from scalmarl.protocol.streams import Purpose, stream
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.corridor import is_too_near, offset, scale_for
from scalmarl.sim_server.episodes import Episodes
from scalmarl.sim_server.manyant_model import BODIES, START_HEIGHT, SUBSTEPS, build_model
from scalmarl.sim_server.tasks import JOINTS, SEGMENT_ENTRIES

Array = NDArray[np.float64]

CONTROL_COST = 0.5
CONTACT_COST = 0.0005
HEALTHY_HEIGHT = (0.2, 1.0)
UPSIDE_DOWN = -0.7
LEGS = len(JOINTS)
FEET = (BODIES.index("foot_1"), BODIES.index("foot_2"))
_WIDTH = len(SEGMENT_ENTRIES)
_STATE = mujoco.mjtState.mjSTATE_INTEGRATION

# MuJoCo would also write its warnings to MUJOCO_LOG.TXT in whatever directory the user is in; our log has them already.
_LOG = mujoco.MjLogConfig.get()
_LOG.logto_file = False
_LOG.set()


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
        """All that is needed to go on bit-identically, but for the figures begun since the last ``figures``."""

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """The inverse of ``snapshot``; raises ``ValueError`` if it is of another model, MuJoCo or number of copies."""


class Pose(NamedTuple):
    """Of the rigid body: the columns of its rotation, ``[E/G, 3]`` each, and what follows for its segments."""

    axis: Array
    """From the tail to the head."""
    left: Array
    up: Array
    position: Array
    """``[E/G, 3, n]`` (m)."""
    offset: Array
    """``[E/G, n]`` (m), from the corridor's centre line."""


class WorldBroken(ValueError):
    """An action or the physics gave a number that is not finite."""


def make_world(spec: TaskSpec, *, copies: int, groups: int, seed: int, threads: int) -> World:
    """The world of a task; ``copies`` is a multiple of ``groups``, ``threads`` that of the physics (0: every core)."""
    return ManyAntWorld(spec, copies=copies, groups=groups, seed=seed, threads=threads)


class ManyAntWorld:
    """``safe-manyant``: ``agents`` x ``segments`` of a rigid chain walk a folded corridor.

    Agent i's reward: v_head / A - 0.5 |a_i|^2 - 0.0005 sum over its bodies of clip(contact force, -1, 1)^2 + 1 / A;
    these sum to the original team reward. Its cost: 1 while any of its segments is within 1.8 m of a wall or beyond it,
    or when the body falls. Source: Safe MAMuJoCo, with the repairs named in ``corridor`` and ``manyant_model``.

    ``rewards`` and ``costs`` (``[E, A]``, float64) are those of each copy's last step, before they are rounded to be
    sent; ``episodes`` has the ages and ends.
    """

    def __init__(self, spec: TaskSpec, *, copies: int, groups: int, seed: int, threads: int) -> None:
        if groups < 1 or copies < groups or copies % groups:
            raise ValueError(f"{copies} copies in {groups} groups; make the copies a multiple of the groups")
        self.spec = spec
        self._agents, self._segments = spec.agents, int(spec.parameters["segments"])
        self._chain = self._agents * self._segments
        self._scale = scale_for(self._chain)
        self._seed, self._copies, self._size = seed, copies, copies // groups
        self.model = build_model(self._chain, self._scale)
        self.batch = Batch(self.model, nsim=copies, nthread=threads)
        self._ids = [np.arange(group * self._size, (group + 1) * self._size, dtype=np.int32) for group in range(groups)]
        self._qpos, self._qvel, self._ctrl = (self.batch.bind(name) for name in ("qpos", "qvel", "ctrl"))
        # The world's own row is no body of the robot; the others stand in segment order.
        self._forces = self.batch.bind("cfrc_ext")[:, 1:].reshape(copies, self._chain, len(BODIES), 6)
        self._behind = -np.arange(self._chain, dtype=np.float64)
        self._actions = np.empty((self._size, self._chain * LEGS))
        self._clipped = np.empty((self._size, *self._forces.shape[1:]))
        self.episodes = Episodes(copies, self._agents, spec.horizon)
        self._width = spec.block_sizes[0] + 1 + 1 + FLAGS
        self.rewards = np.zeros((copies, self._agents))
        self.costs = np.zeros((copies, self._agents))
        self._reset(np.arange(copies))
        every = (slice(int(ids[0]), int(ids[-1]) + 1) for ids in self._ids)
        self._sent = [self._observe(copies, self._pose(copies)) for copies in every]

    # ---- one control step ----

    def step(self, group: int, actions: Sequence[Value]) -> None:
        """See ``World.step``. Raises ``WorldBroken``."""
        ids = self._ids[group]
        copies = slice(group * self._size, (group + 1) * self._size)
        action = np.concatenate(actions, axis=1, out=self._actions)
        resetting = self.episodes.over[copies]
        before = self._qpos[copies, 0].copy()
        moving = ids
        if resetting.any():
            # Ignored means ignored: not even a number that is not finite may come through.
            action[resetting] = 0.0
            moving = ids[~resetting]
        self._ctrl[copies] = action
        if len(moving):
            self.batch.step(ids=None if len(moving) == self._copies else moving, nstep=SUBSTEPS)
        self._check_finite(copies, action)
        if len(moving) < self._size:
            self._reset(ids[resetting])
        pose = self._pose(copies)
        self._score(copies, action, before, pose, resetting)
        self._sent[group] = self._observe(copies, pose)

    def _score(self, copies: slice, action: Array, before: Array, pose: Pose, resetting: NDArray[np.bool_]) -> None:
        """Rewards, costs and flags of the step just taken; none for the copies that were reset instead."""
        size, agents = self._size, self._agents
        x, _, height, _, tilt_x, tilt_y, _ = self._qpos[copies, :7].T
        moved = x - before
        action *= action
        np.clip(self._forces[copies], -1.0, 1.0, out=self._clipped)
        np.square(self._clipped, out=self._clipped)
        local = action.reshape(size, agents, -1).sum(axis=2)
        local *= -CONTROL_COST
        local -= CONTACT_COST * self._clipped.reshape(size, agents, -1).sum(axis=2)
        local += ((moved / self.spec.control_dt + 1.0) / agents)[:, None]
        team = local.sum(axis=1)
        upright = 1.0 - 2.0 * (tilt_x * tilt_x + tilt_y * tilt_y)
        fallen = (height < HEALTHY_HEIGHT[0]) | (height > HEALTHY_HEIGHT[1]) | (upright < UPSIDE_DOWN)
        near = is_too_near(pose.offset, self._scale)
        if self.spec.cost_mode == "team":
            near = np.repeat(near[:, :1], self._chain, axis=1)
        cost = (near.reshape(size, agents, -1).any(axis=2) | fallen[:, None]).astype(np.float64)
        self.rewards[copies] = team[:, None] if self.spec.reward_mode == "team" else local
        self.costs[copies] = cost
        if resetting.any():
            self.rewards[copies][resetting] = 0.0
            self.costs[copies][resetting] = 0.0
            fallen &= ~resetting
        self.episodes.count(copies, resetting, team, cost, moved, fallen)

    def _check_finite(self, copies: slice, action: Array) -> None:
        tests = (action, self._qpos[copies], self._qvel[copies])
        if all(np.isfinite(values).all() for values in tests):
            return
        whole = np.isfinite(np.concatenate(tests, axis=1)).all(axis=1)
        row = int(np.flatnonzero(~whole)[0])
        copy = copies.start + row
        what = "the physics" if np.isfinite(action[row]).all() else "an action"
        raise WorldBroken(
            f"{self.spec.name}: {what} gave a number that is not finite; copy {copy}, episode step "
            f"{int(self.episodes.age[copy])}, last action {np.array2string(action[row], precision=4)}"
        )

    # ---- observations ----

    def observation(self, agent: int, group: int) -> Value:
        """See ``World.observation``; an array that the next step does not write to."""
        sent: Value = self._sent[group][agent]
        return sent

    def _observe(self, copies: slice, pose: Pose) -> NDArray[np.float32]:
        """``[A, E/G, width]``: what every agent is sent, in a fresh array, since what was sent may still be held."""
        size, own = self._size, self.spec.block_sizes[0] - 1
        qpos, qvel = self._qpos[copies], self._qvel[copies]
        sent = np.empty((self._agents, size, self._width), np.float32)
        block = np.empty((size, self._chain, _WIDTH), np.float32)
        # Angular velocity (in the body's frame) x axis: the term along the axis itself is zero.
        lever = qvel[:, 5:6] * pose.left - qvel[:, 4:5] * pose.up
        block[:, :, 0:4] = qpos[:, 7:].reshape(size, -1, LEGS)
        block[:, :, 4:8] = qvel[:, 6:].reshape(size, -1, LEGS)
        block[:, :, 8] = pose.position[:, 2]
        block[:, :, 9:12] = pose.up[:, None]
        block[:, :, 12:15] = qvel[:, None, 0:3] + lever[:, None] * self._behind[:, None]
        block[:, :, 15:18] = qvel[:, None, 3:6]
        block[:, :, 18] = pose.position[:, 0] / 5.0
        block[:, :, 19] = pose.offset
        force = np.square(self._forces[copies, :, FEET[0] :: FEET[1] - FEET[0], 3:]).sum(axis=3)
        block[:, :, 20:22] = np.minimum(np.sqrt(force), 1.0)
        block[:, :, 22:24] = _heading(pose.axis)[:, None]
        sent[:, :, :own] = block.reshape(size, self._agents, own).transpose(1, 0, 2)
        sent[:, :, own] = 1.0
        sent[:, :, own + 1] = self.rewards[copies].T
        sent[:, :, own + 2] = self.costs[copies].T
        sent[:, :, own + 3] = self.episodes.terminated[copies]
        sent[:, :, own + 4] = self.episodes.truncated[copies]
        return sent

    def _pose(self, copies: slice) -> Pose:
        w, x, y, z = self._qpos[copies, 3:7].T
        xx, yy, zz, xy, xz, yz, wx, wy, wz = x * x, y * y, z * z, x * y, x * z, y * z, w * x, w * y, w * z
        axes = np.stack(
            [0.5 - yy - zz, xy + wz, xz - wy, xy - wz, 0.5 - xx - zz, yz + wx, xz + wy, yz - wx, 0.5 - xx - yy], axis=1
        )
        axes *= 2.0
        axis = axes[:, 0:3]
        position = self._qpos[copies, 0:3, None] + axis[:, :, None] * self._behind
        sideways = offset(position[:, 0], position[:, 1], self._scale)
        return Pose(axis, axes[:, 3:6], axes[:, 6:9], position, sideways)

    # ---- episodes ----

    def _reset(self, copies: NDArray[np.integer[Any]]) -> None:
        """Put copies at a drawn start. The root stays level: a long rod would not survive noise in pitch and roll."""
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
        # The contact forces of the new state, so that those of the old one are not sent with it.
        self.batch.forward(ids=copies)
        self.episodes.begin(copies.astype(np.int64))

    def figures(self) -> dict[str, Any]:
        """See ``World.figures``; rates are per episode of the horizon's length."""
        return self.episodes.take_figures()

    # ---- state ----

    @functools.cached_property
    def _identity(self) -> dict[str, NDArray[np.generic]]:
        """What must be equal for a state to mean the same: MuJoCo, the compiled model, the layout of a state row."""
        compiled = np.empty(mujoco.mj_sizeModel(self.model), np.uint8)
        mujoco.mj_saveModel(self.model, None, compiled)
        return {
            "mujoco": np.frombuffer(mujoco.__version__.encode(), np.uint8),
            "model": np.frombuffer(hashlib.sha256(compiled.tobytes()).digest(), np.uint8),
            "state_layout": np.array([int(_STATE), self.batch.nstate], np.int64),
        }

    def snapshot(self) -> dict[str, NDArray[np.generic]]:
        """See ``World.snapshot``: integration state of every copy, episodes, and the last observations verbatim."""
        return {
            **self._identity,
            "state": self.batch.state.copy(),
            "sent": np.stack(self._sent),
            **self.episodes.arrays(),
        }

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """See ``World.restore``. What was sent is taken as saved: contact forces do not follow from the state."""
        for name, now in self._identity.items():
            if name not in arrays or not np.array_equal(arrays[name], now):
                raise ValueError(f"the saved world has another {name}; install the versions in run.json")
        sent = np.stack(self._sent).shape
        if arrays["state"].shape != self.batch.state.shape or arrays["sent"].shape != sent:
            raise ValueError(
                f"the saved world sent {arrays['sent'].shape}, this one sends {sent}; give the same copies and groups"
            )
        self.batch.state[:] = arrays["state"]
        self._sent = [saved.astype(np.float32) for saved in arrays["sent"]]
        self.episodes.load(arrays)


def _heading(axis: Array) -> Array:
    """Cosine and sine of the spine's heading, ``[E/G, 2]``; zeros for a spine that stands upright."""
    flat = axis[:, 0:2]
    length = np.sqrt(np.square(flat).sum(axis=1, keepdims=True))
    return flat / np.where(length > 0.0, length, 1.0)
