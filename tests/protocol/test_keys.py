"""Process ids, names and keys."""

from __future__ import annotations

import pytest

from scalmarl.protocol.keys import COORDINATOR, MAX_AGENTS, SIM, Key, Kind, Role, process_id, process_name, role_of


@pytest.mark.parametrize(
    ("process", "role", "name"),
    [
        (0, Role.AGENT, "agent/0"),
        (17, Role.AGENT, "agent/17"),
        (MAX_AGENTS - 1, Role.AGENT, "agent/65279"),
        (SIM, Role.SIM, "sim"),
        (COORDINATOR, Role.COORDINATOR, "coordinator"),
    ],
)
def test_every_process_has_one_role_and_one_name(process: int, role: Role, name: str) -> None:
    assert role_of(process) is role
    assert process_name(process) == name
    assert process_id(name) == process


def test_a_bare_number_names_an_agent() -> None:
    assert process_id("3") == process_id("agent/3") == 3


@pytest.mark.parametrize(
    "name", ["", "agent", "agent/", "agent/-1", "-1", "3.5", "Sim", "sim/0", "65280", "agent/65535"]
)
def test_other_names_are_refused_with_the_three_forms(name: str) -> None:
    with pytest.raises(ValueError, match=r"names no process; processes are agent numbers .*, sim and coordinator"):
        process_id(name)


def test_agent_ids_never_meet_those_of_sim_and_coordinator() -> None:
    assert MAX_AGENTS <= SIM < COORDINATOR <= 0xFFFF


def test_kinds_fit_one_byte_and_leave_zero_for_control_traffic() -> None:
    assert [int(kind) for kind in Kind] == list(range(1, 11))


def test_a_key_tells_its_story_in_words() -> None:
    assert str(Key(SIM, Kind.OBSERVATION, 3, 5, 17)) == "observation of sim for agent/3, round 5, step 17"
    assert str(Key(4, Kind.STATE, 4, 5, 0)) == "state of agent/4, round 5, step 0"
    assert str(Key(4, Kind.TURN, 4, 5, 0)) == "turn of agent/4, round 5"
    assert str(Key(COORDINATOR, Kind.GRANT, 2, 0, 0)) == "grant of coordinator for agent/2, round 0"


def test_keys_are_equal_by_content_and_sort_by_producer_first() -> None:
    one, same = Key(1, Kind.STATE, 1, 2, 3), Key(1, Kind.STATE, 1, 2, 3)
    assert one == same
    assert hash(one) == hash(same)
    assert sorted([Key(2, Kind.STATE, 2, 0, 0), one]) == [one, Key(2, Kind.STATE, 2, 0, 0)]
