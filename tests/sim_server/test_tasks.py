"""What the tasks say of themselves: sizes, graphs, limits, what is not local, and errors that say how to mend them."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import combinations
from typing import Any

import networkx as nx
import pytest

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.manyant_task import LONGEST
from scalmarl.sim_server.tasks import FAMILIES, TASKS, describe

ALL = [
    f"{family.name}:{partition}".removesuffix(":") for family in FAMILIES.values() for partition in family.partitions
]


def graph_of(task: TaskSpec) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(range(task.agents))
    graph.add_edges_from(task.edges)
    return graph


@pytest.mark.parametrize("name", ALL)
def test_sizes_are_those_of_the_entries_and_every_motor_has_one_owner(name: str) -> None:
    task = describe(name)
    assert task.label == name
    assert [len(entries) for entries in task.block_entries] == list(task.block_sizes)
    assert [len(motors) for motors in task.action_entries] == list(task.action_sizes)
    assert all(len(set(entries)) == len(entries) for entries in task.block_entries)
    assert all(entries[-1] == "presence" for entries in task.block_entries)
    motors = [motor for own in task.action_entries for motor in own]
    assert len(set(motors)) == len(motors)
    assert len(task.cost_limits) == len(task.cost_names) == task.agents
    assert nx.is_connected(graph_of(task))
    assert TaskSpec.from_data(json.loads(json.dumps(task.to_data()))) == task


@pytest.mark.parametrize(
    ("name", "agents", "block", "action"),
    [
        ("safe-manyant:8x1", 8, 25, 4), ("safe-manyant:2x3", 2, 73, 12), ("safe-manyant:5x4", 5, 97, 16),
        ("safe-ant:2x4", 2, 27, 4), ("safe-ant:4x2", 4, 21, 2), ("safe-ant:8x1", 8, 18, 1),
        ("safe-halfcheetah:2x3", 2, 17, 3), ("safe-halfcheetah:3x2", 3, 15, 2), ("safe-halfcheetah:6x1", 6, 13, 1),
        ("safe-coupled-halfcheetah:1p1", 2, 25, 6), ("safe-hopper:3x1", 3, 12, 1), ("safe-walker2d:2x3", 2, 12, 3),
        ("safe-walker2d:6x1", 6, 8, 1), ("safe-humanoid:17x1", 17, 18, 1),
    ],
)  # fmt: skip
def test_sizes(name: str, agents: int, block: int, action: int) -> None:
    task = describe(name)
    assert (task.agents, set(task.block_sizes), set(task.action_sizes)) == (agents, {block}, {action})


@pytest.mark.parametrize("agents", [1, 2, 5, 64])
def test_cheetahs_ends_have_one_tendon_fewer(agents: int) -> None:
    sizes = describe("cheetahs", agents).block_sizes
    assert sizes == tuple(23 + 2 * (agent > 0) + 2 * (agent < agents - 1) for agent in range(agents))
    assert set(describe("cheetahs", agents, coupling=0).block_sizes) == {23}


def test_the_number_of_agents_and_the_partition_follow_from_one_another() -> None:
    assert describe("safe-manyant").label == "safe-manyant:8x1"
    assert describe("safe-manyant", 5).label == "safe-manyant:5x1"
    assert describe("safe-manyant:3x2", 3).agents == 3
    assert describe("safe-ant").label == "safe-ant:4x2"
    assert describe("safe-ant", 2).label == "safe-ant:2x4"
    assert describe("safe-ant", 8).label == "safe-ant:8x1"
    assert describe("safe-coupled-halfcheetah", 12).label == "safe-coupled-halfcheetah:12x1"
    assert (describe("cheetahs").agents, describe("cheetahs", 3).agents) == (8, 3)
    assert [describe("formation", agents).label for agents in (None, 2, 256)] == ["formation:path"] * 3
    assert [describe(f"formation:{shape}", 5).agents for shape in ("path", "ring", "grid")] == [5] * 3
    assert (describe("formation:ring").agents, describe("formation:3x4").agents) == (8, 12)


# ---- graphs: hop sets against the published distances ----


@pytest.mark.parametrize(
    "name",
    [
        "safe-manyant:8x1",
        "safe-manyant:3x2",
        "cheetahs",
        "safe-hopper:3x1",
        "safe-swimmer:8x1",
        "safe-swimmer:3x4",
        "formation",
    ],
)
def test_chains_are_paths_and_hops_are_differences(name: str) -> None:
    task = describe(name)
    hops = dict(nx.all_pairs_shortest_path_length(graph_of(task)))
    assert all(hops[a][b] == abs(a - b) for a, b in combinations(range(task.agents), 2))


def test_distances_on_the_ant() -> None:
    """Hips are joined with one another, an ankle with its own hip only."""
    hops = dict(nx.all_pairs_shortest_path_length(graph_of(describe("safe-ant:8x1"))))
    for a, b in combinations(range(8), 2):
        ankles, same_leg = a % 2 + b % 2, a // 2 == b // 2
        assert hops[a][b] == (1 if same_leg else 1 + ankles)
    for name in ("safe-ant:4x2", "safe-ant:2x4", "safe-ant:2x4d"):
        task = describe(name)
        assert len(task.edges) == task.agents * (task.agents - 1) // 2


def test_distances_on_the_walker_pass_through_the_thighs() -> None:
    """A chain from foot to foot: the thighs hang on one torso."""
    task = describe("safe-walker2d:6x1")
    order = ("foot", "leg", "thigh", "thigh_left", "leg_left", "foot_left")
    hops = dict(nx.all_pairs_shortest_path_length(graph_of(task)))
    places = [order.index(joint) for (joint,) in task.action_entries]
    assert all(hops[a][b] == abs(places[a] - places[b]) for a, b in combinations(range(6), 2))
    assert describe("safe-walker2d:2x3").edges == ((0, 1),)


CHAIN = ("bfoot", "bshin", "bthigh", "fthigh", "fshin", "ffoot")


def place(task: TaskSpec, agent: int) -> tuple[int, int]:
    joint, _, cheetah = task.action_entries[agent][0].rpartition("_")
    return int(cheetah), CHAIN.index(joint)


@pytest.mark.parametrize("name", ["safe-halfcheetah:6x1", "safe-coupled-halfcheetah:12x1"])
def test_distances_on_cheetahs_follow_the_body_and_cross_at_the_back_thigh(name: str) -> None:
    task = describe(name)
    hops = dict(nx.all_pairs_shortest_path_length(graph_of(task)))
    tied = CHAIN.index("bthigh")
    for a, b in combinations(range(task.agents), 2):
        (one, here), (other, there) = place(task, a), place(task, b)
        expected = abs(here - there) if one == other else abs(here - tied) + 1 + abs(there - tied)
        assert hops[a][b] == expected


def test_partitions_of_the_cheetah_are_the_published_ones() -> None:
    assert describe("safe-halfcheetah:3x2").action_entries == (
        ("bfoot_0", "bshin_0"), ("bthigh_0", "ffoot_0"), ("fshin_0", "fthigh_0"),
    )  # fmt: skip
    two = describe("safe-coupled-halfcheetah:2x6")
    assert two.action_entries == describe("safe-coupled-halfcheetah:1p1").action_entries
    diagonal = describe("safe-ant:2x4d").action_entries[0]
    assert diagonal == ("hip_1", "ankle_1", "hip_3", "ankle_3")


# ---- limits, modes, errors ----


@pytest.mark.parametrize("cost", ["local", "team", "legacy"])
@pytest.mark.parametrize(
    ("limit", "limits"), [(None, [5.0] * 3), (1, [1.0] * 3), (0.0, [0.0] * 3), ([1, 2.5, 0], [1.0, 2.5, 0.0])]
)
def test_limits(limit: Any, limits: list[float], cost: str) -> None:
    assert describe("safe-manyant", 3, cost=cost, limit=limit).cost_limits == tuple((value,) for value in limits)


@pytest.mark.parametrize(
    ("arguments", "options", "what", "how"),
    [
        (("safe-manyat", 3), {}, "unknown task 'safe-manyat'", "did you mean safe-manyant?"),
        (("chess", 3), {}, "unknown task 'chess'", f"valid: {', '.join(TASKS)}"),
        (("safe-manyant", 0), {}, "0 agents", "at least 1"),
        (("safe-manyant:3x0",), {}, "no partition '3x0'", "AxS"),
        (("safe-manyant:8",), {}, "no partition '8'", "AxS"),
        (("safe-manyant:3x2", 4), {}, "has 3 agents, not 4", "leave --agents out"),
        (("safe-ant:4x3",), {}, "no partition '4x3'", "did you mean 4x2?"),
        (("safe-ant:4x2", 2), {}, "has 4 agents, not 2", "choose safe-ant:2x4"),
        (("safe-ant", 3), {}, "among 3 agents", "4x2 (4), 2x4 (2), 2x4d (2), 8x1 (8)"),
        (("safe-coupled-halfcheetah", 3), {}, "among 3 agents", "12x1 (12)"),
        (("cheetahs:3",), {}, "no partition '3'", "--agents N alone"),
        (("cheetahs", 257), {}, "257 agents", "at most 256"),
        (("safe-manyant", 3), {"horizon": 0}, "0 control steps", "at least 1"),
        (("safe-manyant", 3), {"reward": "locl"}, "reward mode 'locl'", "did you mean local?"),
        (("safe-manyant", 3), {"cost": "Team"}, "cost mode 'Team'", "did you mean team?"),
        (("cheetahs", 3), {"cost": "legacy"}, "cost mode 'legacy'", "valid: local, team, velocity"),
        (("safe-walker2d",), {"cost": "local"}, "cost mode 'local'", "valid: velocity"),
        (("safe-ant",), {"cost": "speed"}, "cost mode 'speed'", "valid: team, local, legacy, velocity"),
        (("safe-humanoid:8|9",), {}, "no partition '8|9'", "did you mean 9|8?"),
        (("safe-humanoid:9-8", 17), {}, "has 2 agents, not 17", "choose safe-humanoid:17x1"),
        (("safe-hopper", 2), {}, "among 2 agents", "3x1 (3)"),
        (("safe-swimmer:8",), {}, "no partition '8'", "AxS"),
        (("safe-swimmer", 65), {}, "a chain of 65", "at most 64 in all"),
        (("safe-ant",), {"physics": "exact"}, "physics 'exact'", "valid: fast, parity"),
        (("safe-ant",), {"coupling": 1.0}, "nothing to couple", "cheetahs"),
        (("cheetahs",), {"coupling": -1.0}, "coupling of -1", "from 0 to 10000"),
        (("cheetahs",), {"coupling": 10001.0}, "coupling of 10001", "from 0 to 10000"),
        (("cheetahs",), {"coupling": float("nan")}, "coupling of nan", "from 0 to 10000"),
        (("cheetahs",), {"coupling": float("inf")}, "coupling of inf", "from 0 to 10000"),
        (("formation", 1), {}, "formation with 1 agent", "at least 2"),
        (("formation:grid", 257), {}, "formation with 257 agents", "at most 256"),
        (("formation", 10**18), {}, f"{10**18} agents", "at most 256"),
        (("formation:ring", 2), {}, "a ring of 2 agents", "choose formation:path"),
        (("formation:20x20",), {}, "formation with 400 agents", "at most 256"),
        (("formation:1x1",), {}, "formation with 1 agent", "at least 2"),
        (("formation:3x4", 13), {}, "has 12 agents, not 13", "leave --agents out"),
        (("formation:star",), {}, "no partition 'star'", "path, ring or grid"),
        (("formation:٣x4",), {}, "no partition", "RxC"),
        (("formation",), {"cost": "legacy"}, "cost mode 'legacy'", "valid: local, team"),
        (("formation",), {"coupling": 10001.0}, "coupling of 10001", "from 0 to 10000"),
        (("formation",), {"horizon": 100_001}, "100001 control steps", "at most 100000"),
        (("safe-ant:",), {}, "no partition after its colon", "name one"),
        (("cheetahs:",), {}, "no partition after its colon", "leave the colon out"),
        (("cheetahs", 10**18), {}, f"{10**18} agents", "at most 256"),
        (("safe-manyant", 10**18), {}, f"a chain of {10**18}", "fewer agents"),
        (("safe-manyant:99999999999999999x1",), {}, "a chain of 99999999999999999", "fewer agents"),
        (("safe-manyant:999999999x999999999",), {}, "a chain of", "fewer agents"),
        (("safe-manyant:٣x1",), {}, "no partition", "AxS"),
        (("safe-manyant", 3), {"limit": [1.0, 2.0]}, "2 cost limits for 3 agents", "one per agent"),
        (("safe-manyant", 3), {"limit": []}, "0 cost limits for 3 agents", "one per agent"),
        (("safe-manyant", 3), {"limit": [1, -2, 1]}, "cost limit -2 of agent 1", "at least 0"),
        (("safe-manyant", 3), {"limit": float("nan")}, "cost limit nan", "finite"),
        ((f"safe-manyant:{LONGEST}x2",), {}, f"a chain of {2 * LONGEST}", "fewer agents"),
    ],
)
def test_errors_say_what_and_how_to_mend_it(
    arguments: tuple[Any, ...], options: dict[str, Any], what: str, how: str
) -> None:
    with pytest.raises(ValueError, match="; ") as caught:
        describe(*arguments, **options)
    before, separator, after = str(caught.value).partition("; ")
    assert separator
    assert what in before
    assert how in after


# ---- what is not local ----


def test_of_a_swimmer_only_the_speed_is_not_local() -> None:
    local, team = (describe("safe-swimmer:8x1", cost=mode).nonlocal_facts for mode in ("local", "team"))
    assert local == ("the head's speed is in every agent's reward, each with an equal share",)
    assert team[1:] == ("every agent is given the head's cost",)
    assert describe("safe-swimmer:1x3").nonlocal_facts == ()


def test_what_is_not_local_is_said() -> None:
    assert describe("safe-manyant", 1).nonlocal_facts == ()
    local, team = (describe("safe-manyant", 8, reward=mode, cost=mode).nonlocal_facts for mode in ("local", "team"))
    assert "the head's speed is in every agent's reward, each with an equal share" in local
    assert "every agent is given the team reward" in team
    assert "every agent is given the head's cost" in team
    for facts in (local, team):
        assert "a fall of the body ends the episode for every agent" in facts


def test_of_separate_cheetahs_only_the_bomb_is_not_local() -> None:
    (fact,) = describe("cheetahs").nonlocal_facts
    assert "the bomb" in fact
    shared = describe("safe-halfcheetah:6x1", reward="local").nonlocal_facts
    assert any("the torso is one body" in fact for fact in shared)
    assert any("the torso's speed" in fact for fact in shared)


def test_of_separate_robots_nothing_is_not_local_but_what_is_asked_to_be_the_teams() -> None:
    for agents in (2, 8, 256):
        assert describe("formation", agents).nonlocal_facts == ()
    assert describe("formation:grid", coupling=100.0).nonlocal_facts == ()
    assert describe("formation", reward="team").nonlocal_facts == ("every agent is given the team reward",)
    assert describe("formation", cost="team").nonlocal_facts == ("every agent is given the same cost",)


@pytest.mark.parametrize("partition", ["path", "ring", "grid"])
def test_a_robot_of_the_formation_is_told_of_its_own_neighbours_alone(partition: str) -> None:
    task = describe(f"formation:{partition}", 9)
    for agent, entries in enumerate(task.block_entries):
        told = {int(entry.split()[1]) for entry in entries if entry.startswith("robot ") and " from robot " in entry}
        assert told == set(graph_of(task)[agent])
        assert len(entries) == 12 + 4 * len(told)


def test_notes_tell_of_a_stretched_corridor_of_one_segment_and_of_a_constant_cost() -> None:
    assert describe("safe-manyant", 10).notes == ()
    assert "2 times as large" in describe("safe-manyant:8x2").notes[0]
    assert describe("safe-manyant:8x2", cost="legacy").notes == ()
    assert "cannot stand" in describe("safe-manyant", 1).notes[0]
    assert "follow the place, not the graph" in describe("formation").notes[0]
    assert "1 at every step" in describe("safe-coupled-halfcheetah", cost="legacy").notes[0]


def test_the_sharp_inputs_at_the_bombs_edge_are_off_in_the_published_rule() -> None:
    ours, published = (describe("safe-halfcheetah:6x1", cost=mode).block_entries[0] for mode in ("team", "legacy"))
    assert set(ours) - set(published) == {"cheetah 0: tanh(2 (gap - 9))", "cheetah 0: tanh((gap - 9) / 3)"}


def test_describing_needs_no_mujoco() -> None:
    code = "import sys, scalmarl.sim_server.tasks; print(sorted({'mujoco', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
