"""``scalmarl env check``: PettingZoo's test of a world and ours, and what fails where."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from scalmarl.launch.config import WorldConfig
from scalmarl.launch.errors import Exit, UsageProblem
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import SCHEMA
from scalmarl.launch.sim_tools import ask
from scalmarl.launch.voice import console
from scalmarl.launch.world_door import wanted, wish_of, world_options
from scalmarl.sim_server.tasks import is_foreign

CHECKED_WITHIN_S = 600.0
OWN_TASKS = "scalmarl.sim_server.parallel_env:make"
"""The product's own tasks in PettingZoo's form."""
WHAT = {
    "described": "made, reset and stepped once",
    "spaces": "spaces",
    "graph": "neighbour graph",
    "costs": "costs and limits",
    "pettingzoo": "PettingZoo's API test",
    "episode": "a whole episode",
    "seed": "seeds",
    "again": "one episode after another",
    "copies": "several copies",
    "saving": "saving",
    "process": "another process",
}
STYLES = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "dim"}


@click.command()
@click.argument("world", metavar="TASK_OR_MODULE")
@world_options
@click.option("--cost", help="none, or MODULE:FUNCTION, where the world itself tells no cost.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@guarded
def check(world: str, as_json: bool, **choices: Any) -> None:
    """Whether a world keeps the contract: MODULE:FUNCTION, or one of our tasks.

    \b
    scalmarl env check my_module:make
    scalmarl env check my_module:make --cost none
    scalmarl env check my_module:make --world-arg size=8 --world-python ../old/bin/python
    scalmarl env check safe-ant:4x2

    Exit code 1 if a check fails.
    """
    chosen = {name: value for name, value in choices.items() if value is not None}
    if "cost" in chosen and not is_foreign(world):
        raise UsageProblem(f"{world} is one of our own tasks, which tell their costs", "leave --cost out")
    if is_foreign(world):
        config = WorldConfig(task=world, **chosen)
    else:
        wanted(world)
        config = WorldConfig(task=OWN_TASKS, arguments={**chosen.get("arguments", {}), "task": world})
    found = checks_of(config)
    failed = [line for line in found if line["verdict"] == "fail"]
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "world": world, "passed": not failed, "checks": found}))
    else:
        table = Table.grid(padding=(0, 2))
        for line in found:
            table.add_row(Text(line["verdict"], STYLES[line["verdict"]]), WHAT[line["check"]], line["detail"])
        console().print(table)
        click.echo(f"{world}: {len(failed)} of {len(found)} checks failed" if failed else f"{world} keeps the contract")
    if failed:
        sys.exit(int(Exit.TRAINING_FAILED))


def checks_of(config: WorldConfig) -> list[dict[str, str]]:
    """Every check with its verdict and what was found."""
    about = json.dumps(wish_of(config, None, None)).encode()
    answer = json.loads(ask("foreign_check", about=about, python=config.python, within_s=CHECKED_WITHIN_S))
    found: list[dict[str, str]] = answer["checks"]
    if answer["trace"] is not None:
        again = json.loads(ask("foreign_check", "trace", about=about, python=config.python, within_s=CHECKED_WITHIN_S))
        same = again["trace"] == answer["trace"]
        detail = "a second process gets the same bits" if same else "a second process gets other bits for the same seed"
        found.append({"check": "process", "verdict": "ok" if same else "fail", "detail": detail})
    return found
