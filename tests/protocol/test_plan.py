"""The launch plan: sizes, peers, and the way through JSON and back."""

from __future__ import annotations

import json
from dataclasses import replace

import msgpack
import pytest

from scalmarl.protocol.graph import named_graph, neighbours_within
from scalmarl.protocol.keys import COORDINATOR, SIM
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.standins import toy_plan


@pytest.fixture
def plan() -> Plan:
    plan = toy_plan(((1,), (0, 2), (1,)), (0, 1, 0), seed=2**63 + 5, steps=3, copies=4, groups=2)
    task = replace(plan.task, parameters={"legs": 3, "soft": 0.1, "name": "ä"}, edges=((0, 1), (1, 2)))
    return replace(plan, task=task, learner={"gamma": 0.99, "hidden": [64, 64], "accept": None})


def test_a_plan_survives_json(plan: Plan) -> None:
    again = Plan.from_data(json.loads(json.dumps(plan.to_data())))
    assert again == plan
    assert json.dumps(again.to_data(), sort_keys=True) == json.dumps(plan.to_data(), sort_keys=True)


def test_a_plan_survives_messagepack(plan: Plan) -> None:
    assert Plan.from_data(msgpack.unpackb(msgpack.packb(plan.to_data()))) == plan


def test_a_plan_read_back_is_made_of_tuples(plan: Plan) -> None:
    again = Plan.from_data(json.loads(json.dumps(plan.to_data())))
    assert again.neighbours == ((1,), (0, 2), (1,))
    assert again.colours == (0, 1, 0)
    assert again.task.cost_limits == ((5.0,), (5.0, 5.0), (5.0,))
    hash((again.neighbours, again.colours, again.task.edges, again.task.block_entries))


def test_sizes_follow_from_the_settings(plan: Plan) -> None:
    assert plan.agents == 3
    assert plan.group_copies == 2
    assert plan.samples == 12
    assert [plan.costs(agent) for agent in range(3)] == [1, 2, 1]


def test_a_neighbourhood_holds_the_agent_itself_in_its_place(plan: Plan) -> None:
    assert [plan.neighbourhood(agent) for agent in range(3)] == [(0, 1), (0, 1, 2), (1, 2)]


def test_peers_are_neighbours_and_the_two_servers(plan: Plan) -> None:
    assert plan.processes() == (0, 1, 2, SIM, COORDINATOR)
    assert plan.peers(0) == (1, SIM, COORDINATOR)
    assert plan.peers(1) == (0, 2, SIM, COORDINATOR)
    assert plan.peers(SIM) == (0, 1, 2, COORDINATOR)
    assert plan.peers(COORDINATOR) == (0, 1, 2, SIM)


def test_being_a_peer_is_mutual(plan: Plan) -> None:
    for one in plan.processes():
        for other in plan.processes():
            assert (other in plan.peers(one)) == (one in plan.peers(other))


def test_a_missing_or_unknown_field_is_an_error(plan: Plan) -> None:
    data = plan.to_data()
    with pytest.raises(TypeError, match="kappa"):
        Plan.from_data({name: value for name, value in data.items() if name != "kappa"})
    with pytest.raises(TypeError, match="strange"):
        Plan.from_data({**data, "strange": 1})


# ---- absent agents ----


def test_without_an_absent_agent_nobody_hears_it_or_is_heard_by_it() -> None:
    whole = toy_plan(neighbours_within(named_graph("path", 5), 1), (0, 1, 0, 1, 0))
    plan = replace(whole, absent=(2,))
    assert plan.present == (0, 1, 3, 4)
    assert plan.processes() == (0, 1, 3, 4, SIM, COORDINATOR)
    assert [plan.heard(agent) for agent in range(5)] == [(1,), (0,), (), (4,), (3,)]
    assert [plan.neighbourhood(agent) for agent in (1, 3)] == [(0, 1, 2), (2, 3, 4)], "its place in the input stays"
    assert plan.peers(1) == (0, SIM, COORDINATOR)
    assert plan.peers(SIM) == (0, 1, 3, 4, COORDINATOR)
    assert Plan.from_data(json.loads(json.dumps(plan.to_data()))) == plan


def test_presence_takes_a_column_per_neighbour_under_mask_only() -> None:
    plan = toy_plan(neighbours_within(named_graph("path", 3), 1), (0, 1, 0))
    blocks = sum(plan.task.block_sizes)
    assert plan.input_width(1) == blocks
    assert replace(plan, on_loss="mask").input_width(1) == blocks + 2
