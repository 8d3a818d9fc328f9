"""The agent's body, its effects answered by hand: which keys, in which order, heard from whom."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from scalmarl.agents.body import agent_body
from scalmarl.protocol.effects import Arrived, Breathe, Checkpoint, Effect, Need, Put
from scalmarl.protocol.keys import COORDINATOR, SIM, Key, Kind
from scalmarl.protocol.kinds import Value, form
from scalmarl.protocol.order import predecessors
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.standins import toy_plan

PATH = ((1, 2), (0, 2, 3), (0, 1, 3, 4), (1, 2, 4), (2, 3))
"""kappa 2 on a path of five."""
PLAN = toy_plan(PATH, (0, 1, 2, 0, 1), steps=2, copies=2, groups=1, rounds=3)
CRITIC_MINIBATCHES, POLICY_MINIBATCHES = 3, 2


def value_of(plan: Plan, key: Key) -> Value:
    """A value that tells its key: everything that is heard can be traced to who said it."""
    dtype, shape = form(plan, key)
    number = int.from_bytes(hashlib.sha256(str(key).encode()).digest()[:2], "little")
    return np.full(shape, number % 251, dtype=dtype)


class StubLearner:
    """Notes every call; publishes what its keys ask for."""

    def __init__(self, plan: Plan, me: int) -> None:
        self.plan, self.me, self.round = plan, me, -1
        self.calls: list[tuple[Any, ...]] = []

    def key(self, kind: Kind, step: int = 0) -> Key:
        return Key(self.me, kind, self.me, self.round, step)

    def begin_round(self, round: int) -> None:
        self.round = round
        self.calls.append(("begin", round))

    def observe(self, step: int, observation: Value) -> Value:
        self.calls.append(("observe", step, observation))
        return value_of(self.plan, self.key(Kind.STATE, step))

    def look(self, step: int, blocks: Sequence[Value]) -> None:
        self.calls.append(("look", step, list(blocks)))

    def act(self, step: int) -> Value:
        self.calls.append(("act", step))
        return value_of(self.plan, self.key(Kind.ACTION, step))

    def estimate(self) -> tuple[Value, Value]:
        self.calls.append(("estimate",))
        return value_of(self.plan, self.key(Kind.ADVANTAGE)), value_of(self.plan, self.key(Kind.SLACK))

    def train_critics(self) -> Iterator[None]:
        for n in range(CRITIC_MINIBATCHES):
            self.calls.append(("critics", n))
            yield

    def improve(
        self, advantages: Mapping[int, Value], slacks: Mapping[int, Value], turns: Mapping[int, Value]
    ) -> Iterator[None]:
        self.calls.append(("improve", dict(advantages), dict(slacks), dict(turns)))
        for _ in range(POLICY_MINIBATCHES):
            yield

    def turn(self) -> Value:
        self.calls.append(("turn",))
        return value_of(self.plan, self.key(Kind.TURN))

    def close_round(self) -> dict[str, Any]:
        self.calls.append(("close",))
        return {"closed": self.round}

    def save(self) -> bytes:
        self.calls.append(("save",))
        return f"file after {self.round}".encode()

    def load(self, content: bytes) -> None:
        self.calls.append(("load", content))

    def names(self) -> list[str]:
        return [call[0] for call in self.calls]

    def call(self, name: str) -> tuple[Any, ...]:
        (found,) = (call for call in self.calls if call[0] == name)
        return found


@dataclass
class Drive:
    """Answers effects; the grant is here after it was asked for ``patience`` times."""

    plan: Plan
    patience: int = 0
    effects: list[Effect] = field(default_factory=list)

    def run(self, me: int, learner: StubLearner, round: int = 0, content: bytes | None = None) -> None:
        body, answer, asked = agent_body(me, self.plan, learner, round, content), None, 0
        while True:
            try:
                effect = body.send(answer)
            except StopIteration:
                return
            self.effects.append(effect)
            answer = None
            if isinstance(effect, Need):
                answer = [value_of(self.plan, key) for key in effect.keys]
            elif isinstance(effect, Arrived):
                asked += 1
                answer = asked > self.patience
            elif isinstance(effect, Checkpoint):
                answer = hashlib.sha256(effect.content).digest()

    def of(self, kind: type) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]


def one_round(me: int, plan: Plan = PLAN, round: int = 0, patience: int = 0) -> tuple[Drive, StubLearner]:
    plan = replace(plan, rounds=round + 1)
    drive, learner = Drive(plan, patience), StubLearner(plan, me)
    drive.run(me, learner, round, b"" if round else None)
    return drive, learner


def same(heard: Mapping[int, Value], expected: Mapping[int, Value]) -> bool:
    return list(heard) == list(expected) and all(np.array_equal(heard[agent], expected[agent]) for agent in heard)


def published(plan: Plan, agents: Sequence[int], kind: Kind, round: int = 0) -> dict[int, Value]:
    return {agent: value_of(plan, Key(agent, kind, agent, round, 0)) for agent in agents}


def story(effect: Effect) -> Any:
    """An effect without its values."""
    if isinstance(effect, Need):
        return ("need", [tuple(key) for key in effect.keys])
    if isinstance(effect, Put):
        return ("put", tuple(effect.key))
    if isinstance(effect, Checkpoint):
        return ("checkpoint", effect.round)
    return (type(effect).__name__.lower(), effect.phase if isinstance(effect, Breathe) else tuple(effect.key))  # type: ignore[union-attr]


def test_the_keys_of_one_round_in_order() -> None:
    drive, _ = one_round(3)
    grant = (COORDINATOR, Kind.GRANT, 3, 0, 0)

    def key(agent: int, kind: Kind, step: int = 0) -> tuple[int, ...]:
        return (agent, kind, agent, 0, step)

    def heard(kind: Kind, agents: Sequence[int], step: int = 0) -> Any:
        return ("need", [key(agent, kind, step) for agent in agents])

    before = sorted(predecessors(PLAN, 0)[3])
    expected: list[Any] = [("checkpoint", 0), ("breathe", "sampling")]
    for step in range(3):
        expected += [("need", [(SIM, Kind.OBSERVATION, 3, 0, step)]), ("put", key(3, Kind.STATE, step))]
        expected.append(heard(Kind.STATE, (1, 2, 4), step))
        if step < 2:
            expected.append(("put", key(3, Kind.ACTION, step)))
    expected += [("breathe", "estimate"), ("put", key(3, Kind.ADVANTAGE)), ("put", key(3, Kind.SLACK))]
    expected += [("arrived", grant), ("need", [grant])]
    expected += [heard(kind, (1, 2, 4)) for kind in (Kind.ADVANTAGE, Kind.SLACK)] + [heard(Kind.TURN, before)]
    expected += [("breathe", "policy")] * POLICY_MINIBATCHES
    expected += [("put", key(3, Kind.TURN)), ("put", key(3, Kind.TURN_DONE))]
    expected += [("breathe", "critics")] * CRITIC_MINIBATCHES
    expected += [("checkpoint", 1), ("put", key(3, Kind.DONE))]
    expected.append(("need", [(COORDINATOR, Kind.COMMIT, COORDINATOR, 0, 0)]))
    assert [story(effect) for effect in drive.effects] == expected


@pytest.mark.parametrize("me", range(5))
@pytest.mark.parametrize("groups", [1, 2])
def test_an_agent_hears_its_neighbours_the_sim_and_the_coordinator_and_nobody_else(me: int, groups: int) -> None:
    drive, _ = one_round(me, replace(PLAN, groups=groups))
    for need in drive.of(Need):
        for key in need.keys:
            if key.kind in (Kind.OBSERVATION, Kind.GRANT):
                assert (key.producer, key.subject) == (SIM if key.kind is Kind.OBSERVATION else COORDINATOR, me)
            elif key.kind is Kind.COMMIT:
                assert key.producer == COORDINATOR
            else:
                assert key.producer in PATH[me]
                assert key.kind in (Kind.STATE, Kind.ADVANTAGE, Kind.SLACK, Kind.TURN)
    assert all(put.key.producer == put.key.subject == me for put in drive.of(Put))


@pytest.mark.parametrize("groups", [1, 2])
def test_every_group_has_one_more_observation_than_actions(groups: int) -> None:
    drive, learner = one_round(2, replace(PLAN, groups=groups))
    puts = [put.key for put in drive.of(Put)]
    assert [key.step for key in puts if key.kind is Kind.STATE] == list(range(3 * groups))
    assert [key.step for key in puts if key.kind is Kind.ACTION] == list(range(2 * groups))
    assert [call[1] for call in learner.calls if call[0] == "act"] == list(range(2 * groups))


@pytest.mark.parametrize("me", range(5))
def test_blocks_come_in_ascending_order_of_agents_with_the_own_one_in_its_place(me: int) -> None:
    plan = replace(PLAN, rounds=1)
    _, learner = one_round(me)
    looks = [call for call in learner.calls if call[0] == "look"]
    assert [call[1] for call in looks] == [0, 1, 2]
    for _, step, blocks in looks:
        keys = [Key(agent, Kind.STATE, agent, 0, step) for agent in sorted((*PATH[me], me))]
        assert len(blocks) == len(keys)
        assert all(np.array_equal(block, value_of(plan, key)) for block, key in zip(blocks, keys))


@pytest.mark.parametrize("me", range(5))
@pytest.mark.parametrize("round", range(4))
def test_the_learner_is_given_what_the_neighbourhood_published_and_only_the_predecessors_turns(
    me: int, round: int
) -> None:
    _, learner = one_round(me, round=round)
    _, advantages, slacks, turns = learner.call("improve")
    hood = (*PATH[me], me)
    assert same(advantages, published(PLAN, hood, Kind.ADVANTAGE, round))
    assert same(slacks, published(PLAN, hood, Kind.SLACK, round))
    assert same(turns, published(PLAN, sorted(predecessors(PLAN, round)[me]), Kind.TURN, round))


def test_some_agent_has_predecessors_and_some_neighbour_of_it_comes_later() -> None:
    counts = [(len(predecessors(PLAN, round)[me]), len(PATH[me])) for me in range(5) for round in range(4)]
    assert any(0 < before < all_ for before, all_ in counts)


@pytest.mark.parametrize("patience", [0, 1, 2, CRITIC_MINIBATCHES, 9])
def test_critics_train_while_the_turn_is_awaited_and_the_rest_after_it_each_minibatch_once(patience: int) -> None:
    drive, learner = one_round(1, patience=patience)
    assert [call[1] for call in learner.calls if call[0] == "critics"] == list(range(CRITIC_MINIBATCHES))
    names = learner.names()
    assert names[: names.index("improve")].count("critics") == min(patience, CRITIC_MINIBATCHES)
    assert [breath.phase for breath in drive.of(Breathe)].count("critics") == CRITIC_MINIBATCHES
    done = max(place for place, name in enumerate(names) if name == "critics")
    assert done < names.index("close")


def test_the_file_of_a_round_is_written_before_its_digest_goes_out() -> None:
    drive, learner = one_round(0)
    checkpoints = drive.of(Checkpoint)
    assert [(c.round, c.content, c.figures) for c in checkpoints] == [
        (0, b"file after -1", {}),
        (1, b"file after 0", {"closed": 0}),
    ]
    (done,) = (put for put in drive.of(Put) if put.key.kind is Kind.DONE)
    assert done.value.tobytes() == hashlib.sha256(b"file after 0").digest()
    assert drive.effects.index(done) > drive.effects.index(checkpoints[1])
    assert learner.names()[-2:] == ["close", "save"]


def test_an_agent_that_restarts_goes_on_from_its_file_and_writes_no_first_one() -> None:
    drive, learner = Drive(PLAN), StubLearner(PLAN, 4)
    drive.run(4, learner, 1, b"saved")
    assert learner.calls[0] == ("load", b"saved")
    assert [call[1] for call in learner.calls if call[0] == "begin"] == [1, 2]
    assert [checkpoint.round for checkpoint in drive.of(Checkpoint)] == [2, 3]


def test_a_finished_run_asks_for_nothing() -> None:
    drive, learner = Drive(PLAN), StubLearner(PLAN, 4)
    drive.run(4, learner, PLAN.rounds, b"saved")
    assert drive.effects == []


@pytest.mark.parametrize("patience", [0, 2])
def test_every_value_has_the_form_that_its_key_must_have(patience: int) -> None:
    drive, _ = one_round(2, patience=patience)
    for put in drive.of(Put):
        dtype, shape = form(PLAN, put.key)
        assert (put.value.dtype, put.value.shape) == (dtype, shape), put.key


def test_an_agent_alone_still_needs_its_turn() -> None:
    drive, learner = one_round(0, toy_plan(((),), (0,), steps=1, copies=1, rounds=1))
    assert learner.call("improve")[3] == {}
    asked = [key.kind for need in drive.of(Need) for key in need.keys]
    assert asked == [Kind.OBSERVATION, Kind.OBSERVATION, Kind.GRANT, Kind.COMMIT]
