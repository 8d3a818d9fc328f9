"""What the sim server does in a round: send every agent its own observation, step the world with their actions.

Rules of this file: pure; the world is handed in, and no MuJoCo is imported here.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from scalmarl.protocol.effects import Body, Effect, breathe, checkpoint, need, need_all, put
from scalmarl.protocol.keys import COORDINATOR, SIM, Key, Kind
from scalmarl.protocol.kinds import DIGEST_BYTES, Value
from scalmarl.protocol.plan import Plan


class WorldBroken(ValueError):
    """The world gave, or was given, something that nothing can be computed from: the message says what and where."""


class SteppedWorld(Protocol):
    """What the body asks of a world; ``sim_server.world`` has the product's, ``sim_server.foreign_world`` anybody's.

    What may take long is a sequence of pieces of work, between which the process serves its peers.
    """

    def begin(self) -> Iterable[None]:
        """Put all copies at their first start."""

    def step(self, group: int, actions: Sequence[Value]) -> Iterable[None]:
        """Advance one group of copies by one control step; ``actions[i]`` is ``[E/G, action size of i]``."""

    def observation(self, agent: int, group: int) -> Value:
        """``[E/G, block + 1 + m + 2]``: block, reward, costs, terminated, truncated of the action just taken."""

    def figures(self) -> dict[str, Any]:
        """Episode figures since the last call."""

    def save(self) -> bytes:
        """All that is needed to go on bit-identically."""

    def load(self, content: bytes) -> Iterable[None]:
        """The inverse of ``save``."""


def sim_body(plan: Plan, world: SteppedWorld, round: int, content: bytes | None) -> Body:
    """Rounds from ``round`` to the plan's end; step ``t * G + g`` is control step t of group g."""
    if content is None:
        yield from in_pieces(world.begin(), "starting the world")
        yield from checkpoint(0, world.save())
    else:
        yield from in_pieces(world.load(content), "restoring the world")
    neutral = [np.zeros((plan.group_copies, size), "<f4") for size in plan.task.action_sizes]
    while round < plan.rounds:
        yield from breathe("sampling")
        for step in range(plan.groups * (plan.steps + 1)):
            group = step % plan.groups
            if step >= plan.groups:
                said = yield from need_all(
                    [Key(agent, Kind.ACTION, agent, round, step - plan.groups) for agent in plan.present]
                )
                actions = dict(zip(plan.present, said))
                joint = [actions.get(agent, neutral[agent]) for agent in range(plan.agents)]
                yield from in_pieces(world.step(group, joint), "sampling")
            for agent in plan.present:
                yield from put(Key(SIM, Kind.OBSERVATION, agent, round, step), world.observation(agent, group))
        digest = yield from checkpoint(round + 1, world.save(), world.figures())
        yield from put(Key(SIM, Kind.DONE, SIM, round, 0), np.frombuffer(digest, dtype="u1", count=DIGEST_BYTES))
        yield from need(Key(COORDINATOR, Kind.COMMIT, COORDINATOR, round, 0))
        round += 1


def in_pieces(work: Iterable[None], phase: str) -> Generator[Effect, Any, None]:
    """All of some work, with a breath after each piece."""
    for _ in work:
        yield from breathe(phase)
