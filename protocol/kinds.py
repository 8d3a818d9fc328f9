"""The one table of values: who sends each kind to whom, when, and in which shape.

Runtime, sockets, byte ledger, simulator and documentation all read this table; nothing about a kind is said twice.
Shapes are a function of (plan, producer), so blocks, actions and costs may differ between agents and travel unpadded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import DTypeLike, NDArray

from scalmarl.protocol.keys import COORDINATOR, SIM, Key, Kind, Role, role_of
from scalmarl.protocol.plan import Plan

Value = NDArray[np.generic]
Shape = tuple[int, ...]

DIGEST_BYTES = 32
FLAGS = 2
"""terminated, truncated: the last two columns of an observation."""
TURN_FIGURES = 3
"""mean KL, largest KL, reward surrogate: after the log-ratios of a turn, before the cost surrogates."""


class To(Enum):
    """The receivers of a kind."""

    SUBJECT = "the addressed agent"
    NEIGHBOURHOOD = "N_kappa of the producer"
    SIM = "the sim server"
    COORDINATOR = "the coordinator"
    EVERYBODY = "every other process"


class When(Enum):
    """How often a kind is sent in a round."""

    EACH_OBSERVATION = "t = 0..T, per group"
    EACH_ACTION = "t = 0..T-1, per group"
    ONCE = "once a round"


@dataclass(frozen=True)
class KindSpec:
    """One row of the table. ``after_file``: sent only once the next round's file is durable."""

    producer: tuple[Role, ...]
    to: To
    when: When
    dtype: DTypeLike
    shape: Callable[[Plan, int], Shape]
    payload: str
    after_file: bool = False


def _empty(plan: Plan, agent: int) -> Shape:
    return (0,)


def turn_surrogates(plan: Plan, agent: int) -> tuple[tuple[int, int], ...]:
    """The (agent h, cost j) pairs of a turn's cost surrogates, in the order in which they travel.

    None where neighbours do not tell their cost advantages."""
    if not is_exchanged(plan, Kind.ADVANTAGE):
        return ()
    return tuple((h, j) for h in sorted((*plan.heard(agent), agent)) for j in range(plan.costs(h)))


TABLE: dict[Kind, KindSpec] = {
    Kind.OBSERVATION: KindSpec(
        (Role.SIM,), To.SUBJECT, When.EACH_OBSERVATION, "<f4",
        lambda plan, i: (plan.group_copies, plan.task.block_sizes[i] + 1 + plan.costs(i) + FLAGS),
        "the agent's block, reward, costs, terminated, truncated (of the action before)",
    ),
    Kind.STATE: KindSpec(
        (Role.AGENT,), To.NEIGHBOURHOOD, When.EACH_OBSERVATION, "<f4",
        lambda plan, i: (plan.group_copies, plan.task.block_sizes[i]),
        "the producer's block",
    ),
    Kind.ACTION: KindSpec(
        (Role.AGENT,), To.SIM, When.EACH_ACTION, "<f4",
        lambda plan, i: (plan.group_copies, plan.task.action_sizes[i]),
        "the producer's action",
    ),
    Kind.ADVANTAGE: KindSpec(
        (Role.AGENT,), To.NEIGHBOURHOOD, When.ONCE, "<f4",
        lambda plan, i: (1 + plan.costs(i), plan.samples),
        "raw reward advantage, then every raw cost advantage",
    ),
    Kind.SLACK: KindSpec(
        (Role.AGENT,), To.NEIGHBOURHOOD, When.ONCE, "<f4",
        lambda plan, i: (plan.costs(i), 3),
        "per cost: slack, price of a step, multiplier",
    ),
    Kind.TURN: KindSpec(
        (Role.AGENT,), To.NEIGHBOURHOOD, When.ONCE, "<f4",
        lambda plan, i: (plan.samples + TURN_FIGURES + len(turn_surrogates(plan, i)),),
        "log-ratios of the sampled actions, mean and largest KL, reward surrogate, neighbours' cost surrogates",
    ),
    Kind.GRANT: KindSpec((Role.COORDINATOR,), To.SUBJECT, When.ONCE, "u1", _empty, "empty: it is the agent's turn"),
    Kind.TURN_DONE: KindSpec((Role.AGENT,), To.COORDINATOR, When.ONCE, "u1", _empty, "empty: the turn is over"),
    Kind.DONE: KindSpec(
        (Role.AGENT, Role.SIM), To.COORDINATOR, When.ONCE, "u1", lambda plan, i: (DIGEST_BYTES,),
        "SHA-256 of the next round's file, which is durable", after_file=True,
    ),
    Kind.COMMIT: KindSpec(
        (Role.COORDINATOR,), To.EVERYBODY, When.ONCE, "<i8", lambda plan, i: (1,),
        "the round that is over for everybody", after_file=True,
    ),
}  # fmt: skip


CHOSEN_BY_ALGORITHM = (Kind.ADVANTAGE, Kind.SLACK, Kind.TURN)
"""Kinds that exist only where the plan's algorithm exchanges them."""


def is_exchanged(plan: Plan, kind: Kind) -> bool:
    """Whether values of the kind exist in a run of this plan."""
    return kind not in CHOSEN_BY_ALGORITHM or kind.name.lower() in plan.exchanged


def sent_by(plan: Plan, process: int) -> tuple[Kind, ...]:
    """The kinds that a process produces."""
    return tuple(kind for kind, spec in TABLE.items() if role_of(process) in spec.producer and is_exchanged(plan, kind))


def steps_of(plan: Plan, kind: Kind) -> int:
    """How many steps a kind has in one round; ``step = t * G + g``."""
    when = TABLE[kind].when
    if when is When.ONCE:
        return 1
    return plan.groups * (plan.steps + (1 if when is When.EACH_OBSERVATION else 0))


def subjects_of(plan: Plan, producer: int, kind: Kind) -> tuple[int, ...]:
    """The subjects for which a producer makes a kind."""
    return plan.present if TABLE[kind].to is To.SUBJECT else (producer,)


def receivers(plan: Plan, key: Key) -> tuple[int, ...]:
    """The processes that a value goes to, ascending."""
    to = TABLE[key.kind].to
    if to is To.SUBJECT:
        return (key.subject,)
    if to is To.NEIGHBOURHOOD:
        return plan.heard(key.producer)
    if to is To.EVERYBODY:
        return plan.peers(key.producer)
    return (SIM,) if to is To.SIM else (COORDINATOR,)


def form(plan: Plan, key: Key) -> tuple[np.dtype[np.generic], Shape]:
    """The dtype and shape that a value must have."""
    spec = TABLE[key.kind]
    return np.dtype(spec.dtype), spec.shape(plan, key.subject)


def payload_bytes(plan: Plan, key: Key) -> int:
    """The size that a value must have."""
    dtype, shape = form(plan, key)
    return dtype.itemsize * math.prod(shape)


@dataclass(frozen=True)
class Rule:
    """What the plan says of all values of one (producer, kind, subject)."""

    kind: Kind
    dtype: np.dtype[np.generic]
    shape: Shape
    payload_bytes: int
    steps: int
    receivers: tuple[int, ...]


class Rules:
    """The table of kinds applied to one plan, worked out once per (producer, kind, subject)."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: dict[tuple[int, int, int], Rule | None] = {}

    def of(self, producer: int, kind: int, subject: int) -> Rule | None:
        """The rule, or ``None`` if the plan lets no such value exist."""
        at = (producer, kind, subject)
        try:
            return self._known[at]
        except KeyError:
            rule = self._work_out(producer, kind, subject)
            if len(self._known) < MOST_RULES:
                self._known[at] = rule
            return rule

    def _work_out(self, producer: int, kind: int, subject: int) -> Rule | None:
        plan = self._plan
        if producer not in plan.processes():
            return None
        if kind not in sent_by(plan, producer) or subject not in subjects_of(plan, producer, Kind(kind)):
            return None
        key = Key(producer, Kind(kind), subject, 0, 0)
        dtype, shape = form(plan, key)
        size = payload_bytes(plan, key)
        return Rule(key.kind, dtype, shape, size, steps_of(plan, key.kind), receivers(plan, key))


MOST_RULES = 100_000
"""Nonsense from the wire must not grow the table for ever."""
