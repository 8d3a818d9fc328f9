"""``scalmarl runs``: which runs there are, what one was, away with one, and tables of what they recorded."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from scalmarl.launch.errors import NoSuchRun, UsageProblem
from scalmarl.launch.exporting import FORMATS, export
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import RUNS, SCHEMA, RunDirectory, find
from scalmarl.launch.run_list import removable, remove, runs_under, size_bytes, summary
from scalmarl.launch.summary import bytes_text, number_text
from scalmarl.launch.voice import console, shell_words

WIDE, ROOMY = 160, 110
"""Columns where no terminal says how many; columns from which on the task is shown too."""
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
several_runs = click.argument("directories", nargs=-1, required=True, type=click.Path(path_type=Path))


@click.group()
def runs() -> None:
    """Runs on this disk: list, show, rm, export.

    \b
    scalmarl runs list
    scalmarl runs list runs/c                        the cells of a grid
    scalmarl runs export runs/a runs/b -o tables     tables/rounds.csv and tables/agents.csv
    scalmarl runs rm runs/a
    """


@runs.command("list")
@click.argument("directory", type=click.Path(path_type=Path), default=RUNS)
@json_option
@guarded
def list_command(directory: Path, as_json: bool) -> None:
    """Every run under a directory, runs/ by default, with its state and its last figures."""
    if not directory.is_dir():
        raise NoSuchRun(f"{directory} is no directory", "name one: scalmarl runs list DIRECTORY")
    found = [summary(run) for run in runs_under(directory)]
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "directory": str(directory), "runs": found}))
        return
    out = console()
    if not out.is_terminal:
        # Where no terminal sets the width, nothing needs to be folded.
        out.width = WIDE
    out.print(_table(found, directory, out.width >= ROOMY) if found else f"no run under {directory}")
    for row in found:
        if row["problem"]:
            out.print(f"{row['run']}: {row['problem']}", soft_wrap=True)


def _table(found: list[dict[str, Any]], directory: Path, roomy: bool) -> Table:
    table = Table(box=None, padding=(0, 2 if roomy else 1, 0, 0))
    right = ("rounds", "kappa", "seed", "return", "cost")
    for name in ("run", "state", "rounds", *(("task",) if roomy else ()), "algo", "kappa", "seed", "return", "cost"):
        table.add_column(name, justify="right" if name in right else "left", no_wrap=name != "run", overflow="fold")
    for row in found:
        rounds = None if row["round"] is None else f"{row['round']}/{row['rounds']}"
        cells = [str(Path(row["run"]).relative_to(directory)), row["state"], rounds]
        cells += [*((row["task"],) if roomy else ()), row["algo"], row["kappa"], row["seed"]]
        cells += [number_text(row["return_rate"]), number_text(row["cost_rate_team"])]
        table.add_row(*("-" if cell is None else str(cell) for cell in cells))
    return table


@runs.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option(
    "--run", "run_path", type=click.Path(path_type=Path), help="Run directory; default: the live or the latest run."
)
@json_option
@guarded
def show(directory: Path | None, run_path: Path | None, as_json: bool) -> None:
    """One run: what it is, how far it came, with which versions, and how large it is."""
    if directory is not None and run_path is not None:
        raise UsageProblem("a run is named twice, as DIRECTORY and by --run", "leave one out")
    run = find(directory or run_path)
    state, row = run.read_state(), summary(run)
    if row["problem"]:
        raise NoSuchRun(row["problem"], "see: scalmarl runs list")
    row |= {
        "reason": state.get("reason", ""), "config_hash": state.get("config_hash"),
        "versions": state.get("versions"), "host": state.get("host"), "bytes": size_bytes(run),
    }  # fmt: skip
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, **row}))
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _words(row).items():
        table.add_row(name, text)
    console().print(table)
    for command in ("traffic", "explain 0", "top", "config show"):
        click.echo(f"  scalmarl {command} {shell_words('--run', run.path)}")


def _words(row: dict[str, Any]) -> dict[str, str]:
    limits = sorted({limit for own in row["limits"] for limit in own})
    began = "-" if row["began"] is None else f"{datetime.fromtimestamp(row['began']):%Y-%m-%d %H:%M:%S}"
    versions = ", ".join(f"{name} {version}" for name, version in (row["versions"] or {}).items())
    return {
        "run": row["run"],
        "state": row["state"] + (f" ({row['reason']})" if row["reason"] else ""),
        "rounds": f"{row['round']} of {row['rounds']}, {row['env_steps'] or 0:,} environment steps, "
        f"{row['restarts']} restarts",
        "task": f"{row['task']}, limit {' to '.join(f'{x:g}' for x in sorted({*limits[:1], *limits[-1:]})) or '-'}",
        "method": f"{row['algo'] or '-'}, {row['agents']} agents, kappa {row['kappa']}, seed {row['seed']}",
        "last round": f"return {number_text(row['return_rate'])}, cost {number_text(row['cost_rate_team'])}, as rates",
        "began": began,
        "versions": versions or "-",
        "size": bytes_text(row["bytes"]),
    }


@runs.command()
@several_runs
@click.option("--yes", is_flag=True, help="Do not ask.")
@guarded
def rm(directories: tuple[Path, ...], yes: bool) -> None:
    """Delete runs with all their files. A live one is refused."""
    found: dict[Path, RunDirectory] = {run.path: run for run in map(removable, directories)}
    if not yes:
        if not asks():
            raise UsageProblem("rm asks before it deletes, and stdin is no terminal", "give --yes")
        for run in found.values():
            click.echo(f"{run.path}: {bytes_text(size_bytes(run))}")
        if not click.confirm(f"delete {len(found)} run{'' if len(found) == 1 else 's'}?"):
            return
    for run in found.values():
        remove(run)
        click.echo(f"deleted {run.path}")


def asks() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty()


@runs.command("export")
@several_runs
@click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Directory to fill.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="csv", show_default=True)
@guarded
def export_command(directories: tuple[Path, ...], out: Path, form: str) -> None:
    """Write what runs recorded as tables: rounds and agents; or as TensorBoard's event files.

    rounds has a row per run and round, agents a row per run, round and agent. Parquet needs the extra 'parquet'.
    """
    chosen = [RunDirectory(path) for path in directories]
    for run in chosen:
        run.read_state()
    for path in export(chosen, out, form):
        click.echo(str(path))
