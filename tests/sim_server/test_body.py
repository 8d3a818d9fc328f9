"""The sim server's body, its effects answered by hand: which keys, in which order, and what the world is given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from scalmarl.protocol.effects import Breathe, Checkpoint, Effect, Need, Put
from scalmarl.protocol.keys import COORDINATOR, SIM, Key, Kind
from scalmarl.protocol.kinds import Value, form
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.standins import toy_plan
from scalmarl.sim_server.body import sim_body

AGENTS = 3


def plan_of(groups: int, rounds: int = 2) -> Plan:
    return toy_plan(((1,), (0, 2), (1,)), (0, 1, 0), steps=2, copies=4, groups=groups, rounds=rounds)


def value_of(plan: Plan, key: Key) -> Value:
    dtype, shape = form(plan, key)
    number = int.from_bytes(hashlib.sha256(str(key).encode()).digest()[:2], "little")
    return np.full(shape, number % 251, dtype=dtype)


@dataclass
class StubWorld:
    """Notes every call; its observations tell how often their group was stepped."""

    plan: Plan
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    steps: dict[int, int] = field(default_factory=dict)

    def begin(self) -> Iterable[None]:
        return ()

    def step(self, group: int, actions: Sequence[Value]) -> Iterable[None]:
        self.steps[group] = self.steps.get(group, 0) + 1
        self.calls.append(("step", group, list(actions)))
        return ()

    def observation(self, agent: int, group: int) -> Value:
        shape = form(self.plan, Key(SIM, Kind.OBSERVATION, agent, 0, 0))[1]
        return np.full(shape, 100 * agent + 10 * group + self.steps.get(group, 0), np.float32)

    def figures(self) -> dict[str, Any]:
        return {"steps": dict(self.steps)}

    def save(self) -> bytes:
        return repr(sorted(self.steps.items())).encode()

    def load(self, content: bytes) -> Iterable[None]:
        self.calls.append(("load", content))
        return ()


def drive(plan: Plan, world: StubWorld, round: int = 0, content: bytes | None = None) -> list[Effect]:
    body, answer, effects = sim_body(plan, world, round, content), None, []
    while True:
        try:
            effect = body.send(answer)
        except StopIteration:
            return effects
        effects.append(effect)
        answer = None
        if isinstance(effect, Need):
            answer = [value_of(plan, key) for key in effect.keys]
        elif isinstance(effect, Checkpoint):
            answer = hashlib.sha256(effect.content).digest()


def story(effects: Sequence[Effect]) -> list[Any]:
    """Effects without their values, and without breaths, which carry none."""
    told: list[Any] = []
    for effect in effects:
        if isinstance(effect, Need):
            told.append(("need", [tuple(key) for key in effect.keys]))
        elif isinstance(effect, Put):
            told.append(("put", tuple(effect.key)))
        elif isinstance(effect, Checkpoint):
            told.append(("checkpoint", effect.round))
        else:
            assert isinstance(effect, Breathe)
    return told


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_keys_of_a_run_in_order(groups: int) -> None:
    plan = plan_of(groups)
    expected: list[Any] = [("checkpoint", 0)]
    for round in range(2):
        for t in range(plan.steps + 1):
            for group in range(groups):
                step = t * groups + group
                if t > 0:
                    actions = [(agent, Kind.ACTION, agent, round, step - groups) for agent in range(AGENTS)]
                    expected.append(("need", actions))
                expected += [("put", (SIM, Kind.OBSERVATION, agent, round, step)) for agent in range(AGENTS)]
        expected += [("checkpoint", round + 1), ("put", (SIM, Kind.DONE, SIM, round, 0))]
        expected.append(("need", [(COORDINATOR, Kind.COMMIT, COORDINATOR, round, 0)]))
    assert story(drive(plan, StubWorld(plan))) == expected


@pytest.mark.parametrize("groups", [1, 2])
def test_a_group_is_stepped_by_the_actions_of_its_last_observation_in_order_of_agents(groups: int) -> None:
    plan, world = plan_of(groups, rounds=1), StubWorld(plan_of(groups))
    drive(plan, world)
    assert [call[1] for call in world.calls] == list(range(groups)) * plan.steps
    for step, (_, _, actions) in enumerate(world.calls):
        wanted = [value_of(plan, Key(agent, Kind.ACTION, agent, 0, step)) for agent in range(AGENTS)]
        assert [action.tobytes() for action in actions] == [action.tobytes() for action in wanted]


@pytest.mark.parametrize("groups", [1, 2])
def test_each_agent_is_sent_its_own_observation_of_the_groups_state(groups: int) -> None:
    plan, world = plan_of(groups), StubWorld(plan_of(groups))
    for effect in drive(plan, world):
        if isinstance(effect, Put) and effect.key.kind is Kind.OBSERVATION:
            t, group = divmod(effect.key.step, groups)
            stepped = effect.key.round * plan.steps + t
            assert np.unique(effect.value).tolist() == [100 * effect.key.subject + 10 * group + stepped]
            assert (effect.value.dtype, effect.value.shape) == form(plan, effect.key)


def test_the_file_of_a_round_is_written_before_its_digest_goes_out() -> None:
    plan = plan_of(1, rounds=1)
    effects = drive(plan, StubWorld(plan))
    first, second = (effect for effect in effects if isinstance(effect, Checkpoint))
    assert (first.content, first.figures) == (b"[]", {})
    assert (second.content, second.figures) == (b"[(0, 2)]", {"steps": {0: 2}})
    (done,) = (effect for effect in effects if isinstance(effect, Put) and effect.key.kind is Kind.DONE)
    assert done.value.tobytes() == hashlib.sha256(b"[(0, 2)]").digest()
    assert effects.index(done) > effects.index(second)


def test_a_restarted_sim_goes_on_from_its_file_and_writes_no_first_one() -> None:
    plan = plan_of(1, rounds=3)
    world = StubWorld(plan)
    effects = drive(plan, world, 1, b"saved")
    assert world.calls[0] == ("load", b"saved")
    assert [effect.round for effect in effects if isinstance(effect, Checkpoint)] == [2, 3]
    assert {effect.key.round for effect in effects if isinstance(effect, Put)} == {1, 2}
    assert drive(plan, StubWorld(plan), 3, b"saved") == []
