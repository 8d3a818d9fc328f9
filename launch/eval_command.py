"""``scalmarl eval``: what the committed policies of a run are worth, over many whole episodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from scalmarl.launch.committed import Committed, committed
from scalmarl.launch.comparison.report import require_scipy
from scalmarl.launch.config import SEEDS, resolve
from scalmarl.launch.env_command import MOST_EPISODES
from scalmarl.launch.playing import play
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import SCHEMA, RunDirectory
from scalmarl.launch.run_statistics import over_episodes
from scalmarl.launch.summary import each_cost
from scalmarl.launch.voice import console
from scalmarl.protocol.task import TaskSpec

FIRST_SEED = 10_000
"""Its episodes begin as none of a run with a smaller seed did."""
seed_option = click.option(
    "--seed", type=click.IntRange(0, SEEDS, max_open=True), default=FIRST_SEED, show_default=True,
    help="Of the episodes' starts.",
)  # fmt: skip
round_option = click.option(
    "--round", "round", type=click.IntRange(0), help="After so many rounds, from the archive.  [default: the last]"
)
stochastic_option = click.option(
    "--stochastic", is_flag=True, help="Draw actions as in training.  [default: the mean, or the likeliest choice]"
)


@click.command("eval")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--episodes", type=click.IntRange(1, MOST_EPISODES), default=32, show_default=True)
@seed_option
@round_option
@stochastic_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@guarded
def evaluate(directory: Path, episodes: int, seed: int, round: int | None, stochastic: bool, as_json: bool) -> None:
    """Play whole episodes with the committed policies of a run: return, cost and violations with 95 % intervals.

    \b
    scalmarl eval runs/mine
    scalmarl eval runs/mine --episodes 128 --json
    scalmarl eval runs/mine --round 0          the policies that it began with

    The run may be finished or live; nothing of it changes. An agent that was absent in its last round stays absent.
    """
    require_scipy("eval")
    run = RunDirectory(directory)
    run.read_state()
    found = committed(run, round)
    python = python_of(run)
    played = play(found, episodes=episodes, seed=seed, stochastic=stochastic, python=python)
    document = {
        "schema": SCHEMA, "task": found.plan.task.label, "round": found.round, "absent": list(found.plan.absent),
        "seed": seed, "deterministic": not stochastic, "horizon": found.plan.task.horizon,
        **figures(found.plan.task, played), "episodes": played,
    }  # fmt: skip
    if as_json:
        click.echo(json.dumps(document))
        return
    _print(found, document)


def python_of(run: RunDirectory) -> str | None:
    """The interpreter that the run's world lives in; ``None``: ours. Raises ``UserProblem``."""
    return resolve(run.config, (), {})[0].world.python


def figures(task: TaskSpec, played: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the team and of every agent: means over episodes with intervals. An episode violates an agent's limits if any
    of its costs is above its own, and the team's if any agent's is."""
    rows: dict[tuple[Any, ...], list[float]] = {}
    for name in ("return_team", "cost_team", "length", "distance", "terminated"):
        if played[0][name] is not None:
            rows["team", name.removesuffix("_team")] = [float(episode[name]) for episode in played]
    violations = []
    for agent, limits in enumerate(task.cost_limits):
        rows[agent, "return"] = [episode["return_agent"][agent] for episode in played]
        costs = [each_cost(episode["cost_agent"][agent]) for episode in played]
        for j in range(len(limits)):
            rows[agent, "cost", j] = [own[j] for own in costs]
        violations.append([float(any(cost > limit for cost, limit in zip(own, limits))) for own in costs])
        rows[agent, "violation_rate"] = violations[-1]
    rows["team", "violation_rate"] = [max(one) for one in zip(*violations)]
    measured = dict(zip(rows, over_episodes(list(rows.values()))))
    team = ("return", "cost", "violation_rate", "length", "distance", "terminated")
    return {
        "team": {name: measured.get(("team", name)) for name in team},
        "agents": [
            {
                "agent": agent, "cost_limit": list(limits), "return": measured[agent, "return"],
                "cost": [measured[agent, "cost", j] for j in range(len(limits))],
                "violation_rate": measured[agent, "violation_rate"],
            }
            for agent, limits in enumerate(task.cost_limits)
        ],
    }  # fmt: skip


def _print(found: Committed, document: dict[str, Any]) -> None:
    task = found.plan.task
    how = "means and likeliest choices" if document["deterministic"] else "actions drawn as in training"
    absent = f", absent: {', '.join(map(str, found.plan.absent))}" if found.plan.absent else ""
    out = console()
    out.print(
        f"{task.label} after {found.round} rounds: {len(document['episodes'])} episodes, {how}, "
        f"seed {document['seed']}{absent}"
    )
    team = document["team"]
    table = Table(title="team, mean and 95 % interval", title_justify="left")
    for name in ("", "mean", "low", "high"):
        table.add_column(name, justify="right" if name else "left")
    names = {
        "return": "return per episode", "cost": "cost per episode", "violation_rate": "episodes above a limit (%)",
        "length": "control steps", "terminated": "ended by themselves (%)", "distance": "distance (m)",
    }  # fmt: skip
    for name, words in names.items():
        if team[name] is not None:
            table.add_row(words, *_numbers(team[name], 100.0 if "%" in words else 1.0))
    out.print(table)
    table = Table(title="agents", title_justify="left")
    for name in ("agent", "return", "cost", "95 %", "limit", "above it (%)"):
        table.add_column(name, justify="right")
    for about in document["agents"]:
        spans = [_numbers(cost) for cost in about["cost"]]
        table.add_row(
            str(about["agent"]), _numbers(about["return"])[0], "/".join(span[0] for span in spans),
            "/".join(f"{low} to {high}" for _, low, high in spans), "/".join(f"{x:g}" for x in about["cost_limit"]),
            _numbers(about["violation_rate"], 100.0)[0],
        )  # fmt: skip
    out.print(table)


def _numbers(figure: dict[str, float | None], times: float = 1.0) -> list[str]:
    values = [figure[name] for name in ("mean", "low", "high")]
    return ["-" if value is None else f"{value * times:,.2f}" for value in values]
