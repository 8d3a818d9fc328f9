"""``scalmarl bench``: the figures of docs/performance.md, printed by whoever doubts them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from scalmarl.launch.bench import absence as lost
from scalmarl.launch.bench import baseline as single
from scalmarl.launch.bench import busy as cores
from scalmarl.launch.bench import measures, suite
from scalmarl.launch.bench import ratios as guard
from scalmarl.launch.bench import recovery as faults
from scalmarl.launch.bench import scale as many
from scalmarl.launch.bench import web as page
from scalmarl.launch.bench.live import Say
from scalmarl.launch.dash import command as dash_command
from scalmarl.launch.errors import Exit
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import SCHEMA
from scalmarl.launch.scaling.calibration import read_calibration

agents_option = click.option(
    "--agents", type=click.IntRange(min=1), default=8, show_default=True, help="Number of agents."
)
kappa_option = click.option(
    "--kappa", type=click.IntRange(min=0), default=2, show_default=True, help="Radius of a neighbourhood, hops."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.group()
def bench() -> None:
    """Measure this machine with real launches."""


def _print(result: dict[str, Any], as_json: bool) -> None:
    click.echo(json.dumps(result) if as_json else measures.as_text(result))


def _numbers(text: str, option: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list like 64,128", param_hint=option) from None
    if min(numbers) < 1:
        raise click.BadParameter(f"{min(numbers)} is not at least 1", param_hint=option)
    return numbers


@bench.command()
@agents_option
@kappa_option
@click.option("--envs", "copies", default="64,128,256", show_default=True, help="Copies to try, comma-separated.")
@click.option(
    "--pairs", type=click.IntRange(min=1), default=3, show_default=True, help="Interleaved pairs per number of copies."
)
@json_option
@guarded
def sampling(agents: int, kappa: int, copies: str, pairs: int, as_json: bool) -> None:
    """Steps/s while sampling over the raw physics batch, median of interleaved pairs."""
    _print(measures.sampling(agents, kappa, _numbers(copies, "--envs"), pairs), as_json)


@bench.command()
@agents_option
@kappa_option
@click.option("--envs", "copies", default="32,256", show_default=True, help="Copies to try, comma-separated.")
@click.option("--rounds", type=click.IntRange(min=2), default=5, show_default=True, help="Rounds of either side.")
@click.option("--pairs", type=click.IntRange(min=1), default=3, show_default=True, help="Interleaved pairs.")
@json_option
@guarded
def price(agents: int, kappa: int, copies: str, rounds: int, pairs: int, as_json: bool) -> None:
    """The price of processes: steps/s while sampling over a single process with no message."""
    result = single.price(agents, kappa, _numbers(copies, "--envs"), rounds, pairs, _say(as_json))
    if as_json:
        click.echo(json.dumps(result))


@bench.command()
@agents_option
@kappa_option
@click.option("--envs", "copies", type=click.IntRange(min=1), default=32, show_default=True, help="Copies, both sides.")
@click.option("--steps", type=click.IntRange(min=1), default=128, show_default=True, help="Steps of each per round.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that step its copies.  [default: one per copy]")
@click.option(
    "--torch-threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of its updates."
)
@click.option("--rounds", type=click.IntRange(min=2), default=4, show_default=True, help="Rounds of either side.")
@click.option("--pairs", type=click.IntRange(min=1), default=3, show_default=True, help="Interleaved pairs.")
@json_option
@guarded
def loop(
    agents: int, kappa: int, copies: int, steps: int, workers: int | None, torch_threads: int, rounds: int, pairs: int,
    as_json: bool,
) -> None:  # fmt: skip
    """The whole training loop over a MAPPO-L in a single process with forked workers, as the field has it."""
    result = single.loop(agents, kappa, copies, steps, workers or copies, torch_threads, rounds, pairs, _say(as_json))
    if as_json:
        click.echo(json.dumps(result))


@bench.command()
@agents_option
@kappa_option
@click.option("--runs", type=click.IntRange(min=1), default=5, show_default=True)
@json_option
@guarded
def startup(agents: int, kappa: int, runs: int, as_json: bool) -> None:
    """Seconds until all agents are ready."""
    _print(measures.startup(agents, kappa, runs), as_json)


@bench.command()
@agents_option
@kappa_option
@click.option("--kills", type=click.IntRange(min=1), default=20, show_default=True)
@json_option
@guarded
def restart(agents: int, kappa: int, kills: int, as_json: bool) -> None:
    """Seconds until a killed agent is back in step, while sampling."""
    _print(measures.restart(agents, kappa, kills), as_json)


@bench.command()
@click.option("--runs", type=click.IntRange(min=1), default=2, show_default=True, help="Runs per fault.")
@click.option(
    "--strikes", type=click.IntRange(1, faults.MOST_STRIKES), default=4, show_default=True,
    help="Times that each run is struck.",
)  # fmt: skip
@json_option
@guarded
def recovery(runs: int, strikes: int, as_json: bool) -> None:
    """Every kind of fault: runs survived, digests identical, time to recover, work done again."""
    result = faults.recovery(runs, strikes, _say(as_json))
    if as_json:
        click.echo(json.dumps(result))


@bench.command()
@agents_option
@kappa_option
@click.option("--rounds", type=click.IntRange(min=2), default=8, show_default=True, help="Rounds of every launch.")
@click.option("--pairs", type=click.IntRange(min=1), default=3, show_default=True, help="Interleaved pairs per part.")
@json_option
@guarded
def machinery(agents: int, kappa: int, rounds: int, pairs: int, as_json: bool) -> None:
    """What round files, digests and encryption cost when nothing fails, each switched off in turn."""
    result = faults.cost(agents, kappa, rounds, pairs, _say(as_json))
    if as_json:
        click.echo(json.dumps(result))


@bench.command()
@agents_option
@kappa_option
@click.option("--missing", type=click.IntRange(min=0), default=3, show_default=True, help="The agent that is lost.")
@click.option("--first", default=40, show_default=True, help="The first round without it.")
@click.option("--last", default=59, show_default=True, help="The last round without it.")
@click.option("--rounds", type=click.IntRange(min=1), default=80, show_default=True, help="Rounds of both runs.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of both runs.")
@json_option
@guarded
def absence(
    agents: int, kappa: int, missing: int, first: int, last: int, rounds: int, seed: int, as_json: bool
) -> None:
    """What a missing agent costs its neighbours in return and cost (--on-loss mask)."""
    result = lost.absence(agents, kappa, missing, first, last, rounds, seed, _say(as_json))
    click.echo(json.dumps(result) if as_json else "\n".join(lost.row_text(row) for row in result["rows"]))


def _say(as_json: bool) -> Say:
    """Rows as they are measured, unless one document is asked for."""
    return (lambda text: None) if as_json else click.echo


@bench.command()
@agents_option
@kappa_option
@click.option("--rounds", type=click.IntRange(min=1), default=10, show_default=True, help="Rounds of every launch.")
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True, help="Launches.")
@json_option
@guarded
def busy(agents: int, kappa: int, rounds: int, runs: int, as_json: bool) -> None:
    """Share of a round's wall time in which the cores do the run's work."""
    _print(cores.busy(agents, kappa, rounds, runs), as_json)


@bench.command()
@click.option("--copies", type=click.IntRange(min=1), default=32, show_default=True, help="Copies of each world.")
@click.option("--threads", default="1,2", show_default=True, help="Numbers of physics threads, comma-separated.")
@click.option("--pairs", type=click.IntRange(min=1), default=5, show_default=True, help="Interleaved pairs per task.")
@click.option("--task", "tasks", multiple=True, help="Only this task; repeatable.  [default: the usual ones]")
@json_option
@guarded
def worlds(copies: int, threads: str, pairs: int, tasks: tuple[str, ...], as_json: bool) -> None:
    """Control steps/s of every world over its bare physics, and how cheetahs and formations grow with their number."""
    _print(measures.worlds(copies, _numbers(threads, "--threads"), pairs, tasks or measures.WORLDS), as_json)


@bench.command()
@click.option("--agents", "numbers", default="8,16,32,64,128", show_default=True, help="Numbers, comma-separated.")
@kappa_option
@click.option("--envs", type=click.IntRange(min=1), default=8, show_default=True, help="Copies of the world.")
@click.option("--steps", type=click.IntRange(min=1), default=32, show_default=True, help="Control steps per round.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Rounds that are measured.")
@click.option(
    "--calibration", type=click.Path(path_type=Path),
    help="Predict too, by the costs in this file (scalmarl plan --calibrate).",
)  # fmt: skip
@json_option
@guarded
def scale(
    numbers: str, kappa: int, envs: int, steps: int, rounds: int, calibration: Path | None, as_json: bool
) -> None:
    """What more cheetahs cost, N by N: phases, bytes, time beyond physics, memory, start."""
    costs = None if calibration is None else read_calibration(calibration)
    result = many.scale(_numbers(numbers, "--agents"), kappa, envs, steps, rounds, costs, _say(as_json))
    if as_json:
        click.echo(json.dumps(result))


@bench.command()
@agents_option
@kappa_option
@click.option("--rounds", type=click.IntRange(min=1), default=8, show_default=True, help="Rounds of either side.")
@click.option("--pairs", type=click.IntRange(min=1), default=4, show_default=True, help="Interleaved pairs.")
@json_option
@guarded
def web(agents: int, kappa: int, rounds: int, pairs: int, as_json: bool) -> None:
    """What a page that is looked at costs the run that it shows."""
    dash_command.require_web()
    _print(page.web(agents, kappa, rounds, pairs, _say(as_json)), as_json)


@bench.command()
@agents_option
@kappa_option
@json_option
@guarded
def memory(agents: int, kappa: int, as_json: bool) -> None:
    """Proportional memory of every process."""
    _print(measures.memory(agents, kappa), as_json)


@bench.command()
@click.option("--pairs", type=click.IntRange(min=1), default=3, show_default=True, help="Measurements per figure.")
@click.option("--label", default="", help="What is measured, for the document; a commit, say.")
@json_option
@guarded
def ratios(pairs: int, label: str, as_json: bool) -> None:
    """Every figure that the regression guard keeps, with its noise and its goal; some ten minutes.

    \b
    scalmarl bench ratios --label $(git rev-parse --short HEAD) --json > benchmarks/ratios/NAME.json
    scalmarl bench compare benchmarks/ratios/OLD.json benchmarks/ratios/NAME.json
    """
    result = suite.ratios(pairs, label, _say(as_json))
    if as_json:
        click.echo(json.dumps(result, indent=1))


@bench.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@json_option
@click.pass_context
@guarded
def compare(context: click.Context, before: Path, after: Path, as_json: bool) -> None:
    """What got slower between two documents of ratios (`scalmarl bench ratios --json`), with its noise.

    Exit code 1 if a figure is worse: if every measurement of AFTER is worse than every one of BEFORE, and the median by
    2 % or more.
    """
    changes = guard.compare(guard.read_figures(before), guard.read_figures(after))
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "changes": [asdict(change) for change in changes]}))
    else:
        click.echo("\n".join(guard.change_text(change) for change in changes))
    if any(change.verdict == "worse" for change in changes):
        context.exit(int(Exit.TRAINING_FAILED))
