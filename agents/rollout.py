"""One agent's samples of a round, indexed ``[t][copy]`` with copies group-major, as every process indexes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scalmarl.protocol.kinds import FLAGS, Value
from scalmarl.protocol.plan import Plan

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]


class Rollout:
    """``T + 1`` observations and ``T`` actions of ``E`` copies.

    ``inputs`` ``[T+1, E, D]``: the raw blocks of N_kappa, side by side; ``actions`` ``[T, E, A]``; ``rewards``
    ``[T, E]`` and ``costs`` ``[m, T, E]`` of the action at t (they arrive with observation t + 1); ``terminated`` and
    ``truncated`` ``[T+1, E]``: flags that came with observation t. Reset is next-step: where an observation is flagged,
    the action at t is ignored by the world, so the sample is not ``valid``.

    An absent neighbour's block is ``blank`` ``[D]``, the mean of what was seen of it: zero once normalised. Its columns
    and those of presence are ``unseen`` ``[D]``: nothing is learnt of their statistics.
    """

    def __init__(self, plan: Plan, me: int, blank: NDArray[np.float64]) -> None:
        steps, copies, costs = plan.steps, plan.copies, plan.costs(me)
        self._plan, self._block, self._costs = plan, plan.task.block_sizes[me], costs
        sizes = [plan.task.block_sizes[agent] for agent in plan.neighbourhood(me)]
        ends = np.cumsum(sizes).tolist()
        self._columns = [slice(start, end) for start, end in zip([0, *ends], ends)]
        self.inputs: FloatArray = np.zeros((steps + 1, copies, plan.input_width(me)), np.float32)
        self.unseen: BoolArray = np.zeros(plan.input_width(me), bool)
        self._leave_blank(plan, me, blank)
        self.actions: FloatArray = np.zeros((steps, copies, plan.task.action_sizes[me]), np.float32)
        self.rewards: FloatArray = np.zeros((steps, copies), np.float32)
        self.costs: FloatArray = np.zeros((costs, steps, copies), np.float32)
        self.terminated: BoolArray = np.zeros((steps + 1, copies), bool)
        self.truncated: BoolArray = np.zeros((steps + 1, copies), bool)

    def _leave_blank(self, plan: Plan, me: int, blank: NDArray[np.float64]) -> None:
        for agent, columns in zip(plan.neighbourhood(me), self._columns):
            if agent in plan.absent:
                self.unseen[columns] = True
        self.inputs[:, :, self.unseen] = blank[self.unseen].astype(np.float32)
        if plan.on_loss == "mask":
            presence = [other not in plan.absent for other in plan.neighbours[me]]
            self.inputs[:, :, self._columns[-1].stop :] = np.array(presence, np.float32)
            self.unseen[self._columns[-1].stop :] = True

    def place(self, step: int) -> tuple[int, slice]:
        """The time t and the copies of a step."""
        t, group = divmod(step, self._plan.groups)
        size = self._plan.group_copies
        return t, slice(group * size, (group + 1) * size)

    def observe(self, step: int, observation: Value) -> FloatArray:
        """Store the reward, costs and flags of an observation; returns its block ``[E/G, block]``."""
        t, copies = self.place(step)
        reward, costs = self._block, slice(self._block + 1, self._block + 1 + self._costs)
        if t > 0:
            self.rewards[t - 1, copies] = observation[:, reward]
            self.costs[:, t - 1, copies] = observation[:, costs].T
        self.terminated[t, copies] = observation[:, -FLAGS] != 0
        self.truncated[t, copies] = observation[:, -FLAGS + 1] != 0
        return np.ascontiguousarray(observation[:, : self._block], dtype=np.float32)

    def look(self, step: int, blocks: Sequence[Value | None]) -> FloatArray:
        """Store s_{N_kappa} of a step, ``None`` for an absent agent's block; returns it, ``[E/G, D]``."""
        t, copies = self.place(step)
        here: FloatArray = self.inputs[t, copies]
        for block, columns in zip(blocks, self._columns):
            if block is not None:
                here[:, columns] = block
        return here

    @property
    def done(self) -> BoolArray:
        """``[T+1, E]``: an episode ended with this observation."""
        return self.terminated | self.truncated

    @property
    def valid(self) -> BoolArray:
        """``[T, E]``: samples whose action the world took."""
        return ~self.done[:-1]
