"""The table of kinds: shapes, receivers, steps and which keys may exist."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scalmarl.protocol.keys import COORDINATOR, SIM, Key, Kind, role_of
from scalmarl.protocol.kinds import (
    TABLE,
    Rules,
    form,
    receivers,
    sent_by,
    steps_of,
    subjects_of,
    turn_surrogates,
)
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.standins import toy_plan

# A path of four; agent i has blocks of 2, 3, 4, 2 numbers, actions of 1, 2, 1, 2 and costs 1, 2, 1, 2.
PATH = toy_plan(((1,), (0, 2), (1, 3), (2,)), (0, 1, 0, 1), steps=3, copies=6, groups=2)


def every_key(plan: Plan) -> list[Key]:
    return [
        Key(producer, kind, subject, 0, step)
        for producer in plan.processes()
        for kind in sent_by(plan, producer)
        for subject in subjects_of(plan, producer, kind)
        for step in range(steps_of(plan, kind))
    ]


def test_the_table_has_one_row_for_every_kind() -> None:
    assert list(TABLE) == list(Kind)


def test_who_sends_what() -> None:
    assert sent_by(PATH, SIM) == (Kind.OBSERVATION, Kind.DONE)
    assert sent_by(PATH, COORDINATOR) == (Kind.GRANT, Kind.COMMIT)
    assert sent_by(PATH, 0) == (
        Kind.STATE, Kind.ACTION, Kind.ADVANTAGE, Kind.SLACK, Kind.TURN, Kind.TURN_DONE, Kind.DONE,
    )  # fmt: skip


def test_what_the_algorithm_does_not_exchange_does_not_exist() -> None:
    plan = replace(PATH, exchanged=("turn",))
    assert sent_by(plan, 0) == (Kind.STATE, Kind.ACTION, Kind.TURN, Kind.TURN_DONE, Kind.DONE)
    assert Rules(plan).of(1, Kind.ADVANTAGE, 1) is None
    assert Rules(PATH).of(1, Kind.ADVANTAGE, 1) is not None
    # Nobody hears cost advantages, so a turn tells of no cost.
    assert form(plan, Key(1, Kind.TURN, 1, 0, 0))[1] == (18 + 3,)


@pytest.mark.parametrize(
    ("kind", "agent", "dtype", "shape"),
    [
        (Kind.OBSERVATION, 1, "<f4", (3, 3 + 1 + 2 + 2)),
        (Kind.OBSERVATION, 2, "<f4", (3, 4 + 1 + 1 + 2)),
        (Kind.STATE, 1, "<f4", (3, 3)),
        (Kind.ACTION, 1, "<f4", (3, 2)),
        (Kind.ADVANTAGE, 1, "<f4", (3, 18)),
        (Kind.ADVANTAGE, 2, "<f4", (2, 18)),
        (Kind.SLACK, 1, "<f4", (2, 3)),
        (Kind.TURN, 1, "<f4", (18 + 3 + (1 + 2 + 1),)),
        (Kind.TURN, 3, "<f4", (18 + 3 + (1 + 2),)),
        (Kind.GRANT, 1, "|u1", (0,)),
        (Kind.TURN_DONE, 1, "|u1", (0,)),
        (Kind.DONE, 1, "|u1", (32,)),
    ],
)
def test_the_form_of_a_value_follows_from_plan_and_agent(
    kind: Kind, agent: int, dtype: str, shape: tuple[int, ...]
) -> None:
    producer = next(p for p in (agent, SIM, COORDINATOR) if role_of(p) in TABLE[kind].producer)
    assert form(PATH, Key(producer, kind, agent, 0, 0)) == (np.dtype(dtype), shape)


def test_sim_and_coordinator_send_what_the_table_says() -> None:
    assert form(PATH, Key(SIM, Kind.DONE, SIM, 0, 0)) == (np.dtype("u1"), (32,))
    assert form(PATH, Key(COORDINATOR, Kind.COMMIT, COORDINATOR, 0, 0)) == (np.dtype("<i8"), (1,))


def test_every_number_on_the_wire_is_little_endian_or_one_byte() -> None:
    for spec in TABLE.values():
        dtype = np.dtype(spec.dtype)
        assert dtype.itemsize == 1 or dtype.str.startswith("<")


def test_turn_surrogates_are_the_neighbourhoods_costs_in_order() -> None:
    assert turn_surrogates(PATH, 0) == ((0, 0), (1, 0), (1, 1))
    assert turn_surrogates(PATH, 2) == ((1, 0), (1, 1), (2, 0), (3, 0), (3, 1))


def test_steps_count_groups_and_the_final_observation() -> None:
    assert steps_of(PATH, Kind.OBSERVATION) == steps_of(PATH, Kind.STATE) == 2 * 4
    assert steps_of(PATH, Kind.ACTION) == 2 * 3
    assert {steps_of(PATH, kind) for kind in Kind if kind not in (Kind.OBSERVATION, Kind.STATE, Kind.ACTION)} == {1}


def test_receivers_are_those_of_the_table() -> None:
    assert receivers(PATH, Key(SIM, Kind.OBSERVATION, 2, 0, 0)) == (2,)
    assert receivers(PATH, Key(1, Kind.STATE, 1, 0, 0)) == (0, 2)
    assert receivers(PATH, Key(1, Kind.ACTION, 1, 0, 0)) == (SIM,)
    assert receivers(PATH, Key(COORDINATOR, Kind.GRANT, 3, 0, 0)) == (3,)
    assert receivers(PATH, Key(SIM, Kind.DONE, SIM, 0, 0)) == (COORDINATOR,)
    assert receivers(PATH, Key(COORDINATOR, Kind.COMMIT, COORDINATOR, 0, 0)) == (0, 1, 2, 3, SIM)


def test_no_value_goes_to_its_producer_or_past_its_peers() -> None:
    for key in every_key(PATH):
        assert set(receivers(PATH, key)) <= set(PATH.peers(key.producer)) - {key.producer}


def test_nothing_but_turns_digests_and_commits_passes_the_coordinator() -> None:
    heard = {key.kind for key in every_key(PATH) if COORDINATOR in receivers(PATH, key)}
    assert heard == {Kind.TURN_DONE, Kind.DONE}
    sizes = [int(np.prod(form(PATH, key)[1])) for key in every_key(PATH) if COORDINATOR in receivers(PATH, key)]
    assert max(sizes) == 32


def test_every_key_of_the_table_has_a_rule() -> None:
    keys, rules = every_key(PATH), Rules(PATH)
    for key in keys:
        rule = rules.of(key.producer, key.kind, key.subject)
        assert rule is not None
        assert key.step < rule.steps == steps_of(PATH, key.kind)
        assert ((rule.dtype, rule.shape), rule.receivers) == (form(PATH, key), receivers(PATH, key))
        assert rule.payload_bytes == rule.dtype.itemsize * int(np.prod(rule.shape))
    # 4 agents: 8 observations, 8 states, 6 actions, 5 others and a grant each; the sim's done and the commit.
    assert len(set(keys)) == len(keys) == 4 * (8 + 8 + 6 + 5 + 1) + 2


@pytest.mark.parametrize(
    "key",
    [
        Key(0, Kind.OBSERVATION, 0, 0, 0),
        Key(SIM, Kind.STATE, SIM, 0, 0),
        Key(0, Kind.COMMIT, 0, 0, 0),
        Key(COORDINATOR, Kind.DONE, COORDINATOR, 0, 0),
        Key(4, Kind.STATE, 4, 0, 0),
        Key(SIM, Kind.OBSERVATION, 4, 0, 0),
        Key(0, Kind.STATE, 1, 0, 0),
        Key(0, 99, 0, 0, 0),  # type: ignore[arg-type]
    ],
    ids=lambda key: f"{int(key.kind)}-{key.producer}-{key.subject}",
)
def test_other_keys_have_none(key: Key) -> None:
    assert Rules(PATH).of(key.producer, key.kind, key.subject) is None


def test_nonsense_does_not_grow_the_rules_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalmarl.protocol.kinds.MOST_RULES", 10)
    rules = Rules(PATH)
    for subject in range(100):
        assert rules.of(0, 77, subject) is None
    assert len(rules._known) == 10
    assert rules.of(0, Kind.STATE, 0) is not None


def test_done_and_commit_alone_follow_the_file() -> None:
    assert [kind for kind, spec in TABLE.items() if spec.after_file] == [Kind.DONE, Kind.COMMIT]
