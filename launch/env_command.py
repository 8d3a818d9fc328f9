"""``scalmarl env``: the tasks that a run can be made of, and how they start out before anybody has learnt anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from scalmarl.launch.check_command import check
from scalmarl.launch.config import SEEDS
from scalmarl.launch.errors import TrainingFailed, UsageProblem
from scalmarl.launch.output_file import check_png
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import SCHEMA
from scalmarl.launch.sim_tools import ask
from scalmarl.launch.summary import each_cost
from scalmarl.launch.task_picture import draw, picture_of, write_picture
from scalmarl.launch.task_words import graph_words, listed, print_task, sizes, summary
from scalmarl.launch.voice import console
from scalmarl.launch.world_door import wanted, world_options
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.tasks import FAMILIES

POLICIES = ("zero", "random")
MOST_EPISODES = 4096
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


# ---- list ----


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
        check_png(picture, "--picture", "task.png")
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, **summary(spec), **spec.to_data()}))
    else:
        print_task(spec, agent)
    if picture is not None:
        write_picture(picture, draw(spec))
        click.echo(f"picture: {picture}", err=as_json)
    elif not (no_picture or as_json):
        click.echo(f"picture: {picture_of(spec)}")


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


env.add_command(check)
