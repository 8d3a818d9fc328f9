"""``scalmarl env``: the tasks that a run can be made of, and how they start out before anybody has learnt anything."""

from __future__ import annotations

import json
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import networkx as nx
from rich.table import Table

from scalmarl.launch.check_command import check
from scalmarl.launch.config import SEEDS, WorldConfig
from scalmarl.launch.errors import MachineNotFit, TrainingFailed, UsageProblem, UserProblem
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import SCHEMA
from scalmarl.launch.sim_tools import GRAPHICS_CURE, ask, graphics_to_try, last_words, run_tool
from scalmarl.launch.summary import each_cost
from scalmarl.launch.voice import console
from scalmarl.launch.world_door import describe_foreign, world_options
from scalmarl.protocol.graph import AgentGraph, graph_of_edges
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.task_family import REWARDS
from scalmarl.sim_server.tasks import FAMILIES, describe, is_foreign

POLICIES = ("zero", "random")
MOST_EPISODES = 4096
PICTURE_WITHIN_S = 60.0
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.group()
def env() -> None:
    """The tasks: what they are, and what they pay to nobody in particular.

    \b
    scalmarl env list
    scalmarl env show safe-ant:4x2
    scalmarl env rollout safe-manyant:8x1 --policy random --episodes 8
    scalmarl env check my_module:make
    """


def task_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What decides a task, as for ``launch``."""
    command = world_options(command)
    for option in (
        click.option("--coupling", type=float, help="Stiffness of the tendons between robots, N/m."),
        click.option("--physics", default="fast", show_default=True, help="fast, or parity (published integrator)."),
        click.option("--cost", help="local, team, legacy or velocity.  [default: the task's]"),
        click.option("--reward", help="local or team.  [default: the task's]"),
        click.option("--agents", type=int, help="Number of agents, where the partition does not say it."),
        click.argument("task"),
    ):
        command = option(command)
    return command


def wanted(task: str, **choices: Any) -> TaskSpec:
    """The task of these options, ours or a world from outside. Raises ``UserProblem``."""
    agents = choices.pop("agents", None)
    door = {name: choices.pop(name) for name in ("python", "arguments") if choices.get(name) is not None}
    if is_foreign(task):
        chosen = {name: value for name, value in choices.items() if value is not None and name != "reward"}
        return describe_foreign(WorldConfig(task=task, **door, **chosen), agents, choices.get("reward"))
    choices = {name: value for name, value in choices.items() if name not in ("python", "arguments")}
    if door:
        raise UsageProblem(f"{task} is one of our own tasks", "leave --world-arg and --world-python out")
    try:
        return describe(task, agents, **choices)
    except ValueError as error:
        what, _, hint = str(error).partition("; ")
        raise UsageProblem(what, f"{hint}; see: scalmarl env list") from None


# ---- list ----


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


@env.command("list")
@json_option
@guarded
def list_command(as_json: bool) -> None:
    """Every task with agents, graph, sizes, cost, limit and source."""
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "tasks": [summary(spec) for spec in listed()]}))
        return
    out = console()
    for family in FAMILIES.values():
        out.print(f"{family.name}: {family.summary}")
        out.print(f"  reward {'|'.join(family.rewards)}, cost {'|'.join(family.costs)}, limit {family.limit:g}")
        out.print(f"  from {family.source}")
        table = Table.grid(padding=(0, 2))
        for spec in (spec for spec in listed() if spec.name == family.name):
            free = f", or any number from {family.any_number[0]} to {family.any_number[1]}" if family.any_number else ""
            table.add_row(
                f"  :{spec.partition}" if spec.partition else " ", f"{spec.agents} agents{free}", graph_words(spec),
                f"observes {sizes(spec.block_sizes)}", f"moves {sizes(spec.action_sizes)}",
            )  # fmt: skip
        out.print(table)
        out.print()
    out.print("safe-manyant and safe-swimmer take any AxS, A agents of S segments or joints each.")
    out.print("The first mode is the default. All of a task: scalmarl env show TASK")


# ---- show ----


@env.command()
@task_options
@click.option(
    "--agent", type=click.IntRange(0), default=0, show_default=True, help="Whose block to show entry by entry."
)
@click.option("--picture", type=click.Path(path_type=Path), help="Where to put the PNG.  [default: ./TASK.png]")
@click.option("--no-picture", is_flag=True, help="Draw none.")
@json_option
@guarded
def show(agent: int, picture: Path | None, no_picture: bool, as_json: bool, **choices: Any) -> None:
    """All of a task: its graph, blocks, actions, costs, what is not local, and a picture of its world.

    The picture needs a graphics library and Pillow (the extra 'plot'); without them everything else is shown. A file
    that is there already is replaced only if --picture names it.
    """
    spec = wanted(**choices)
    if agent >= spec.agents:
        raise UsageProblem(f"{spec.label} has no agent {agent}", f"give --agent 0 to {spec.agents - 1}")
    if picture is not None:
        _check_picture(picture)
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, **summary(spec), **spec.to_data()}))
    else:
        _print_task(spec, agent)
    if picture is not None:
        _write_picture(picture, _draw(spec))
        click.echo(f"picture: {picture}", err=as_json)
    elif not (no_picture or as_json):
        click.echo(f"picture: {_picture_of(spec)}")


def _print_task(spec: TaskSpec, agent: int) -> None:
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


# ---- pictures ----


def _check_picture(path: Path) -> None:
    """Before anything is drawn. Raises ``UsageProblem``."""
    if path.suffix.lower() != ".png":
        raise UsageProblem(f"--picture {path} does not end in .png", "name a PNG file, as in --picture task.png")
    if path.is_dir():
        raise UsageProblem(f"--picture {path} is a directory", "name a PNG file in it")
    if not path.parent.is_dir():
        raise UsageProblem(f"{path.parent} is no directory", "give --picture a path in one that exists")


def _write_picture(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageProblem(
            f"cannot write {path}: {error.strerror}", "give --picture a path that you can write"
        ) from None


def _picture_of(spec: TaskSpec) -> str:
    """Draw it where nobody said anything about it, if that can be done and costs nobody a file; what came of it."""
    if spec.maker:
        return "none, a world from outside draws itself"
    path = Path(f"{spec.name}-{(spec.partition or str(spec.agents)).replace('|', '-')}.png")
    if path.exists():
        return f"none, {path} is there already; --picture PATH draws one"
    try:
        _write_picture(path, _draw(spec))
    except UserProblem as problem:
        return f"none, {problem.what}; {problem.hint}"
    return str(path)


def _draw(spec: TaskSpec) -> bytes:
    """A PNG, by a process of its own, with the first graphics library that works. Raises ``MachineNotFit``."""
    about = json.dumps(spec.to_data()).encode()
    last = ""
    for graphics in graphics_to_try():
        try:
            done = run_tool("picture", (), about, graphics=graphics, within_s=PICTURE_WITHIN_S)
        except subprocess.TimeoutExpired:
            last = f"no answer within {PICTURE_WITHIN_S:.0f} s"
            continue
        if done.returncode == 0:
            return done.stdout
        last = last_words(done)
    raise MachineNotFit(
        f"no graphics library works here (the last said: {last})", f"{GRAPHICS_CURE}; and the extra 'plot'"
    )


env.add_command(check)


# ---- rollout ----


@env.command()
@task_options
@click.option("--policy", type=click.Choice(POLICIES), default="random", show_default=True)
@click.option("--episodes", type=click.IntRange(1, MOST_EPISODES), default=8, show_default=True)
@click.option("--seed", type=click.IntRange(0, SEEDS, max_open=True), default=0, show_default=True)
@click.option("--horizon", type=click.IntRange(1), help="Control steps of an episode.  [default: the task's]")
@json_option
@guarded
def rollout(policy: str, episodes: int, seed: int, as_json: bool, **choices: Any) -> None:
    """Whole episodes without learning: return, cost and length of each.

    'zero' does nothing. 'random' draws a Gaussian of deviation 0.3655, the published initial policy, not clipped
    before the control penalty.
    """
    spec = wanted(**choices)
    about = json.dumps(spec.to_data()).encode()
    answer = json.loads(ask("rollout", policy, str(episodes), str(seed), about=about, python=choices.get("python")))
    if "broken" in answer:
        softer = "a smaller --coupling or " if spec.parameters.get("coupling") else ""
        raise TrainingFailed(answer["broken"], f"{softer}another --seed may pass; report it with this line")
    found = answer["episodes"]
    if as_json:
        document = {
            "schema": SCHEMA, "task": spec.label, "agents": spec.agents, "reward": spec.reward_mode,
            "cost": spec.cost_mode, "physics": spec.physics, "horizon": spec.horizon, "parameters": spec.parameters,
            "policy": policy, "seed": seed, "episodes": found,
        }  # fmt: skip
        click.echo(json.dumps(document))
        return
    _print_episodes(spec, policy, found)


def _print_episodes(spec: TaskSpec, policy: str, found: list[dict[str, Any]]) -> None:
    table = Table(title=f"{spec.label}, {policy} policy")
    for name in ("episode", "length", "return", "cost", "distance (m)", "cost of each agent", "end"):
        table.add_column(name, justify="left" if name in ("cost of each agent", "end") else "right")
    for number, episode in enumerate(found):
        costs = ["/".join(f"{cost:g}" for cost in each_cost(own)) for own in episode["cost_agent"]]
        table.add_row(
            str(number), str(episode["length"]), f"{episode['return_team']:,.1f}", f"{episode['cost_team']:g}",
            "-" if episode["distance"] is None else f"{episode['distance']:.2f}",
            " ".join(costs[:16]) + (" ..." if len(costs) > 16 else ""),
            "terminated" if episode["terminated"] else "truncated",
        )  # fmt: skip
    count = len(found)
    means = [
        sum(episode[name] or 0.0 for episode in found) / count
        for name in ("length", "return_team", "cost_team", "distance")
    ]
    table.add_row(
        "mean",
        f"{means[0]:.1f}",
        f"{means[1]:,.1f}",
        f"{means[2]:.1f}",
        "-" if spec.maker else f"{means[3]:.2f}",
        "",
        "",
        style="bold",
    )
    console().print(table)
