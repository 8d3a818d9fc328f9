"""Who stands where in a formation, and who is whose neighbour: against networkx's own graphs."""

from __future__ import annotations

import math

import networkx as nx
import pytest

from scalmarl.sim_server.formation_sensing import BAY, BUTTRESS, MARGIN, RADIUS, half_width
from scalmarl.sim_server.formation_shape import FRONT, LANE, ROW, abreast, agents_of, edges, places

SIZES = (2, 3, 4, 7, 8, 16, 30, 101, 255, 256)


def graph_of(partition: str, agents: int) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(range(agents))
    graph.add_edges_from(edges(partition, agents))
    return graph


@pytest.mark.parametrize("agents", SIZES)
def test_a_path_is_a_path_and_a_ring_a_cycle(agents: int) -> None:
    assert nx.utils.graphs_equal(graph_of("path", agents), nx.path_graph(agents))
    if agents > 2:
        assert nx.utils.graphs_equal(graph_of("ring", agents), nx.cycle_graph(agents))


@pytest.mark.parametrize(
    ("partition", "agents", "lanes"), [("grid", 16, 4), ("grid", 12, 3), ("4x6", 24, 4), ("1x5", 5, 1)]
)
def test_a_grid_is_a_grid(partition: str, agents: int, lanes: int) -> None:
    grid = nx.grid_2d_graph(agents // lanes, lanes)
    numbered = nx.relabel_nodes(grid, {(row, lane): row * lanes + lane for row, lane in grid})
    assert nx.utils.graphs_equal(graph_of(partition, agents), numbered)


@pytest.mark.parametrize("agents", SIZES)
def test_a_grid_with_a_short_last_row_is_part_of_the_full_one(agents: int) -> None:
    lanes = abreast("grid", agents)
    assert lanes == math.isqrt(agents)
    rows = math.ceil(agents / lanes)
    full = graph_of(f"{lanes}x{rows}", lanes * rows)
    assert nx.utils.graphs_equal(graph_of("grid", agents), full.subgraph(range(agents)))
    assert nx.is_connected(graph_of("grid", agents))


@pytest.mark.parametrize("agents", SIZES)
@pytest.mark.parametrize("partition", ["path", "ring", "grid"])
def test_everybody_has_a_place_of_his_own_with_room_to_walls_and_others(partition: str, agents: int) -> None:
    """Clear of all narrowings by the gap that costs and 7 cm more, so that a start is feasible at any number."""
    if partition == "ring" and agents < 3:
        return
    spots = places(partition, agents)
    half = half_width(abreast(partition, agents), LANE)
    assert len(set(spots)) == agents
    assert max(x for x, _ in spots) == FRONT
    for x, y in spots:
        to_narrowing = abs(x - BAY * round(x / BAY))
        buttress = min(math.hypot(to_narrowing, half - y), math.hypot(to_narrowing, half + y)) - BUTTRESS
        assert min(buttress, half - abs(y)) - RADIUS > MARGIN + 0.07
    for one, other in edges(partition, agents):
        assert LANE <= math.dist(spots[one], spots[other]) <= math.hypot(ROW, LANE)


def test_shapes_of_a_few() -> None:
    assert places("path", 3) == ((-1, 0.5), (-3, -0.5), (-5, 0.5))
    assert places("ring", 5) == ((-1, 0.5), (-3, 0.5), (-5, 0.5), (-3, -0.5), (-1, -0.5))
    assert places("3x2", 6) == ((-1, 1), (-1, 0), (-1, -1), (-3, 1), (-3, 0), (-3, -1))
    assert places("grid", 5) == ((-1, 0.5), (-1, -0.5), (-3, 0.5), (-3, -0.5), (-5, 0.5))


def test_only_a_grid_of_given_size_sets_the_number() -> None:
    assert [agents_of(shape) for shape in ("path", "ring", "grid")] == [None] * 3
    assert (agents_of("4x6"), agents_of("1x2")) == (24, 2)
