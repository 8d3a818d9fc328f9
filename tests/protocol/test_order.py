"""The order of turns, and how many phases it takes."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import pytest

from scalmarl.protocol.graph import AgentGraph, colour_power, named_graph, neighbours_within
from scalmarl.protocol.order import ORDERS, phases, predecessors, turn_order
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.standins import toy_plan


def plan_of(graph: AgentGraph, kappa: int, order: str, seed: int = 0) -> Plan:
    neighbours = neighbours_within(graph, kappa)
    return toy_plan(neighbours, colour_power(neighbours), order=order, seed=seed)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", ["path", "ring", "star", "grid", "complete"])
def test_every_agent_has_exactly_one_turn(shape: str, order: str) -> None:
    plan = plan_of(named_graph(shape, 12), 2, order)
    for round in range(20):
        assert sorted(turn_order(plan, round)) == list(range(12))


def test_the_order_is_a_function_of_seed_and_round_alone() -> None:
    plan = plan_of(named_graph("path", 12), 2, "permutation")
    others = replace(plan, run=99, rounds=1000, schedule="serial")
    assert [turn_order(plan, round) for round in range(50)] == [turn_order(others, round) for round in range(50)]
    assert len({turn_order(plan, round) for round in range(50)}) == 50
    assert turn_order(replace(plan, seed=1), 0) != turn_order(plan, 0)


def test_fixed_is_the_order_of_ids() -> None:
    plan = plan_of(named_graph("ring", 6), 1, "fixed")
    assert {turn_order(plan, round) for round in range(5)} == {tuple(range(6))}


def test_colours_come_one_after_another_and_every_colour_comes_first_sometimes() -> None:
    plan = plan_of(named_graph("path", 9), 2, "colour")
    firsts = set()
    for round in range(60):
        row = [plan.colours[agent] for agent in turn_order(plan, round)]
        assert row == [row[0]] * 3 + [row[3]] * 3 + [row[6]] * 3
        firsts.add(row[0])
    assert firsts == {0, 1, 2}


@pytest.mark.parametrize("seed", range(8))
def test_agents_of_one_colour_are_further_than_kappa_hops_apart_and_need_nothing_from_one_another(seed: int) -> None:
    graph = nx.gnp_random_graph(16, 0.2, seed=seed)
    for kappa in (1, 2):
        plan = plan_of(graph, kappa, "colour", seed)
        hops = dict(nx.all_pairs_shortest_path_length(graph))
        before = predecessors(plan, 3)
        for agent in range(16):
            for other in range(16):
                if agent != other and plan.colours[agent] == plan.colours[other]:
                    assert hops[agent].get(other, 99) > kappa
                    assert other not in before[agent]


@pytest.mark.parametrize("order", ORDERS)
def test_of_two_neighbours_exactly_one_goes_first(order: str) -> None:
    plan = plan_of(named_graph("grid", 12), 2, order)
    for round in range(10):
        before = predecessors(plan, round)
        sequence = turn_order(plan, round)
        for a in range(12):
            assert before[a] <= set(plan.neighbours[a])
            for b in plan.neighbours[a]:
                assert (b in before[a]) != (a in before[b])
                assert (b in before[a]) == (sequence.index(b) < sequence.index(a))


@pytest.mark.parametrize("kappa", [0, 1, 2, 3])
@pytest.mark.parametrize("agents", [1, 2, 8, 32, 128])
def test_phases_on_a_path_do_not_grow_with_the_number_of_agents(agents: int, kappa: int) -> None:
    plan = plan_of(named_graph("path", agents), kappa, "colour")
    for round in range(5):
        assert phases(plan, round) == min(kappa + 1, agents)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("seed", range(5))
def test_phases_are_the_longest_chain_of_waiting(order: str, seed: int) -> None:
    plan = plan_of(nx.gnp_random_graph(14, 0.25, seed=seed), 1, order, seed)
    for round in range(4):
        waits = nx.DiGraph()
        waits.add_nodes_from(range(14))
        waits.add_edges_from((other, agent) for agent, row in enumerate(predecessors(plan, round)) for other in row)
        assert phases(plan, round) == nx.dag_longest_path_length(waits) + 1
        if order == "colour":
            assert phases(plan, round) <= max(plan.colours) + 1


def test_a_fixed_order_on_a_path_takes_as_many_phases_as_agents() -> None:
    assert phases(plan_of(named_graph("path", 20), 1, "fixed"), 0) == 20


@pytest.mark.parametrize("order", ORDERS)
def test_nobody_waits_where_nobody_tells_of_its_turn(order: str) -> None:
    plan = replace(plan_of(named_graph("path", 9), 2, order), exchanged=("advantage", "slack"))
    assert predecessors(plan, 3) == (frozenset(),) * 9
    assert phases(plan, 3) == 1
    assert sorted(turn_order(plan, 3)) == list(range(9))


@pytest.mark.parametrize("order", ORDERS)
def test_an_absent_agent_has_no_turn_and_the_others_keep_their_order(order: str) -> None:
    whole = plan_of(named_graph("path", 7), 2, order)
    plan = replace(whole, absent=(1, 4))
    for round in range(10):
        assert turn_order(plan, round) == tuple(agent for agent in turn_order(whole, round) if agent not in (1, 4))
        before = predecessors(plan, round)
        assert before[1] == before[4] == frozenset()
        assert all(before[agent] == predecessors(whole, round)[agent] - {1, 4} for agent in plan.present)
