"""Worlds from outside, as the launcher sees them: described by a process of the world's own interpreter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from scalmarl.launch.config import WorldConfig, read_value
from scalmarl.launch.errors import UsageProblem
from scalmarl.launch.sim_tools import ask
from scalmarl.protocol.graph import SHAPES
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.tasks import describe, is_foreign

DESCRIBED_WITHIN_S = 120.0
"""A copy is made, reset and stepped once, and what it imports may take long."""


def describe_foreign(world: WorldConfig, agents: int | None, reward: str | None) -> TaskSpec:
    """The world of ``world.task``, MODULE:FUNCTION. Raises ``UserProblem``."""
    if world.coupling is not None:
        raise UsageProblem(f"{world.task} has no coupling that scalmarl knows of", "leave --coupling out")
    about = json.dumps(wish_of(world, agents, reward)).encode()
    answer = json.loads(ask("foreign_description", about=about, python=world.python, within_s=DESCRIBED_WITHIN_S))
    if "problem" in answer:
        raise UsageProblem(answer["problem"], f"mend it, then look at it with: scalmarl env check {world.task}")
    return TaskSpec.from_data(answer["spec"])


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


def wish_of(world: WorldConfig, agents: int | None, reward: str | None) -> dict[str, Any]:
    """What the world's interpreter is asked for."""
    return {
        "task": world.task, "directory": world.directory or str(Path.cwd()), "arguments": world.arguments,
        "agents": agents, "reward": reward, "cost": world.cost, "limit": world.limit, "horizon": world.horizon,
    }  # fmt: skip


def require_graph(task: TaskSpec) -> None:
    """Nobody can tell who the neighbours are in a world that does not. Raises ``UsageProblem``."""
    if task.agents > 1 and not task.parameters.get("has_graph", True):
        raise UsageProblem(
            f"{task.label} does not say who is whose neighbour",
            f"give it neighbour_graph(), which returns a networkx graph (or pairs) of its agents, or choose one: "
            f"--graph {', '.join(SHAPES)}, or a file of edges",
        )


# ---- options ----


def arguments(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any] | None:
    """``size=8 wind=0.5 name=rough``: keyword arguments, each a TOML value or else a text."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"{text!r} is not NAME=VALUE, for example size=8")
        found[name] = read_value(value)
    return found or None


def world_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a world of one's own needs besides its name."""
    for option in (
        click.option(
            "--world-arg", "arguments", multiple=True, callback=arguments, metavar="NAME=VALUE",
            help="A keyword argument of FUNCTION; repeatable.",
        ),
        click.option(
            "--world-python", "python", metavar="PATH",
            help="The world's own interpreter, Python 3.9 or newer with numpy, pyzmq and msgpack.  [default: this one]",
        ),
    ):  # fmt: skip
        command = option(command)
    return command
