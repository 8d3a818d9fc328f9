"""What an agent does in a round, from top to bottom: roll out, estimate, take its turn, train its critics, commit.

Rules of this file: pure; it says who hears what and when. The mathematics is the learner's (``agents.learner``), which
is handed in, so the same body runs under the seeded simulator with a stand-in.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from scalmarl.protocol.effects import Body, Effect, arrived, breathe, checkpoint, need, need_all, put
from scalmarl.protocol.keys import COORDINATOR, SIM, Key, Kind
from scalmarl.protocol.kinds import Value, is_exchanged
from scalmarl.protocol.order import predecessors
from scalmarl.protocol.plan import Plan

Heard = Mapping[int, Value]
"""Agent -> what it published."""


class RoundLearner(Protocol):
    """What the body asks of the learner; shapes as in the table of kinds."""

    def begin_round(self, round: int) -> None:
        """Start an empty rollout."""

    def observe(self, step: int, observation: Value) -> Value:
        """Store own reward, costs and flags; return the own block to be shared."""

    def look(self, step: int, blocks: Sequence[Value | None]) -> None:
        """Store s_{N_kappa} of a step; ``blocks`` in ascending order of agents, ``None`` where one is absent."""

    def act(self, step: int) -> Value:
        """Sample the action of a step."""

    def estimate(self) -> tuple[Value, Value]:
        """Raw advantages ``[1 + m, B]`` and slacks ``[m, 3]``; steps the multipliers."""

    def train_critics(self) -> Iterator[None]:
        """Train reward and cost critics, one minibatch per item."""

    def improve(self, advantages: Heard, slacks: Heard, turns: Heard) -> Iterator[None]:
        """Improve the policy, given what the neighbourhood published and the predecessors' turns."""

    def turn(self) -> Value:
        """What this turn did: log-ratios, KL, surrogates."""

    def close_round(self) -> dict[str, Any]:
        """Merge the statistics; return the round's figures."""

    def save(self) -> bytes:
        """The content of a round file."""

    def load(self, content: bytes) -> None:
        """The inverse of ``save``."""


def agent_body(me: int, plan: Plan, learner: RoundLearner, round: int, content: bytes | None) -> Body:
    """Rounds from ``round`` to the plan's end."""
    if content is None:
        yield from checkpoint(0, learner.save())
    else:
        learner.load(content)
    while round < plan.rounds:
        learner.begin_round(round)
        yield from roll_out(me, plan, learner, round)

        yield from breathe("estimate")
        own = {}
        own[Kind.ADVANTAGE], own[Kind.SLACK] = learner.estimate()
        for kind, value in own.items():
            yield from tell(me, plan, kind, round, value)

        yield from take_turn(me, plan, learner, round, own)

        figures = learner.close_round()
        digest = yield from checkpoint(round + 1, learner.save(), figures)
        yield from put(Key(me, Kind.DONE, me, round, 0), np.frombuffer(digest, dtype="u1"))
        yield from need(Key(COORDINATOR, Kind.COMMIT, COORDINATOR, round, 0))
        round += 1


def roll_out(me: int, plan: Plan, learner: RoundLearner, round: int) -> Generator[Effect, Any, None]:
    """T lockstep control steps of every group: observe, share the block with N_kappa, act."""
    neighbourhood, heard = plan.neighbourhood(me), plan.heard(me)
    yield from breathe("sampling")
    for step in range(plan.groups * (plan.steps + 1)):
        observation = yield from need(Key(SIM, Kind.OBSERVATION, me, round, step))
        block = learner.observe(step, observation)
        yield from put(Key(me, Kind.STATE, me, round, step), block)
        states = yield from need_all([Key(j, Kind.STATE, j, round, step) for j in heard])
        blocks = dict(zip(heard, states))
        blocks[me] = block
        learner.look(step, [blocks.get(agent) for agent in neighbourhood])
        if step < plan.groups * plan.steps:
            yield from put(Key(me, Kind.ACTION, me, round, step), learner.act(step))


def take_turn(
    me: int, plan: Plan, learner: RoundLearner, round: int, own: dict[Kind, Value]
) -> Generator[Effect, Any, None]:
    """Improve the policy in turn. The critics train while the turn is awaited, and after it: the policy's step does not
    read them, so when they train changes no bit."""
    grant = Key(COORDINATOR, Kind.GRANT, me, round, 0)
    critics = learner.train_critics()
    while not (yield from arrived(grant)) and next(critics, STOP) is not STOP:
        yield from breathe("critics")
    yield from need(grant)

    advantages = yield from hear(plan, plan.heard(me), Kind.ADVANTAGE, round)
    slacks = yield from hear(plan, plan.heard(me), Kind.SLACK, round)
    turns = yield from hear(plan, predecessors(plan, round)[me], Kind.TURN, round)
    advantages[me], slacks[me] = own[Kind.ADVANTAGE], own[Kind.SLACK]
    for _ in learner.improve(advantages, slacks, turns):
        yield from breathe("policy")
    yield from tell(me, plan, Kind.TURN, round, learner.turn())
    yield from put(Key(me, Kind.TURN_DONE, me, round, 0), np.empty(0, dtype="u1"))

    for _ in critics:
        yield from breathe("critics")


def tell(me: int, plan: Plan, kind: Kind, round: int, value: Value) -> Generator[Effect, Any, None]:
    """Publish to N_kappa what the algorithm exchanges; what it does not exchange stays here."""
    if is_exchanged(plan, kind):
        yield from put(Key(me, kind, me, round, 0), value)


def hear(
    plan: Plan, agents: Sequence[int] | frozenset[int], kind: Kind, round: int
) -> Generator[Effect, Any, dict[int, Value]]:
    """What these agents published once this round, in ascending order of agents; nothing if it is not exchanged."""
    speakers = sorted(agents) if is_exchanged(plan, kind) else []
    values = yield from need_all([Key(agent, kind, agent, round, 0) for agent in speakers])
    return dict(zip(speakers, values))


STOP = object()
