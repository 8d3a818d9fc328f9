"""The agent graph: named shapes or edges from a file, hop neighbourhoods, and a colouring of the kappa-th power.

Only the launcher imports this file; the other processes read the result in the plan.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import networkx as nx

SHAPES = ("path", "ring", "star", "grid", "complete")

AgentGraph: TypeAlias = "nx.Graph[Any]"


def graph_of_edges(agents: int, edges: Iterable[tuple[int, int]]) -> AgentGraph:
    """Agents 0 to ``agents`` - 1, joined as listed."""
    graph: AgentGraph = nx.Graph()
    graph.add_nodes_from(range(agents))
    graph.add_edges_from(edges)
    return graph


def named_graph(shape: str, agents: int) -> AgentGraph:
    """A graph over agents 0..N-1. ``grid`` takes ``grid:ROWSxCOLUMNS``, or the squarest grid that fits N.

    Raises ``ValueError`` that says what is wrong and how to mend it.
    """
    name, _, size = shape.partition(":")
    if name == "grid":
        rows, columns = _grid_size(size, agents)
        grid: AgentGraph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(rows, columns), ordering="sorted")
        return grid
    if name not in SHAPES or size:
        raise ValueError(
            f"unknown graph {shape!r}; choose one of {', '.join(SHAPES)} (grid:2x4), or name a file of edges "
            f"(one 'a b' per line, or networkx node-link JSON)"
        )
    if name == "star":
        star: AgentGraph = nx.star_graph(agents - 1)
        return star
    makers = {"path": nx.path_graph, "complete": nx.complete_graph, "ring": nx.cycle_graph}
    graph: AgentGraph = makers[name](agents)
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    return graph


def _grid_size(size: str, agents: int) -> tuple[int, int]:
    if not size:
        rows = max(r for r in range(1, math.isqrt(agents) + 1) if agents % r == 0)
        return rows, agents // rows
    parts = size.split("x")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts) or int(parts[0]) * int(parts[1]) != agents:
        raise ValueError(f"grid:{size} does not hold {agents} agents; write grid:ROWSxCOLUMNS with ROWS*COLUMNS = N")
    return int(parts[0]), int(parts[1])


def read_graph(path: Path, agents: int) -> AgentGraph:
    """Edges from a file: one ``a b`` per line (``#`` starts a comment), or networkx node-link JSON.

    A line with one number is an agent without edges. Raises ``ValueError`` with the file, the line and the cure.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"graph file {path}: is not a regular file")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"graph file {path}: cannot be read ({error})") from None
    is_json = path.suffix == ".json" or text.lstrip().startswith("{")
    graph: AgentGraph = _from_json(path, text) if is_json else _from_lines(path, text)
    missing = sorted(set(range(agents)) - set(graph))
    strange = sorted((node for node in graph if node not in range(agents)), key=str)
    if missing or strange:
        what = f"agent {missing[0]} is missing" if missing else f"{strange[0]!r} is not an agent"
        raise ValueError(
            f"graph file {path}: {what}; with --agents {agents} it must name each of 0..{agents - 1} "
            f"(an agent without edges stands alone on its line)"
        )
    return graph


def _from_lines(path: Path, text: str) -> AgentGraph:
    graph: AgentGraph = nx.Graph()
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) > 2 or not all(word.isdecimal() for word in words):
            raise ValueError(f"graph file {path}, line {number}: {line.strip()!r} is not 'a b' with agent numbers")
        nodes = [int(word) for word in words]
        if len(nodes) == 1:
            if nodes[0] in graph:
                raise ValueError(f"graph file {path}, line {number}: agent {nodes[0]} is named twice; remove one line")
            graph.add_node(nodes[0])
            continue
        if nodes[0] == nodes[1] or graph.has_edge(*nodes):
            what = "joins an agent to itself" if nodes[0] == nodes[1] else "is there already"
            raise ValueError(f"graph file {path}, line {number}: the edge {nodes[0]} {nodes[1]} {what}; remove it")
        graph.add_edge(*nodes)
    return graph


def _from_json(path: Path, text: str) -> AgentGraph:
    try:
        data: dict[str, Any] = json.loads(text)
        identities = [node["id"] for node in data["nodes"]]
        edges = [(edge["source"], edge["target"]) for edge in data.get("edges", data.get("links", []))]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"graph file {path}: not networkx node-link JSON ({error!r})") from None
    for node in (*identities, *(node for edge in edges for node in edge)):
        if type(node) is not int:
            raise ValueError(f"graph file {path}: {node!r} is not an agent number; name agents 0, 1, 2, ...")
    doubled = sorted({node for node in identities if identities.count(node) > 1})
    if doubled:
        raise ValueError(f"graph file {path}: agent {doubled[0]!r} is named twice; name each agent once")
    stray = [node for edge in edges for node in edge if node not in identities]
    if stray:
        raise ValueError(f"graph file {path}: an edge names {stray[0]!r}, which is no node of the file; add the node")
    graph: AgentGraph = nx.Graph()
    graph.add_nodes_from(identities)
    for a, b in edges:
        if a == b or graph.has_edge(a, b):
            what = "joins an agent to itself" if a == b else "is there already"
            raise ValueError(f"graph file {path}: the edge {a} {b} {what}; remove it")
        graph.add_edge(a, b)
    return graph


def neighbours_within(graph: AgentGraph, kappa: int) -> tuple[tuple[int, ...], ...]:
    """For each agent, the others within ``kappa`` hops, ascending."""
    reach = (nx.single_source_shortest_path_length(graph, agent, cutoff=kappa) for agent in sorted(graph))
    return tuple(tuple(sorted(set(row) - {agent})) for agent, row in enumerate(reach))


def hop_distances(graph: AgentGraph) -> dict[int, dict[int, int]]:
    """``distances[a][b]`` in hops; unreachable pairs are absent."""
    return {a: dict(row) for a, row in nx.all_pairs_shortest_path_length(graph)}


def kappa_for_visible(graph: AgentGraph, visible: int) -> int:
    """The smallest hop radius at which some agent sees ``visible`` agents, itself included (the paper's count).

    Raises ``ValueError`` where no radius shows so many.
    """
    most = max(len(part) for part in nx.connected_components(graph))
    if not 1 <= visible <= most:
        joined = "" if most == len(graph) else f": at most {most} of them are joined by edges"
        cure = f"choose 1..{most}" + (", or join the parts of the graph (--graph)" if joined else "")
        raise ValueError(
            f"{visible} visible agents of {len(graph)} (--kappa, --kappa-unit visible) cannot be{joined}; {cure}"
        )
    radius = 0
    while max(len(row) + 1 for row in neighbours_within(graph, radius)) < visible:
        radius += 1
    return radius


def clique_cover(neighbours: tuple[tuple[int, ...], ...]) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """For each agent h, N_kappa(h) split into groups whose members all hear one another.

    ``neighbours`` as in the plan. A greedy colouring, in id order, of the pairs that do *not* hear one another: two
    groups on a path.
    """
    power = _power(neighbours)
    cover = []
    for agent, row in enumerate(neighbours):
        strangers: AgentGraph = nx.complement(power.subgraph((agent, *row)))
        colours = nx.greedy_color(strangers, strategy=lambda graph, _: sorted(graph))
        groups: list[list[int]] = [[] for _ in range(max(colours.values()) + 1)]
        for member in sorted(colours):
            groups[colours[member]].append(member)
        cover.append(tuple(tuple(group) for group in groups))
    return tuple(cover)


def _power(neighbours: tuple[tuple[int, ...], ...]) -> AgentGraph:
    """The graph that joins every agent to those that it hears."""
    return graph_of_edges(len(neighbours), ((a, b) for a, row in enumerate(neighbours) for b in row))


def colour_power(neighbours: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    """A greedy colouring, in id order, of the graph that joins every agent to its kappa-hop neighbours.

    On a path it takes exactly min(kappa + 1, N) colours.
    """
    colours = nx.greedy_color(_power(neighbours), strategy=lambda graph, _: sorted(graph))
    return tuple(colours[agent] for agent in range(len(neighbours)))
