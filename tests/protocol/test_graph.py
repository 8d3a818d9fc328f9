"""Named graphs, graph files, hop neighbourhoods and colours, against networkx's other ways of computing them."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import networkx as nx
import pytest

from scalmarl.protocol.graph import (
    SHAPES,
    colour_power,
    graph_of_edges,
    hop_distances,
    kappa_for_visible,
    named_graph,
    neighbours_within,
    read_graph,
)


def edges_of(graph: nx.Graph) -> set[frozenset[int]]:
    return {frozenset(edge) for edge in graph.edges}


@pytest.mark.parametrize("agents", [1, 2, 3, 7])
def test_the_shapes_have_the_edges_of_their_names(agents: int) -> None:
    everybody = range(agents)
    wanted = {
        "path": {frozenset((a, a + 1)) for a in range(agents - 1)},
        "ring": {frozenset((a, (a + 1) % agents)) for a in everybody if a != (a + 1) % agents},
        "star": {frozenset((0, a)) for a in range(1, agents)},
        "complete": {frozenset((a, b)) for a in everybody for b in everybody if a < b},
    }
    for shape, edges in wanted.items():
        graph = named_graph(shape, agents)
        assert sorted(graph) == list(everybody), shape
        assert edges_of(graph) == edges, shape
    assert {*wanted, "grid"} == set(SHAPES)


@pytest.mark.parametrize(
    ("shape", "agents", "rows", "columns"),
    [("grid", 12, 3, 4), ("grid", 7, 1, 7), ("grid", 1, 1, 1), ("grid:2x6", 12, 2, 6), ("grid:6x2", 12, 6, 2)],
)
def test_a_grid_is_numbered_row_by_row(shape: str, agents: int, rows: int, columns: int) -> None:
    right = {frozenset((r * columns + c, r * columns + c + 1)) for r in range(rows) for c in range(columns - 1)}
    down = {frozenset((r * columns + c, (r + 1) * columns + c)) for r in range(rows - 1) for c in range(columns)}
    graph = named_graph(shape, agents)
    assert sorted(graph) == list(range(agents))
    assert edges_of(graph) == right | down


@pytest.mark.parametrize("shape", ["", "line", "path:3", "ring:2x2", "Path", "complete:1"])
def test_an_unknown_shape_is_refused_with_the_choice(shape: str) -> None:
    with pytest.raises(ValueError, match=r"unknown graph .*; choose one of path, ring, star, grid, complete .*file"):
        named_graph(shape, 4)


@pytest.mark.parametrize("size", ["3x3", "x", "2x", "2x2x3", "-2x-6", "axb", "0x0", "12"])
def test_a_grid_that_does_not_hold_the_agents_is_refused(size: str) -> None:
    with pytest.raises(ValueError, match=f"grid:{size} does not hold 12 agents; write grid:ROWSxCOLUMNS"):
        named_graph(f"grid:{size}", 12)


@pytest.mark.parametrize("kappa", range(5))
@pytest.mark.parametrize("shape", ["path", "ring", "star", "grid:3x4", "complete"])
def test_neighbourhoods_are_ego_graphs(shape: str, kappa: int) -> None:
    graph = named_graph(shape, 12)
    for agent, row in enumerate(neighbours_within(graph, kappa)):
        assert row == tuple(sorted(set(nx.ego_graph(graph, agent, radius=kappa)) - {agent}))


@pytest.mark.parametrize("seed", range(10))
def test_neighbourhoods_of_random_graphs_are_ego_graphs_even_if_unconnected(seed: int) -> None:
    graph = nx.gnp_random_graph(15, 0.12, seed=seed)
    for kappa in range(4):
        rows = neighbours_within(graph, kappa)
        assert [set(row) | {agent} for agent, row in enumerate(rows)] == [
            set(nx.ego_graph(graph, agent, radius=kappa)) for agent in range(15)
        ]


@pytest.mark.parametrize("kappa", [0, 1, 2, 5, 20])
def test_on_a_path_hops_are_differences_of_numbers(kappa: int) -> None:
    for agent, row in enumerate(neighbours_within(named_graph("path", 11), kappa)):
        assert row == tuple(other for other in range(11) if 0 < abs(agent - other) <= kappa)


def test_neighbours_do_not_depend_on_the_order_in_which_a_file_names_them() -> None:
    graph = nx.Graph([(2, 1), (1, 0)])
    assert neighbours_within(graph, 1) == ((1,), (0, 2), (1,))


def test_hop_distances_are_those_of_floyd_and_warshall() -> None:
    graph = nx.gnp_random_graph(12, 0.15, seed=3)
    table = nx.floyd_warshall_numpy(graph)
    found = hop_distances(graph)
    for a in range(12):
        for b in range(12):
            assert found[a].get(b, float("inf")) == table[a, b]


def test_kappa_for_visible_on_a_path_and_a_star() -> None:
    path, star = named_graph("path", 9), named_graph("star", 9)
    # An interior agent of a path sees 2 kappa + 1 agents.
    assert [kappa_for_visible(path, visible) for visible in range(1, 10)] == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert [kappa_for_visible(star, visible) for visible in range(1, 10)] == [0] + [1] * 8


@pytest.mark.parametrize("seed", range(5))
def test_kappa_for_visible_is_the_smallest_that_shows_so_many(seed: int) -> None:
    graph = nx.connected_watts_strogatz_graph(12, 4, 0.3, seed=seed)
    for visible in range(1, 13):
        kappa = kappa_for_visible(graph, visible)
        seen = [max(len(nx.ego_graph(graph, agent, radius=k)) for agent in graph) for k in range(kappa + 1)]
        assert seen[kappa] >= visible
        assert all(count < visible for count in seen[:kappa])


@pytest.mark.parametrize("visible", [-1, 0, 5])
def test_more_visible_agents_than_there_are_is_refused(visible: int) -> None:
    with pytest.raises(ValueError, match=r"choose 1\.\.4"):
        kappa_for_visible(named_graph("path", 4), visible)


def test_more_visible_agents_than_edges_join_are_refused() -> None:
    pairs = graph_of_edges(4, [(0, 1), (2, 3)])
    assert [kappa_for_visible(pairs, visible) for visible in (1, 2)] == [0, 1]
    with pytest.raises(
        ValueError, match=r"3 visible agents of 4 .*--kappa-unit visible.* at most 2 .*; choose 1\.\.2, or"
    ):
        kappa_for_visible(pairs, 3)


@pytest.mark.parametrize("seed", range(20))
def test_colours_are_proper_in_the_power_of_a_random_graph(seed: int) -> None:
    graph = nx.gnp_random_graph(20, 0.1 + 0.01 * seed, seed=seed)
    for kappa in range(4):
        colours = colour_power(neighbours_within(graph, kappa))
        far = dict(nx.all_pairs_shortest_path_length(graph))
        for a in range(20):
            for b in range(a):
                assert colours[a] != colours[b] or far[a].get(b, 99) > kappa
        assert set(colours) == set(range(max(colours) + 1))


@pytest.mark.parametrize("kappa", range(5))
@pytest.mark.parametrize("agents", [1, 2, 3, 4, 10, 50])
def test_a_path_takes_kappa_plus_one_colours(agents: int, kappa: int) -> None:
    colours = colour_power(neighbours_within(named_graph("path", agents), kappa))
    assert colours == tuple(agent % (kappa + 1) for agent in range(agents))


# ---- files ----


def test_a_file_of_edges_may_hold_comments_blank_lines_and_lonely_agents(tmp_path: Path) -> None:
    file = tmp_path / "graph.txt"
    file.write_text("# four agents\n0 1  # a pair\n\n 2   1\n3\n", encoding="utf-8")
    graph = read_graph(file, 4)
    assert edges_of(graph) == {frozenset((0, 1)), frozenset((1, 2))}
    assert neighbours_within(graph, 1) == ((1,), (0, 2), (1,), ())


@pytest.mark.parametrize("edges", ["edges", "links"])
def test_json_as_networkx_writes_it_is_read(tmp_path: Path, edges: str) -> None:
    graph = nx.gnp_random_graph(8, 0.3, seed=1)
    file = tmp_path / "graph.json"
    file.write_text(json.dumps(nx.node_link_data(graph, edges=edges)), encoding="utf-8")
    assert edges_of(read_graph(file, 8)) == edges_of(graph)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0 1\n1 x\n", r"line 2: '1 x' is not 'a b' with agent numbers"),
        ("0 1 2\n", r"line 1: '0 1 2' is not 'a b'"),
        ("0 -1\n", r"line 1: '0 -1' is not 'a b'"),
        ("0 1.0\n", r"line 1: '0 1.0' is not 'a b'"),
        ("0 1\n1 1\n", r"line 2: the edge 1 1 joins an agent to itself; remove it"),
        ("0 1\n1 2\n1 0\n", r"line 3: the edge 1 0 is there already; remove it"),
        ("0 1\n1\n", r"line 2: agent 1 is named twice; remove one line"),
        ("2\n2\n", r"line 2: agent 2 is named twice"),
        ("0 1\n", r"agent 2 is missing; with --agents 3 it must name each of 0\.\.2"),
        ("", r"agent 0 is missing"),
        ("0 1\n1 2\n2 3\n", r"3 is not an agent; with --agents 3"),
    ],
)
def test_a_bad_file_of_edges_is_refused_with_file_line_and_cure(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "graph.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=complaint) as caught:
        read_graph(file, 3)
    assert str(caught.value).startswith(f"graph file {file}")


NODES = [{"id": 0}, {"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not networkx node-link JSON"),
        ("[]", "not networkx node-link JSON"),
        ("{}", "not networkx node-link JSON"),
        ('{"nodes": [{}]}', "not networkx node-link JSON"),
        ('{"nodes": 3}', "not networkx node-link JSON"),
        (json.dumps({"nodes": NODES, "edges": [{"source": 0}]}), "not networkx node-link JSON"),
        (json.dumps({"nodes": [*NODES, {"id": 1}]}), "agent 1 is named twice; name each agent once"),
        (
            json.dumps({"nodes": NODES, "edges": [{"source": 0, "target": 7}]}),
            "an edge names 7, which is no node of the file; add the node",
        ),
        (json.dumps({"nodes": NODES[:2]}), "agent 2 is missing"),
        (json.dumps({"nodes": [*NODES, {"id": "a"}]}), "'a' is not an agent"),
        (json.dumps({"nodes": [*NODES, {"id": 3}]}), "3 is not an agent"),
    ],
)
def test_bad_json_is_refused_with_file_and_cure(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "graph.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(complaint)) as caught:
        read_graph(file, 3)
    assert str(caught.value).startswith(f"graph file {file}")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_graph(tmp_path / "none.txt", 3)
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="cannot be read"):
        read_graph(tmp_path / "bytes.txt", 3)


def test_a_written_graph_reads_back_the_same(tmp_path: Path) -> None:
    graph = named_graph("grid:3x3", 9)
    file = tmp_path / "edges"
    file.write_text("".join(f"{a} {b}\n" for a, b in graph.edges), encoding="utf-8")
    assert edges_of(read_graph(file, 9)) == edges_of(graph)
    path = named_graph("path", 9)
    file.write_text("".join(f"{a} {b}\n" for a, b in pairwise(range(9))), encoding="utf-8")
    assert edges_of(read_graph(file, 9)) == edges_of(path)
