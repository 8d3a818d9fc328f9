"""The byte ledger: measured rows equal the formula, and the formula equals numbers worked out by hand."""

from __future__ import annotations

import pytest

from scalmarl.agents.body import agent_body
from scalmarl.coordinator.body import coordinator_body
from scalmarl.protocol.codec import HEADER_BYTES
from scalmarl.protocol.graph import colour_power, named_graph, neighbours_within
from scalmarl.protocol.keys import COORDINATOR, SIM, Key, Kind
from scalmarl.protocol.ledger import COLUMNS, CONTROL, Count, Ledger, Totals, from_rows, predicted
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.simulated_process import Faults
from scalmarl.protocol.simulator import MakeBody, Simulation
from scalmarl.protocol.standins import HashLearner, HashWorld, toy_plan
from scalmarl.sim_server.body import sim_body

# Agents 0, 1, 2 with blocks of 2, 3, 4, actions of 1, 2, 1, costs 1, 2, 1; 3 steps of 2 copies.
PATH = toy_plan(((1,), (0, 2), (1,)), (0, 1, 0), steps=3, copies=2)


def test_the_middle_of_a_path_of_three_sends_what_was_worked_out_by_hand() -> None:
    # 45 bytes of header, then 35 bytes of CURVE framing for each (every frame is shorter than 223).
    table = predicted(PATH, 1)
    to_neighbour = {
        # state: 4 observations of 2 copies of 3 floats.
        Kind.STATE: Count(4, 4 * 24, 4 * (45 + 24), 4 * (45 + 24 + 35)),
        # advantage: 1 reward and 2 costs, 6 samples.
        Kind.ADVANTAGE: Count(1, 72, 117, 152),
        # slack: 2 costs, 3 floats each.
        Kind.SLACK: Count(1, 24, 69, 104),
        # turn: 6 log-ratios, 3 figures, 1 + 2 + 1 cost surrogates.
        Kind.TURN: Count(1, 4 * 13, 97, 132),
    }
    wanted = {(to, int(kind)): count for to in (0, 2) for kind, count in to_neighbour.items()}
    # action: 3 steps of 2 copies of 2 floats.
    wanted[SIM, int(Kind.ACTION)] = Count(3, 48, 3 * 61, 3 * 96)
    wanted[COORDINATOR, int(Kind.TURN_DONE)] = Count(1, 0, 45, 80)
    wanted[COORDINATOR, int(Kind.DONE)] = Count(1, 32, 77, 112)
    assert table == wanted
    assert sum(count.wire_bytes for (to, _), count in table.items() if to == 0) == 416 + 152 + 104 + 132
    assert sum(count.wire_bytes for count in table.values()) == 2 * 804 + 288 + 80 + 112


def test_sim_and_coordinator_send_what_was_worked_out_by_hand() -> None:
    sim = predicted(PATH, SIM)
    # Observations of 2 copies: block + reward + costs + 2 flags = 6, 8, 8 floats, 4 times.
    assert [sim[agent, int(Kind.OBSERVATION)].payload_bytes for agent in range(3)] == [4 * 48, 4 * 64, 4 * 64]
    assert sim[COORDINATOR, int(Kind.DONE)] == Count(1, 32, 77, 112)
    coordinator = predicted(PATH, COORDINATOR)
    assert coordinator == {
        **{(agent, int(Kind.GRANT)): Count(1, 0, 45, 80) for agent in range(3)},
        **{(to, int(Kind.COMMIT)): Count(1, 8, 53, 88) for to in (0, 1, 2, SIM)},
    }


def test_what_an_interior_agent_sends_does_not_grow_with_the_number_of_agents() -> None:
    sent = []
    for agents in (8, 32, 128):
        neighbours = neighbours_within(named_graph("path", agents), 2)
        plan = toy_plan(neighbours, colour_power(neighbours), costs=[1] * agents)
        table = predicted(plan, 3)
        sent.append((len(table), sum(count.wire_bytes for count in table.values())))
    assert sent[0] == sent[1] == sent[2]


def test_the_coordinators_traffic_is_linear_and_independent_of_the_task() -> None:
    totals = []
    for agents, steps in ((4, 3), (8, 300), (16, 3)):
        neighbours = neighbours_within(named_graph("path", agents), 1)
        plan = toy_plan(neighbours, colour_power(neighbours), steps=steps)
        totals.append(sum(count.wire_bytes for count in predicted(plan, COORDINATOR).values()))
    assert totals == [agents * (80 + 88) + 88 for agents in (4, 8, 16)]


def bodies(plan: Plan) -> dict[int, MakeBody]:
    def agent(me: int) -> MakeBody:
        return lambda round, content: agent_body(me, plan, HashLearner(plan, me), round, content)

    made: dict[int, MakeBody] = {me: agent(me) for me in range(plan.agents)}
    made[SIM] = lambda round, content: sim_body(plan, HashWorld(plan), round, content)
    made[COORDINATOR] = lambda round, content: coordinator_body(plan, round)
    return made


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("shape", ["path", "star", "ring"])
def test_the_sealed_rows_of_a_round_equal_the_formula(shape: str, groups: int) -> None:
    neighbours = neighbours_within(named_graph(shape, 4), 1)
    plan = toy_plan(neighbours, colour_power(neighbours), rounds=2, groups=groups)
    simulation = Simulation(plan, bodies(plan), 0, Faults())
    simulation.run()
    for process, rounds in simulation.first_sendings().items():
        assert sorted(rounds) == [0, 1]
        for rows in rounds.values():
            assert from_rows(rows) == predicted(plan, process), process


def test_a_round_is_sealed_once_and_rounds_do_not_mix() -> None:
    ledger = Ledger(PATH, 0)
    ledger.enter(1, Key(0, Kind.STATE, 0, 0, 0), 16)
    ledger.enter(1, Key(0, Kind.STATE, 0, 0, 1), 16)
    ledger.enter(1, Key(0, Kind.STATE, 0, 1, 0), 16)
    done = [COORDINATOR, int(Kind.DONE), 1, 32, 77, 112]
    assert ledger.seal(0) == [[1, int(Kind.STATE), 2, 32, 122, 192], done]
    assert ledger.seal(0) == [done]
    assert ledger.seal(1) == [[1, int(Kind.STATE), 1, 16, 61, 96], done]


def test_what_follows_the_file_is_entered_in_advance_and_only_once() -> None:
    ledger = Ledger(PATH, 0)
    ledger.enter(COORDINATOR, Key(0, Kind.DONE, 0, 0, 0), 32)
    assert ledger.seal(0) == [[COORDINATOR, int(Kind.DONE), 1, 32, 77, 112]]


def test_counts_of_equal_messages_add_up() -> None:
    one_by_one, at_once = Count(), Count()
    for _ in range(5):
        one_by_one.add(300)
    at_once.add(300, 5)
    assert one_by_one == at_once == Count(5, 1500, 5 * 345, 5 * (345 + 42))
    assert one_by_one.plus(Count(1, 2, 3, 4)) == Count(6, 1502, 5 * 345 + 3, 5 * 387 + 4)


def test_totals_count_every_frame_and_outlive_their_object() -> None:
    memory = memoryview(bytearray(8 * Totals.size(PATH, 1))).cast("Q")
    totals = Totals(PATH, 1, memory)
    assert totals.table() == {}
    totals.enter(0, int(Kind.STATE), HEADER_BYTES + 24)
    totals.enter(0, int(Kind.STATE), HEADER_BYTES + 24)
    totals.enter(2, int(Kind.STATE), HEADER_BYTES + 24)
    totals.enter(COORDINATOR, CONTROL, HEADER_BYTES)
    again = Totals(PATH, 1, memory)
    again.enter(SIM, int(Kind.COMMIT), 1000)
    assert again.table() == {
        (0, int(Kind.STATE)): Count(2, 48, 138, 208),
        (2, int(Kind.STATE)): Count(1, 24, 69, 104),
        (COORDINATOR, CONTROL): Count(1, 0, 45, 80),
        (SIM, int(Kind.COMMIT)): Count(1, 955, 1000, 1042),
    }


def test_totals_have_room_for_every_peer_and_kind() -> None:
    for process in PATH.processes():
        memory = memoryview(bytearray(8 * Totals.size(PATH, process))).cast("Q")
        totals = Totals(PATH, process, memory)
        at = [(peer, kind) for peer in PATH.peers(process) for kind in range(len(Kind) + 1)]
        for number, (peer, kind) in enumerate(at):
            for _ in range(number + 1):
                totals.enter(peer, kind, HEADER_BYTES + 1)
        assert {where: count.messages for where, count in totals.table().items()} == {
            where: number + 1 for number, where in enumerate(at)
        }
        assert totals.lost() == {}
        rows = len(at) * len(COLUMNS)
        assert all(memory[:rows])
        for peer in PATH.peers(process):
            totals.enter_lost(peer, CONTROL, HEADER_BYTES + 1)
        assert all(memory[rows:])


def test_a_frame_that_a_bad_link_lost_was_sent_and_stands_in_a_row_of_its_own() -> None:
    memory = memoryview(bytearray(8 * Totals.size(PATH, 1))).cast("Q")
    totals = Totals(PATH, 1, memory)
    totals.enter(0, int(Kind.STATE), HEADER_BYTES + 24)
    assert totals.lost() == {}
    totals.enter_lost(0, int(Kind.STATE), HEADER_BYTES + 24)
    totals.enter_lost(COORDINATOR, CONTROL, HEADER_BYTES)
    assert totals.table() == {
        (0, int(Kind.STATE)): Count(2, 48, 138, 208),
        (COORDINATOR, CONTROL): Count(1, 0, 45, 80),
    }
    assert Totals(PATH, 1, memory).lost() == {0: Count(1, 24, 69, 104), COORDINATOR: Count(1, 0, 45, 80)}


def test_first_sendings_are_never_more_than_the_totals() -> None:
    memory = memoryview(bytearray(8 * Totals.size(PATH, 0))).cast("Q")
    totals, ledger = Totals(PATH, 0, memory), Ledger(PATH, 0)
    key = Key(0, Kind.STATE, 0, 0, 0)
    ledger.enter(1, key, 16)
    for _ in range(3):
        totals.enter(1, int(key.kind), HEADER_BYTES + 16)
    first = from_rows(ledger.seal(0))[1, int(Kind.STATE)]
    total = totals.table()[1, int(Kind.STATE)]
    assert total.wire_bytes - first.wire_bytes == 2 * 96
