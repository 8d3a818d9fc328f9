"""The world that the sim server steps: E copies of a scene on ``mujoco.batch.Batch``, vectorised over copies.

Reset is next-step: the final state of an episode is sent with its flag, the next action of that copy is ignored, and
its next observation is the reset state.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from scalmarl.protocol.kinds import FLAGS, Value
from scalmarl.protocol.streams import Purpose, stream
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.body import WorldBroken
from scalmarl.sim_server.cheetah_scene import CheetahScene
from scalmarl.sim_server.episodes import Episodes
from scalmarl.sim_server.formation_scene import FormationScene
from scalmarl.sim_server.hopper_scene import HopperScene
from scalmarl.sim_server.humanoid_scene import HumanoidScene
from scalmarl.sim_server.manyant_scene import ManyAntScene
from scalmarl.sim_server.scene import Array, Bools, Floats, Scene
from scalmarl.sim_server.single_ant_scene import SingleAntScene
from scalmarl.sim_server.swimmer_scene import SwimmerScene
from scalmarl.sim_server.walker_scene import WalkerScene

_STATE = mujoco.mjtState.mjSTATE_INTEGRATION
_SCENES: dict[str, type[Scene]] = {
    "safe-manyant": ManyAntScene,
    "safe-ant": SingleAntScene,
    "safe-halfcheetah": CheetahScene,
    "safe-coupled-halfcheetah": CheetahScene,
    "cheetahs": CheetahScene,
    "safe-hopper": HopperScene,
    "safe-walker2d": WalkerScene,
    "safe-humanoid": HumanoidScene,
    "safe-swimmer": SwimmerScene,
    "formation": FormationScene,
}

# MuJoCo would also write its warnings to MUJOCO_LOG.TXT in whatever directory the user is in; our log has them already.
_LOG = mujoco.MjLogConfig.get()
_LOG.logto_file = False
_LOG.set()


_LARGEST = 1e10
"""What MuJoCo itself takes for the largest sound number of a state."""


def make_scene(spec: TaskSpec) -> Scene:
    """The scene of a task."""
    return _SCENES[spec.name](spec)


class World:
    """``copies`` copies of a task's world in ``groups`` groups, a multiple of which they are; ``threads`` of physics
    (0: every core). ``staggered``: first episodes begin at staggered ages (see ``episodes``).

    ``rewards`` and ``costs`` (``[E, A]``, float64) are those of each copy's last step, before they are rounded to be
    sent; ``episodes`` has the ages and ends. Raises ``ValueError``.
    """

    episodes: Episodes

    def __init__(
        self, spec: TaskSpec, *, copies: int, groups: int, seed: int, threads: int, staggered: bool = True
    ) -> None:
        if groups < 1 or copies < groups or copies % groups:
            raise ValueError(f"{copies} copies in {groups} groups; make the copies a multiple of the groups")
        self.spec, self.scene = spec, make_scene(spec)
        self._copies, self._size = copies, copies // groups
        self.batch = Batch(self.scene.model, nsim=copies, nthread=threads, persistent=self.scene.persistent)
        self.scene.bind(self.batch)
        self._ctrl = self.batch.bind("ctrl")
        # A batch begins at the model's defaults. Writing them costs a tenth of a call of ``Batch.reset``.
        self._at_rest = self.batch.state[0].copy()
        self._groups = [slice(group * self._size, (group + 1) * self._size) for group in range(groups)]
        self._ids = [np.arange(copies.start, copies.stop, dtype=np.int32) for copies in self._groups]
        self._motors, self._own_motors = _motors(spec, self.scene.model)
        self._columns, self._places = _columns(spec, self.scene.features)
        self._action = np.empty((self._size, len(self._motors)))
        self.rewards = np.zeros((copies, spec.agents))
        self.costs = np.zeros((copies, spec.agents))
        self._staggered = staggered
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """Put every copy at its first start under a seed."""
        self._seed = seed
        self.episodes = Episodes(self._copies, self.spec.agents, self.spec.horizon, self._staggered)
        self._reset(np.arange(self._copies))
        self._marks = np.concatenate([self.scene.marks(group) for group in self._groups])
        self._sent = [self._look(group) for group in self._groups]

    # ---- one control step ----

    def step(self, group: int, actions: Sequence[Value]) -> None:
        """One control step of a group's copies; ``actions[i]`` is ``[E/G, action size of i]``. Raises
        ``WorldBroken`` where an action or the physics gave a number that is not finite or soon will not be."""
        copies, ids = self._groups[group], self._ids[group]
        action = np.concatenate(actions, axis=1, out=self._action)
        over = self.episodes.over[copies]
        resetting = over.copy() if over.any() else None
        moving = ids
        if resetting is not None:
            # Ignored means ignored: not even a number that is not finite may come through.
            action[resetting] = 0.0
            moving = ids[~resetting]
        self._ctrl[copies, self._motors] = action
        if len(moving):
            self.batch.step(ids=None if len(moving) == self._copies else moving, nstep=self.scene.substeps)
        self._check_sound(copies, action)
        if resetting is not None:
            self._reset(ids[resetting])
        self._sent[group] = self._settle(copies, action, resetting)

    def _settle(self, copies: slice, action: Array, resetting: Bools | None) -> Floats:
        """Score the step just taken, count it, and observe; what a copy that was reset instead earned is nothing."""
        marks = self.scene.marks(copies)
        moved = marks - self._marks[copies]
        self._marks[copies] = marks
        self.scene.refresh(copies)
        action *= action
        rewards, costs, fallen, travelled = self.scene.score(
            copies, np.add.reduceat(action, self._own_motors, axis=1), moved
        )
        team = self.episodes.count(copies, rewards, costs, travelled, fallen, resetting)
        self.rewards[copies] = team[:, None] if self.spec.reward_mode == "team" else rewards
        self.costs[copies] = costs
        if resetting is not None:
            self.rewards[copies][resetting] = self.costs[copies][resetting] = 0.0
        return self._observe(copies)

    def _check_sound(self, copies: slice, action: Array) -> None:
        """The state holds the controls too."""
        state = self.batch.state[copies]
        flat = state.reshape(-1)
        if np.dot(flat, flat) < _LARGEST * _LARGEST:
            return
        unsound = np.flatnonzero(~(np.abs(state) < _LARGEST).all(axis=1))
        if not len(unsound):
            return
        row = int(unsound[0])
        what, numbers = "the physics", state[row]
        if not (np.abs(action[row]) < _LARGEST).all():
            what, numbers = "an action", action[row]
        size = "is not finite" if not np.isfinite(numbers).all() else f"is larger than {_LARGEST:g}"
        last = np.array2string(action[row], precision=4, max_line_width=2**31, threshold=2**31)
        raise WorldBroken(
            f"{self.spec.label}: {what} gave a number that {size}; copy {copies.start + row}, "
            f"{int(self.episodes.length[copies.start + row])} steps after its reset, last action {last}"
        )

    # ---- observations ----

    def observation(self, agent: int, group: int) -> Value:
        """``[E/G, block + 1 + m + 2]``: block, reward, costs, terminated, truncated of the action just taken; an array
        that the next step does not write to."""
        sent: Value = self._sent[group][:, self._places[agent]]
        return sent

    def told(self, group: int) -> Value:
        """What ``observation`` is a part of: every agent's, side by side, agents ascending."""
        sent: Value = self._sent[group]
        return sent

    def _look(self, copies: slice) -> Floats:
        self.scene.refresh(copies)
        return self._observe(copies)

    def _observe(self, copies: slice) -> Floats:
        """What every agent is sent, side by side, in a fresh array, since what was sent may still be held."""
        width, agents = len(self.scene.features), self.spec.agents
        self.scene.drive(copies, self.episodes.length[copies])
        known = np.empty((self._size, width + 2 * agents + FLAGS), np.float32)
        self.scene.observe(copies, known[:, :width])
        known[:, width : width + agents] = self.rewards[copies]
        known[:, width + agents : -FLAGS] = self.costs[copies]
        known[:, -2] = self.episodes.terminated[copies]
        known[:, -1] = self.episodes.truncated[copies]
        return np.take(known, self._columns, axis=1)

    # ---- episodes ----

    def _reset(self, copies: NDArray[np.integer[Any]]) -> None:
        """Put copies at a drawn start, a function of seed, copy and episode."""
        self.batch.state[copies] = self._at_rest
        for copy in copies:
            episode = int(self.episodes.number[copy]) + 1
            self.scene.start(
                int(copy), stream(self._seed, purpose=Purpose.EPISODE_RESET, process=int(copy), round=episode)
            )
        # Fields that follow from the new state, so that those of the old one are not used with it.
        self.batch.forward(ids=copies)
        self.episodes.begin(copies.astype(np.int64))

    def figures(self) -> dict[str, Any]:
        """Episode figures since the last call; rates are per episode of the horizon's length."""
        return self.episodes.take_figures()

    # ---- state ----

    @functools.cached_property
    def _identity(self) -> dict[str, NDArray[np.generic]]:
        """What must be equal for a state to mean the same: MuJoCo, the compiled model, the layout of a state row."""
        model = self.scene.model
        compiled = np.empty(mujoco.mj_sizeModel(model), np.uint8)
        mujoco.mj_saveModel(model, None, compiled)
        return {
            "mujoco": np.frombuffer(mujoco.__version__.encode(), np.uint8),
            "model": np.frombuffer(hashlib.sha256(compiled.tobytes()).digest(), np.uint8),
            "state_layout": np.array([int(_STATE), self.batch.nstate], np.int64),
        }

    def snapshot(self) -> dict[str, NDArray[np.generic]]:
        """All that is needed to go on bit-identically, but for the figures begun since the last ``figures``: the
        integration state of every copy, episodes, marks, and the last observations verbatim."""
        return {
            **self._identity,
            "state": self.batch.state.copy(),
            "marks": self._marks.copy(),
            "sent": np.stack(self._sent),
            **self.episodes.arrays(),
        }

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """The inverse of ``snapshot``; raises ``ValueError`` if it is of another model, MuJoCo or number of copies.
        What was sent is taken as saved: contact forces do not follow from the state."""
        for name, now in self._identity.items():
            if name not in arrays or not np.array_equal(arrays[name], now):
                raise ValueError(f"the saved world has another {name}; install the versions in run.json")
        sent = np.stack(self._sent).shape
        if arrays["state"].shape != self.batch.state.shape or arrays["sent"].shape != sent:
            raise ValueError(
                f"the saved world sent {arrays['sent'].shape}, this one sends {sent}; give the same copies and groups"
            )
        self.batch.state[:] = arrays["state"]
        self._marks[:] = arrays["marks"]
        self._sent = [saved.astype(np.float32) for saved in arrays["sent"]]
        self.episodes.load(arrays)


def _motors(spec: TaskSpec, model: mujoco.MjModel) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The control of every entry of the joint action, agents ascending, by name; and where each agent's begin."""
    names = [name for own in spec.action_entries for name in own]
    starts = np.cumsum([0, *spec.action_sizes[:-1]])
    return np.array([model.actuator(name).id for name in names], dtype=np.intp), starts.astype(np.intp)


def _columns(spec: TaskSpec, features: tuple[str, ...]) -> tuple[NDArray[np.intp], list[slice]]:
    """Which of (features, rewards, costs, flags) every agent is sent, agents ascending; and where each one's lie."""
    place, width = {name: column for column, name in enumerate(features)}, len(features)
    columns: list[int] = []
    places = []
    for agent, block in enumerate(spec.block_entries):
        begin = len(columns)
        columns += [place[entry] for entry in block]
        columns += [width + agent, width + spec.agents + agent]
        columns += [width + 2 * spec.agents + flag for flag in range(FLAGS)]
        places.append(slice(begin, len(columns)))
    return np.array(columns, dtype=np.intp), places
