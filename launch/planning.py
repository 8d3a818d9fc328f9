"""From a configuration to a launch plan: task, graph, neighbourhoods, and whether the machine can hold it."""

from __future__ import annotations

import difflib
import json
import os
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import psutil

from scalmarl.agents.algorithms import ALGORITHMS, Algorithm, Switches
from scalmarl.launch.bad_links import bad_links
from scalmarl.launch.config import SWITCHES, Config, Origins, to_toml
from scalmarl.launch.endpoint_book import socket_path_bytes
from scalmarl.launch.errors import MachineNotFit, UsageProblem
from scalmarl.launch.places import check_places, places_of
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.launch.world_door import describe_foreign, require_graph
from scalmarl.protocol.files import write_durably
from scalmarl.protocol.graph import (
    SHAPES,
    AgentGraph,
    clique_cover,
    colour_power,
    graph_of_edges,
    kappa_for_visible,
    named_graph,
    neighbours_within,
    read_graph,
)
from scalmarl.protocol.keys import MAX_AGENTS
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.sockets import longest_ipc_path
from scalmarl.protocol.streams import MOST
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.tasks import FAMILIES, describe, is_foreign

AGENT_BYTES = 60 << 20
"""Measured private memory of an agent before its samples (``scalmarl bench memory``)."""
BASE_BYTES = 500 << 20
"""Fork server, sim server, coordinator and launcher together."""
COPY_BYTES = 1 << 18
"""What the physics keeps per copy, generously."""
OPTIMISER_COPIES = 6
"""How often an agent's samples stand in memory while it learns: raw, normalised, minibatch, activations."""


GRAPH_FILE = "a graph file has one edge 'a b' per line (# starts a comment), or is networkx node-link JSON"


@dataclass(frozen=True)
class Planned:
    """A plan with what only the launcher needs."""

    config: Config
    origins: Origins
    graph: AgentGraph
    plan: Plan


Describe = Callable[..., TaskSpec]
"""As ``sim_server.tasks.describe``."""


def make_plan(config: Config, origins: Origins) -> Planned:
    """Check a configuration against the task and the machine, and plan it. Raises ``UserProblem``."""
    planned = draw_plan(config, origins)
    plan, processes = planned.plan, config.processes
    _check_memory(plan)
    check_widths(plan)
    check_sockets(processes.transport, plan.agents)
    check_places(places_of(plan.agents, processes.model_dump()))
    bad_links(processes.links, plan)
    return planned


def draw_plan(config: Config, origins: Origins, describe: Describe = describe) -> Planned:
    """The plan of a configuration, checked against its task alone; ``describe`` knows the tasks. Raises
    ``UserProblem``."""
    run, world = config.run, config.world
    algorithm = _algorithm(run.algo)
    if config.learner.kl_min > config.learner.kl_max:
        raise UsageProblem(
            f"learner.kl_min {config.learner.kl_min:g} is above learner.kl_max {config.learner.kl_max:g}", "lower it"
        )
    if run.agents is not None and run.agents > MAX_AGENTS:
        raise UsageProblem(f"--agents {run.agents} is more than the protocol counts", f"use at most {MAX_AGENTS}")
    if world.envs % world.groups:
        raise UsageProblem(
            f"{world.envs} copies (--envs) do not split into {world.groups} groups (world.groups)",
            f"choose a multiple of {world.groups}",
        )
    if world.envs * world.steps < config.learner.minibatches:
        raise UsageProblem(
            f"{world.envs} copies x {world.steps} steps are too few for {config.learner.minibatches} minibatches",
            "raise --envs or --steps",
        )
    try:
        reward = world.reward or _reward_needed(algorithm, config)
        if is_foreign(world.task):
            task = describe_foreign(world, run.agents, reward)
        else:
            task = describe(
                world.task, run.agents, reward=reward, cost=world.cost, limit=world.limit, physics=world.physics,
                horizon=world.horizon, coupling=world.coupling,
            )  # fmt: skip
        graph = _graph(run.graph, task)
        kappa = _radius(algorithm, graph, run.kappa, run.kappa_unit)
    except ValueError as error:
        what, _, hint = str(error).partition("; ")
        raise UsageProblem(what, hint or GRAPH_FILE) from None
    switches = algorithm.switched(_chosen(config))
    problem = switches.contradiction(task.reward_mode, config.learner.gamma)
    if problem:
        what, _, hint = problem.partition("; ")
        raise UsageProblem(f"--algo {algorithm.name}: {what}", hint)
    config = settled(config, task, kappa, switches)
    if algorithm.hears != "kappa":
        origins = {**origins, "run.kappa": "algorithm"}
    plan = _plan(config, task, _heard(algorithm, graph, kappa), kappa, switches)
    return Planned(config, origins, graph, plan)


def _algorithm(name: str) -> Algorithm:
    if name not in ALGORITHMS:
        near = difflib.get_close_matches(name, ALGORITHMS, 1, 0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageProblem(f"unknown algorithm {name!r} (--algo)", f"{hint}choose one of {', '.join(ALGORITHMS)}")
    return ALGORITHMS[name]


def _chosen(config: Config) -> dict[str, Any]:
    """The switches that the configuration names one by one."""
    return {name: getattr(config.learner, name) for name in SWITCHES}


def _reward_needed(algorithm: Algorithm, config: Config) -> str | None:
    """What an algorithm that learns from the team's reward asks of the task where nobody chose."""
    return "team" if algorithm.switched(_chosen(config)).reward_terms == "team" else None


def _radius(algorithm: Algorithm, graph: AgentGraph, kappa: int, unit: str) -> int:
    """kappa in hops: as configured, 0 for an algorithm that hears nobody, N - 1 for one that hears all."""
    if algorithm.hears != "kappa":
        return len(graph) - 1 if algorithm.hears == "all" else 0
    return kappa if unit == "hops" else kappa_for_visible(graph, kappa)


def _heard(algorithm: Algorithm, graph: AgentGraph, kappa: int) -> tuple[tuple[int, ...], ...]:
    """Whom each agent hears: the others inside kappa hops, or all others, joined or not."""
    if algorithm.hears == "all":
        graph = named_graph("complete", len(graph))
    return neighbours_within(graph, kappa)


def settled(config: Config, task: TaskSpec, kappa: int, switches: Switches) -> Config:
    """The configuration with all that task and algorithm settled written out, so that equal runs have equal
    configurations."""
    limits = [own[0] if len(own) == 1 else list(own) for own in task.cost_limits]
    about = task.parameters
    world = {
        "task": task.label,
        "horizon": task.horizon,
        "reward": task.reward_mode,
        "cost": (about.get("cost") or task.cost_mode) if task.maker else task.cost_mode,
        "limit": limits[0] if all(limit == limits[0] for limit in limits) else limits,
        "coupling": about["coupling"] if not task.maker and FAMILIES[task.name].takes_coupling else None,
        "directory": about["directory"] if task.maker else None,
    }
    return config.model_copy(
        update={
            "run": config.run.model_copy(update={"agents": task.agents, "kappa": kappa, "kappa_unit": "hops"}),
            "world": config.world.model_copy(update=world),
            "learner": config.learner.model_copy(update={name: getattr(switches, name) for name in SWITCHES}),
        }
    )


def _graph(name: str, task: TaskSpec) -> AgentGraph:
    if name == "task":
        require_graph(task)
        return graph_of_edges(task.agents, task.edges)
    path = Path(name)
    if name and name.partition(":")[0] not in SHAPES and (os.path.exists(name) or path.suffix or os.sep in name):
        return read_graph(path, task.agents)
    return named_graph(name, task.agents)


def _plan(
    config: Config, task: TaskSpec, neighbours: tuple[tuple[int, ...], ...], kappa: int, switches: Switches
) -> Plan:
    learner = {**config.learner.model_dump(), **asdict(switches)}
    learner["initial_std"] = config.learner.initial_std or task.initial_std
    digest = config.digest()
    return Plan(
        run=zlib.crc32(os.urandom(16)),
        config_hash=digest,
        seed=config.run.seed,
        rounds=config.run.rounds,
        kappa=kappa,
        steps=config.world.steps,
        copies=config.world.envs,
        groups=config.world.groups,
        order=config.run.order,
        schedule=config.run.schedule,
        world_threads=config.world.threads,
        neighbours=neighbours,
        colours=colour_power(neighbours),
        cliques=clique_cover(neighbours),
        exchanged=switches.exchanged(),
        task=task,
        learner=learner,
        on_loss=config.run.on_loss,
    )


def check_widths(plan: Plan) -> None:
    """What a random stream's key must be able to count (``protocol.streams``)."""
    for what, count, bits in (
        ("rounds (--rounds)", plan.rounds, "round"),
        ("copies (--envs)", plan.copies, "process"),
        ("steps of all groups (--steps x world.groups)", plan.groups * (plan.steps + 1), "step"),
    ):
        if count > MOST[bits]:
            raise UsageProblem(f"{count:,} {what} are more than a random stream counts", f"use at most {MOST[bits]:,}")


def check_sockets(transport: str, agents: int) -> None:
    """Whether the sockets of a launch fit under the temporary directory. Raises ``MachineNotFit``."""
    needed, there = socket_path_bytes(agents, transport), longest_ipc_path()
    if needed > there:
        raise MachineNotFit(
            f"the temporary directory {tempfile.gettempdir()} is too long for sockets ({needed} > {there} bytes)",
            "set TMPDIR to a shorter one",
        )


def memory_needed(plan: Plan) -> int:
    """An estimate of the bytes that a run holds at once."""
    agents = 0
    for agent in range(plan.agents):
        width = plan.input_width(agent)
        agents += AGENT_BYTES + 4 * plan.samples * (width + 2 * max(plan.learner["hidden"])) * OPTIMISER_COPIES
    return BASE_BYTES + agents + plan.copies * COPY_BYTES


def _check_memory(plan: Plan) -> None:
    needed, there = memory_needed(plan), psutil.virtual_memory().available
    if needed > there:
        raise MachineNotFit(
            f"{plan.agents} agents with {plan.copies} copies x {plan.steps} steps need about {needed / 2**30:.1f} GiB, "
            f"this machine has {there / 2**30:.1f} GiB free",
            "lower --envs, --steps or --agents",
        )


def write_plan(run: RunDirectory, planned: Planned) -> None:
    """Everything that is known before the first process starts."""
    write_durably(run.plan, json.dumps(planned.plan.to_data()).encode())
    write_durably(run.config, to_toml(planned.config, planned.origins).encode())
    write_durably(run.origin, json.dumps(planned.origins, indent=1).encode())
    data = nx.node_link_data(planned.graph, edges="edges")
    write_durably(run.graph, json.dumps(data).encode())
