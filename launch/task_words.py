"""What is said of a task: its row in the list, its graph as words and as a drawing, and all of it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import click
import networkx as nx
from rich.table import Table

from scalmarl.launch.voice import console
from scalmarl.protocol.graph import AgentGraph, graph_of_edges
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.task_family import REWARDS
from scalmarl.sim_server.tasks import FAMILIES, describe


def listed() -> Iterator[TaskSpec]:
    """Every task in its usual partitions."""
    for family in FAMILIES.values():
        for partition in family.partitions:
            yield describe(f"{family.name}:{partition}" if partition else family.name)


def path_order(graph: AgentGraph) -> list[int]:
    """The agents of a path from its end with the smaller number; nothing for any other graph."""
    if not nx.is_tree(graph) or max(degree for _, degree in graph.degree) > 2:
        return []
    first = min(agent for agent, degree in graph.degree if degree <= 1)
    return list(nx.dfs_preorder_nodes(graph, first))


def graph_words(spec: TaskSpec) -> str:
    """``path``, ``complete``, ``ring``, or the number of edges and the diameter."""
    graph = graph_of_edges(spec.agents, spec.edges)
    if spec.agents == 1:
        return "one agent"
    if order := path_order(graph):
        return "path" if order == sorted(order) else f"path {'-'.join(map(str, order))}"
    if len(spec.edges) == spec.agents * (spec.agents - 1) // 2:
        return "complete"
    if nx.is_connected(graph) and all(degree == 2 for _, degree in graph.degree):
        return "ring"
    kind = "tree" if nx.is_tree(graph) else f"{len(spec.edges)} edges"
    return f"{kind}, diameter {nx.diameter(graph)}"


def graph_lines(spec: TaskSpec) -> Iterator[str]:
    """A drawing: of a path as a row, of a tree as a tree, of any other graph as lists of neighbours."""
    graph = graph_of_edges(spec.agents, spec.edges)
    if order := path_order(graph):
        yield from textwrap.wrap(" - ".join(map(str, order)), 76)
        return
    if nx.is_tree(graph):
        ends = [agent for agent, degree in graph.degree if degree <= 1]
        yield from nx.generate_network_text(graph, sources=ends[:1], ascii_only=True)
        return
    for agent in sorted(graph):
        yield f"{agent}: {', '.join(str(other) for other in sorted(graph[agent]))}"


def sizes(values: tuple[int, ...]) -> str:
    """``25``, or ``25 to 27``."""
    return str(values[0]) if min(values) == max(values) else f"{min(values)} to {max(values)}"


def modes_of(spec: TaskSpec) -> dict[str, Any]:
    """What there is to choose for a task, and in a few words what it is."""
    if spec.maker:
        rewards = ("team",) if spec.parameters["shared_reward"] else REWARDS
        return {
            "summary": "a world from outside", "reward_modes": list(rewards),
            "cost_modes": ["local", "team", "none", "module:function"],
        }  # fmt: skip
    family = FAMILIES[spec.name]
    return {
        "summary": family.summary, "reward_modes": list(family.rewards), "cost_modes": list(family.costs),
        "limit": family.limit,
    }  # fmt: skip


def summary(spec: TaskSpec) -> dict[str, Any]:
    """A row of the list."""
    return {
        "task": spec.label,
        **modes_of(spec),
        "agents": spec.agents,
        "graph": graph_words(spec),
        "observation": list(spec.block_sizes),
        "action": list(spec.action_sizes),
        "cost": list(spec.cost_names[0]),
        "source": spec.source,
    }


def print_task(spec: TaskSpec, agent: int) -> None:
    """On stdout, with the block of one agent entry by entry."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    limits = sorted({limit for own in spec.cost_limits for limit in own})
    modes = modes_of(spec)
    still = zip(
        ("return", "cost", "distance"),
        (spec.standing_still_return, spec.standing_still_cost, spec.standing_still_distance),
        ("", "", " m"),
    )
    parameters = spec.parameters["arguments"] if spec.maker else spec.parameters
    words = {
        "task": f"{spec.label}: {modes['summary']}",
        "source": spec.source,
        "agents": f"{spec.agents}, graph: {graph_words(spec)}",
        "episode": f"{spec.horizon} control steps of {spec.control_dt:g} s, {spec.physics} physics",
        "reward": f"{spec.reward_mode} (of {', '.join(modes['reward_modes'])})",
        "cost": f"{spec.cost_names[0][0]}, {spec.cost_mode} (of {', '.join(modes['cost_modes'])}), "
        f"limit {' to '.join(f'{limit:g}' for limit in (limits if len(limits) == 1 else (limits[0], limits[-1])))} "
        f"per episode and agent",
        "parameters": ", ".join(f"{name} {value}" for name, value in parameters.items()) or "none",
        "standing still": ", ".join(f"{name} {x:,.1f}{unit}" for name, x, unit in still if x is not None)
        or "not known",
        "not local": "; ".join(spec.nonlocal_facts) or "nothing",
    }
    for name, text in words.items():
        table.add_row(name, text)
    for note in spec.notes:
        table.add_row("note", note)
    console().print(table)
    click.echo("\ngraph:")
    for line in graph_lines(spec):
        click.echo(f"  {line}")
    click.echo("\nagents:")
    rows = Table.grid(padding=(0, 2))
    for index in range(spec.agents):
        rows.add_row(
            f"  {index:>3}", f"observes {spec.block_sizes[index]}", f"moves {' '.join(spec.action_entries[index])}"
        )
    console().print(rows)
    click.echo(f"\nagent {agent} observes {spec.block_sizes[agent]}:")
    for number, entry in enumerate(spec.block_entries[agent]):
        click.echo(f"  {number:>3}  {entry}")
    click.echo()
