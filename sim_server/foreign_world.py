"""E copies of a world from outside, stepped one after the other, in the form in which the sim server steps worlds.

An episode is a function of its seed and its actions. So a copy is saved as the actions of its running episode and
restored by taking them again, unless the world can do better: ``save_state() -> bytes`` and ``load_state(bytes)``.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalmarl.protocol.kinds import FLAGS, Value
from scalmarl.protocol.streams import Purpose, stream
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.body import WorldBroken
from scalmarl.sim_server.episodes import Episodes
from scalmarl.sim_server.foreign_copy import NO_COST, ContractBroken, ForeignCopy, called, open_callable
from scalmarl.sim_server.making import to_archive

PIECE_S = 0.1
"""After so much work the process looks after its peers."""
SEEDS = 2**31
"""Of an episode; what any world's ``reset`` takes."""


class ForeignWorld:
    """``copies`` copies in ``groups`` groups; see ``sim_server.body.SteppedWorld`` for the methods. All of them raise
    ``WorldBroken`` with the world, agent, copy and step where the world breaks its contract."""

    def __init__(self, spec: TaskSpec, *, copies: int, groups: int, seed: int, staggered: bool = True) -> None:
        self.spec, self._seed = spec, seed
        size = copies // groups
        self._groups = [range(group * size, (group + 1) * size) for group in range(groups)]
        self._costs = tuple(len(limits) for limits in spec.cost_limits)
        self.episodes = Episodes(copies, spec.agents, spec.horizon, staggered, self._costs)
        self._copies: list[ForeignCopy] = []
        self._taken: list[list[NDArray[np.float32]]] = [[] for _ in range(copies)]
        self._told = [
            np.zeros((copies, block + 1 + costs + FLAGS), np.float32)
            for block, costs in zip(spec.block_sizes, self._costs)
        ]

    # ---- one control step ----

    def begin(self) -> Iterable[None]:
        """Make every copy and start its first episode."""
        yield from self._make()
        for copy in paced(range(len(self._copies))):
            if copy is not None:
                self._reset(copy)
            else:
                yield

    def step(self, group: int, actions: Sequence[Value]) -> Iterable[None]:
        """One control step of a group's copies; one that is over is reset instead."""
        here = self._groups[group]
        resetting = self.episodes.over[here.start : here.stop].copy()
        rewards = np.zeros((len(here), self.spec.agents))
        costs = np.zeros((len(here), sum(self._costs)))
        fell, cut = np.zeros(len(here), bool), np.zeros(len(here), bool)
        for row in paced(range(len(here))):
            if row is None:
                yield
            elif resetting[row]:
                self._reset(here[row])
            else:
                taken = [np.asarray(action[row], np.float32) for action in actions]
                rewards[row], costs[row], fell[row], cut[row] = self._advance(here[row], taken)
        self._count(slice(here.start, here.stop), rewards, costs, fell, cut, resetting)

    def _advance(self, copy: int, actions: list[NDArray[np.float32]]) -> tuple[Any, Any, bool, bool]:
        """Rewards ``[A]`` and costs ``[sum m]`` as they are counted, and whether the world ended the episode, by a
        termination or by truncations alone."""
        here = self._copies[copy]
        acting = here.alive
        try:
            told = here.step(actions)
            for agent in np.flatnonzero(acting).tolist():
                if len(told.costs[agent]) != self._costs[agent]:
                    raise ContractBroken(
                        f"it has {len(told.costs[agent])} costs now, not {self._costs[agent]}", str(here.names[agent])
                    )
        except ContractBroken as broken:
            raise self._at(copy, broken) from broken
        self._taken[copy].append(np.concatenate(actions))
        rewards = told.rewards / self.spec.agents if self.spec.parameters["shared_reward"] else told.rewards
        costs = [own if acts else np.zeros(m) for own, acts, m in zip(told.costs, acting, self._costs)]
        largest = max(float(own.max()) for own in costs)
        if self.spec.cost_mode == "team":
            costs = [np.full(m, largest) for m in self._costs]
        team = float(rewards.sum())
        for agent in range(self.spec.agents):
            earned = (team if self.spec.reward_mode == "team" else rewards[agent]) if acting[agent] else 0.0
            self._tell(copy, agent, earned, costs[agent] if acting[agent] else np.zeros(self._costs[agent]))
            if acting[agent]:
                # A dead agent's flags stay as they were: each sample until the reset is no sample of its own.
                self._told[agent][copy, -FLAGS:] = told.terminated[agent], told.truncated[agent]
        ended, by_itself = not here.alive.any(), bool(told.terminated.any())
        return rewards, np.concatenate(costs), ended and by_itself, ended and not by_itself

    def _count(self, copies: slice, rewards: Any, costs: Any, fell: Any, cut: Any, resetting: Any) -> None:
        self.episodes.count(copies, rewards, costs, np.zeros(len(fell)), fell, resetting, cut)
        for copy in np.flatnonzero(self.episodes.truncated[copies]) + copies.start:
            for agent in np.flatnonzero(self._copies[copy].alive):
                self._told[agent][copy, -1] = 1.0

    def _tell(self, copy: int, agent: int, reward: float, costs: NDArray[np.float64]) -> None:
        row, block = self._told[agent][copy], self._copies[copy].blocks[agent]
        row[: len(block)] = block
        row[len(block)] = reward
        row[len(block) + 1 : -FLAGS] = costs

    # ---- observations and figures ----

    def observation(self, agent: int, group: int) -> Value:
        """Block, reward, costs and flags, in an array that the next step does not write to."""
        here = self._groups[group]
        return self._told[agent][here.start : here.stop].copy()

    def figures(self) -> dict[str, Any]:
        """Episode figures since the last call; nobody knows how far anybody went."""
        return {**self.episodes.take_figures(), "distance": None, "distance_rate": None}

    def picture(self, copy: int) -> NDArray[np.uint8]:
        """``[height, width, 3]``, as the world itself draws that copy (Gymnasium's render_mode rgb_array)."""
        try:
            return self._copies[copy].picture()
        except ContractBroken as broken:
            raise self._at(copy, broken) from broken

    # ---- copies ----

    def _make(self) -> Iterator[None]:
        about = self.spec.parameters
        try:
            make = open_callable(self.spec.maker, about["directory"])
            cost = about["cost"]
            cost = open_callable(cost, about["directory"]) if cost not in ("", NO_COST) else cost
        except ContractBroken as broken:
            raise WorldBroken(f"{self.spec.label}: {broken}") from broken
        for copy in paced(range(len(self._taken))):
            if copy is None:
                yield
                continue
            try:
                made = ForeignCopy(make, about["arguments"], cost)
                if [str(name) for name in made.names] != about["names"]:
                    raise ContractBroken("its agents are not those that the run was planned with")
            except ContractBroken as broken:
                raise self._at(copy, broken) from broken
            self._copies.append(made)

    def _reset(self, copy: int) -> None:
        self.episodes.begin(np.array([copy]))
        try:
            self._begin_episode(copy)
        except ContractBroken as broken:
            raise self._at(copy, broken) from broken
        self._taken[copy] = []
        alive = self._copies[copy].alive
        for agent in range(self.spec.agents):
            self._tell(copy, agent, 0.0, np.zeros(self._costs[agent]))
            # An agent that is not born yet is as good as dead.
            self._told[agent][copy, -FLAGS:] = 0.0 if alive[agent] else 1.0, 0.0

    def _begin_episode(self, copy: int) -> None:
        here = self._copies[copy]
        here.reset(self._episode_seed(copy))
        # Not before: a local state may not be there until the first reset.
        if tuple(map(len, here.blocks)) != self.spec.block_sizes:
            raise ContractBroken("its observations are not those that the run was planned with")

    def _episode_seed(self, copy: int) -> int:
        number = int(self.episodes.number[copy])
        draw = stream(self._seed, purpose=Purpose.EPISODE_RESET, process=copy, round=number)
        return int(draw.integers(SEEDS))

    def _at(self, copy: int, broken: ContractBroken) -> WorldBroken:
        names = self.spec.parameters["names"]
        who = f"agent {names.index(broken.agent)} ({broken.agent}), " if broken.agent in names else ""
        who = who or (f"agent {broken.agent}, " if broken.agent else "")
        steps = int(self.episodes.length[copy])
        return WorldBroken(f"{self.spec.label}: {who}copy {copy}, {steps} steps after its reset: {broken}")

    # ---- state ----

    def save(self) -> bytes:
        """Episodes, what was told last, and every copy's running episode."""
        states = [np.frombuffer(self._state_of(copy), np.uint8) for copy in range(len(self._copies))]
        taken = [row for rows in self._taken for row in rows]
        arrays = {
            "taken": np.stack(taken) if taken else np.zeros((0, sum(self.spec.action_sizes)), np.float32),
            "states": np.concatenate(states),
            "state_sizes": np.array([len(state) for state in states], np.int64),
            "alive": np.stack([copy.alive for copy in self._copies]),
            **{f"told.{agent}": told.copy() for agent, told in enumerate(self._told)},
            **self.episodes.arrays(),
        }
        return to_archive(arrays)

    def _state_of(self, copy: int) -> bytes:
        env = self._copies[copy].env
        if not hasattr(env, "save_state"):
            return b""
        try:
            return bytes(called(env.save_state, "save_state raised"))
        except ContractBroken as broken:
            raise self._at(copy, broken) from broken

    def load(self, content: bytes) -> Iterable[None]:
        """Make every copy again and take its running episode to where it was."""
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        yield from self._make()
        self.episodes.load(arrays)
        for agent, told in enumerate(self._told):
            told[:] = arrays[f"told.{agent}"]
        lengths = self.episodes.length.astype(np.int64)
        rows = np.split(arrays["taken"], np.cumsum(lengths)[:-1])
        states = np.split(arrays["states"], np.cumsum(arrays["state_sizes"])[:-1])
        for copy in range(len(self._copies)):
            self._taken[copy] = list(rows[copy])
            yield from self._replay(copy, states[copy], arrays["alive"][copy])

    def _replay(self, copy: int, state: NDArray[np.uint8], alive: NDArray[np.bool_]) -> Iterator[None]:
        here, ends = self._copies[copy], np.cumsum(self.spec.action_sizes)[:-1]
        told = [told[copy, :width] for told, width in zip(self._told, self.spec.block_sizes)]
        try:
            self._begin_episode(copy)
            if len(state):
                called(here.env.load_state, "load_state raised", state.tobytes())
                here.alive, here.blocks = alive, [block.astype(np.float64) for block in told]
                return
            for row in paced(self._taken[copy]):
                if row is None:
                    yield
                else:
                    here.step(np.split(row, ends))
        except ContractBroken as broken:
            raise self._at(copy, broken) from broken
        same = all(np.array_equal(now.astype(np.float32), before) for now, before in zip(here.blocks, told))
        if not (same and np.array_equal(here.alive, alive)):
            raise self._lost(copy)

    def _lost(self, copy: int) -> WorldBroken:
        return self._at(
            copy,
            ContractBroken(
                "the same seed and actions led elsewhere than before the restart; draw all chance from the seed of "
                "reset, or give the world save_state() and load_state(); see: scalmarl env check"
            ),
        )


def paced(items: Iterable[Any]) -> Iterator[Any]:
    """The items, and ``None`` wherever it is time for a breath."""
    since = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() - since > PIECE_S:
            yield None
            since = time.monotonic()
