"""What the parts of a round cost, and how much of each an agent's round holds.

Rules of this file: pure; seconds, bytes and counts. The costs are fitted to measured launches (``scaling.fit``) and
spent by the simulation of larger ones (``scaling.simulation``).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from scalmarl.agents.settings import LearnerSettings
from scalmarl.protocol.codec import curve_wire_bytes, frame_bytes
from scalmarl.protocol.keys import COORDINATOR, SIM, Key, Kind, Role
from scalmarl.protocol.kinds import TABLE, is_exchanged, steps_of, turn_surrogates
from scalmarl.protocol.plan import Plan


@dataclass(frozen=True)
class Costs:
    """Processor seconds per unit, unless said otherwise.

    Physics, of one call that steps E copies of N agents: ``physics_call + E (physics_copy + N physics_agent)`` on one
    thread, and what is not parallel, ``scoring_call + E N scoring_agent``. A further thread brings ``thread_gain`` of
    one (0 to 1). Messages, at either end: per frame of an agent, per frame of sim server or coordinator, per wire byte;
    ``wake`` are seconds from a sending until the receiver runs. Policies: per control step, per multiply-add of
    acting. Updates: per minibatch of the policy, per minibatch of one critic, per multiply-add of training, per round.
    ``save`` are seconds of a host's disk per process and round, ``commit`` seconds of every round besides. The launcher
    takes ``launcher`` cores, and ``watch`` more per process. Memory, in bytes: of an agent, of a host before its
    agents, per byte of an agent's samples, and in every process per agent that the plan describes."""

    physics_call: float = 0.0
    physics_copy: float = 0.0
    physics_agent: float = 0.0
    scoring_call: float = 0.0
    scoring_agent: float = 0.0
    thread_gain: float = 1.0
    agent_frame: float = 0.0
    server_frame: float = 0.0
    byte: float = 0.0
    wake: float = 0.0
    act_step: float = 0.0
    act_product: float = 0.0
    policy_minibatch: float = 0.0
    critic_minibatch: float = 0.0
    train_product: float = 0.0
    update_round: float = 0.0
    server_round: float = 0.0
    save: float = 0.0
    commit: float = 0.0
    launcher: float = 0.0
    watch: float = 0.0
    agent_memory: float = 0.0
    host_memory: float = 0.0
    sample_memory: float = 0.0
    plan_memory: float = 0.0

    def to_data(self) -> dict[str, float]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Costs:
        """The inverse of ``to_data``. Raises ``ValueError`` where a cost is missing, unknown, or no cost."""
        names = {field.name for field in fields(cls)}
        for name in sorted(names ^ set(data)):
            raise ValueError(f"cost {name!r} is {'missing' if name in names else 'unknown'}")
        for name, value in data.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise ValueError(f"cost {name!r} is {value!r}, not a number from 0")
        return cls(**data)

    def physics_s(self, plan: Plan) -> float:
        """One control step of one group, on one thread."""
        return self.physics_call + plan.group_copies * (self.physics_copy + plan.agents * self.physics_agent)

    def scoring_s(self, plan: Plan) -> float:
        """What the world does besides, in the same step."""
        return self.scoring_call + plan.group_copies * plan.agents * self.scoring_agent


@dataclass(frozen=True)
class Learning:
    """How much an agent computes. ``acts``: multiply-adds of one action of one copy; the rest is of a round, in pieces
    after each of which it looks at what came: minibatches of the policy, and of all critics together."""

    acts: int
    policy_pieces: int
    critic_pieces: int
    critics: int
    policy_piece_products: float
    critic_piece_products: float

    @classmethod
    def of(cls, plan: Plan, agent: int) -> Learning:
        """Of an agent; every epoch is taken, though a bound may end a turn before."""
        settings = LearnerSettings.from_data(plan.learner)
        critics = 1 + (plan.costs(agent) if settings.cost_terms != "none" else 0)
        width, rows = plan.input_width(agent), plan.samples / settings.minibatches
        outputs = plan.task.action_choices[agent] or plan.task.action_sizes[agent]
        acts = _products((width, *settings.hidden, outputs))
        return cls(
            acts=acts,
            policy_pieces=settings.policy_epochs * settings.minibatches,
            critic_pieces=settings.critic_epochs * settings.minibatches,
            critics=critics,
            policy_piece_products=rows * acts,
            critic_piece_products=rows * critics * _products((width, *settings.hidden, 1)),
        )

    def policy_piece_s(self, costs: Costs) -> float:
        """One minibatch of the policy."""
        return costs.policy_minibatch + costs.train_product * self.policy_piece_products

    def critic_piece_s(self, costs: Costs) -> float:
        """One minibatch of every critic."""
        return self.critics * costs.critic_minibatch + costs.train_product * self.critic_piece_products


def _products(sizes: tuple[int, ...]) -> int:
    return sum(a * b for a, b in itertools.pairwise(sizes))


class WireSizes:
    """Wire bytes of one frame by (kind, subject); 0 for a kind that the algorithm does not exchange."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: dict[tuple[Kind, tuple[int, ...]], int] = {}

    def of(self, kind: Kind, subject: int) -> int:
        """Bytes as ZeroMQ writes them."""
        plan = self._plan
        if not is_exchanged(plan, kind):
            return 0
        shape_of = (0, 0, 0, 0)
        if subject < plan.agents:
            shape_of = (
                plan.task.block_sizes[subject], plan.task.action_sizes[subject], plan.costs(subject),
                len(turn_surrogates(plan, subject)),
            )  # fmt: skip
        at = (kind, shape_of)
        if at not in self._known:
            producer = {Role.AGENT: subject, Role.SIM: SIM, Role.COORDINATOR: COORDINATOR}[TABLE[kind].producer[0]]
            self._known[at] = curve_wire_bytes(frame_bytes(plan, Key(producer, kind, subject, 0, 0)))
        return self._known[at]


AGENT_TERMS = (
    "byte", "agent_frame", "act_step", "act_product", "policy_minibatch", "critic_minibatch", "train_product",
    "update_round",
)  # fmt: skip
"""The costs that an agent's processor time of a round is made of."""


def agent_amounts(plan: Plan, agent: int) -> tuple[float, ...]:
    """How often each of ``AGENT_TERMS`` is spent in a round of an agent."""
    frames, size = _frames_and_bytes(plan, agent)
    own = Learning.of(plan, agent)
    trained = own.policy_pieces * own.policy_piece_products + own.critic_pieces * own.critic_piece_products
    return (
        size, frames, plan.groups * plan.steps, plan.samples * own.acts, own.policy_pieces,
        own.critic_pieces * own.critics, trained, 1.0,
    )  # fmt: skip


def sample_bytes(plan: Plan, agent: int) -> float:
    """Of an agent's round: what its networks read, and their hidden layers, once."""
    widest = max(LearnerSettings.from_data(plan.learner).hidden)
    return 4.0 * plan.samples * (plan.input_width(agent) + 2 * widest)


def server_frames(plan: Plan) -> int:
    """Frames that the sim server sends and receives in a round."""
    return plan.agents * (steps_of(plan, Kind.OBSERVATION) + steps_of(plan, Kind.ACTION)) + 2


def server_bytes(plan: Plan) -> int:
    """Wire bytes that the sim server sends and receives in a round."""
    sizes = WireSizes(plan)
    return (
        sum(
            steps_of(plan, kind) * sizes.of(kind, agent)
            for kind in (Kind.OBSERVATION, Kind.ACTION)
            for agent in range(plan.agents)
        )
        + sizes.of(Kind.DONE, 0)
        + sizes.of(Kind.COMMIT, COORDINATOR)
    )


def _frames_and_bytes(plan: Plan, agent: int) -> tuple[float, float]:
    """Sent and received by an agent in a round."""
    sizes = WireSizes(plan)
    frames = size = 0.0
    heard = plan.heard(agent)
    for kind in TABLE:
        if not is_exchanged(plan, kind):
            continue
        between = kind in (Kind.STATE, Kind.ADVANTAGE, Kind.SLACK, Kind.TURN)
        for subject, count in ((agent, len(heard) if between else 1), *((other, 1) for other in heard if between)):
            told = COORDINATOR if kind is Kind.COMMIT else subject
            frames += count * steps_of(plan, kind)
            size += count * steps_of(plan, kind) * sizes.of(kind, told)
    return frames, size
