"""``scalmarl compare``: algorithms, kappas and seeds side by side, by real launches."""

from __future__ import annotations

import json
import math
import signal
import sys
from pathlib import Path
from typing import Any

import click

from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.launch.comparison.grid import Asked, Grid, build, read_grid, take_lock
from scalmarl.launch.comparison.report import Report, require_scipy
from scalmarl.launch.comparison.run import Outcome, Sweep
from scalmarl.launch.errors import Exit, NoSuchRun, UsageProblem
from scalmarl.launch.option_types import keys_of, limits, seconds, words
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.starting import require_linux
from scalmarl.launch.stop_requests import StopRequests
from scalmarl.launch.voice import Patient, console, shell_words
from scalmarl.launch.world_door import world_options

WIDE = 160


def _numbers(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[int, ...]:
    try:
        numbers = tuple(int(word) for word in words(ctx, param, texts))
    except ValueError:
        raise click.BadParameter(f"{','.join(texts)!r} is not a list like 0,1,2") from None
    if min(numbers, default=0) < 0:
        raise click.BadParameter(f"{min(numbers)} is below 0")
    return numbers


def _steps(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return math.ceil(float(text.replace("_", "")))
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is not a number like 1e6") from None


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--algo", "algorithms", multiple=True, callback=words, help=f"Of: {', '.join(ALGORITHMS)}. [list]")
@click.option("--kappa", "kappas", multiple=True, callback=_numbers, help="Radii, for algorithms that use one. [list]")
@click.option("--seeds", multiple=True, callback=_numbers, help="Seeds.  [list; default: 0,1,2]")
@click.option("--env-steps", callback=_steps, help="Environment steps of every run, e.g. 1e6; whole rounds.")
@click.option("--task", help="NAME or NAME:PARTITION, see env list.")
@click.option("--world", metavar="MODULE:FUNCTION", help="A world of your own instead, as in launch.")
@world_options
@click.option("--agents", type=int, help="Agents.  [default: the task's partition, else 8]")
@click.option("--reward", help="local or team.  [default: the algorithm's or the task's]")
@click.option("--cost", help="local, team, legacy or velocity.  [default: the task's]")
@click.option("--limit", callback=limits, help="Cost limit per episode: one, or one per agent.")
@click.option("--graph", help="task, path, ring, star, grid[:RxC], complete, or a file of edges.")
@click.option("--set", "assignments", multiple=True, metavar="SECTION.KEY=VALUE", help="Set any parameter; repeatable.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="TOML file, e.g. config.toml of a run.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Runs at a time.")
@click.option("--for", "seconds", callback=seconds, help="End after this time: 90m, 2h. Call again to go on.")
@click.option("--window", type=click.FloatRange(0, 1, min_open=True), default=0.1, show_default=True,
              help="Share of the rounds, at the end, that the figures are taken over; at least 10 rounds.")  # fmt: skip
@click.option("--report-only", is_flag=True, help="Run nothing; report what is finished.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@guarded
def compare(
    directory: Path, algorithms: tuple[str, ...], kappas: tuple[int, ...], seeds: tuple[int, ...],
    env_steps: int | None, assignments: tuple[str, ...], file: Path | None, jobs: int, seconds: float | None,
    window: float, report_only: bool, as_json: bool, **flags: Any,
) -> None:  # fmt: skip
    """Run a grid of algorithms, kappas and seeds, and report it.

    \b
    scalmarl compare runs/c --task safe-halfcheetah:6x1 --algo scal-mappo-l --kappa 1,2,5 --env-steps 1e6
    scalmarl compare runs/c                          go on with it; finished runs are skipped
    scalmarl compare runs/c --seeds 3,4 --for 2h     more seeds, for two hours
    scalmarl compare runs/c --report-only            how it stands

    Every run is a 'scalmarl launch' in DIRECTORY/cells. Lists may be repeated or separated by commas. Ctrl-C ends the
    running ones at their next commit.
    """
    require_linux()
    require_scipy()
    asked = Asked(algorithms, kappas, seeds, env_steps, file, assignments, keys_of(flags))
    if report_only:
        stored = read_grid(directory)
        if stored is None:
            raise NoSuchRun(f"{directory} holds no grid (it has no compare.json)", "start one: scalmarl compare --help")
        if asked != Asked(flags={}):
            raise UsageProblem("--report-only reports the stored grid", "leave the options of the grid out")
        _report(stored, window, as_json)
        return
    made = not directory.exists()
    take_lock(directory)
    try:
        command = shell_words("scalmarl", *sys.argv[1:]) if asked != Asked(flags={}) else ""
        grid = build(directory, asked, command)
        grid.check()
    except BaseException:
        if made:
            (directory / "compare.lock").unlink()
            directory.rmdir()
        raise
    grid.write()
    err = Patient(stderr=True)
    outcome = Sweep(grid, jobs, seconds, window, StopRequests(), lambda text: err.print(text, soft_wrap=True)).run()
    if outcome.signal is None:
        _report(grid, window, as_json)
    _finish(grid, outcome, err)


def _report(grid: Grid, window: float, as_json: bool) -> None:
    report = Report(grid, window)
    said = report.write()
    if as_json:
        click.echo(json.dumps(report.document()))
    else:
        out = console()
        if not out.is_terminal:
            # Where no terminal sets the width, nothing needs to be folded.
            out.width = WIDE
        out.print(report.table())
    for line in said:
        Patient(stderr=True).print(line, soft_wrap=True)


def _finish(grid: Grid, outcome: Outcome, err: Patient) -> None:
    """Say how it ended and how to go on; leave with the exit code."""
    again = shell_words("scalmarl", "compare", grid.path)
    for name, why in outcome.failed.items():
        err.print(f"failed: {name}: {why}", soft_wrap=True)
    total = len(grid.cells())
    if outcome.finished < total:
        err.print(f"{outcome.finished} of {total} cells finished; go on with: {again}", soft_wrap=True)
    if outcome.signal is not None:
        sys.exit(int(Exit.INTERRUPTED if outcome.signal == signal.SIGINT else Exit.TERMINATED))
    if outcome.failed or (outcome.stopped and not outcome.out_of_time):
        sys.exit(int(Exit.TRAINING_FAILED))
