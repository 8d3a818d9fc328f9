"""``scalmarl explain``: whom an agent hears, what it sent and heard, and why its step was as large as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from scalmarl.launch.errors import UsageProblem
from scalmarl.launch.explaining import explanation
from scalmarl.launch.records import read_lines
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import SCHEMA, find, read_plan
from scalmarl.launch.voice import console


@click.command()
@click.argument("agent", type=click.IntRange(0))
@click.option(
    "--run", "run_path", type=click.Path(path_type=Path), help="Run directory; default: the live or the latest run."
)
@click.option("--round", "round", type=click.IntRange(0), help="The round, from 0.  [default: the last committed one]")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@guarded
def explain(agent: int, run_path: Path | None, round: int | None, as_json: bool) -> None:
    """Why the last step of an agent was as large as it was: in words, with the figures.

    \b
    scalmarl explain 3
    scalmarl explain 3 --run runs/a --round 40

    Radius, the bound that was active, KL, clip, epochs taken back, multiplier and cost against limit, and what the
    critics explain; whom it hears, and what it sent and received in that round.
    """
    run = find(run_path)
    plan = read_plan(run)
    if agent >= plan.agents:
        raise UsageProblem(f"{run.path} has no agent {agent}", f"it has agents 0 to {plan.agents - 1}")
    lines = {line["round"]: line for line in read_lines(run.metrics)}
    if not lines:
        raise UsageProblem(f"{run.path} has not committed a round yet", "wait for the first; see: scalmarl ps")
    wanted = max(lines) if round is None else round
    if wanted not in lines:
        raise UsageProblem(f"{run.path} has no record of round {wanted}", f"it has rounds {min(lines)} to {max(lines)}")
    traffic = next((line for line in read_lines(run.traffic) if line["round"] == wanted), None)
    found = {"schema": SCHEMA, "run": str(run.path)}
    found |= explanation(plan, agent, lines[wanted], lines.get(wanted - 1), traffic)
    if as_json:
        click.echo(json.dumps(found))
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    out = console()
    out.print(f"{found['run']}, round {found['round']}", soft_wrap=True)
    sentences = Table.grid(padding=(0, 1))
    for sentence in found["sentences"]:
        text = sentence["text"]
        sentences.add_row("-", text[:1].upper() + text[1:] + ".")
    out.print(sentences)
    moved: dict[tuple[str, str], list[int]] = {}
    for column, name in enumerate(("sent", "received")):
        for row in found[name]:
            moved.setdefault((row["process"], row["kind"]), [0, 0])[column] += row["wire_bytes"]
    if moved:
        table = Table(title="wire bytes of the round", box=None, title_justify="left")
        for name in ("with", "kind", "sent", "received"):
            table.add_column(name, justify="left" if name in ("with", "kind") else "right")
        for (process, kind), (sent, received) in moved.items():
            table.add_row(process, kind, f"{sent:,}" if sent else "-", f"{received:,}" if received else "-")
        out.print(table)
    if found["missing"]:
        out.print(f"not recorded by the version that made this run: {', '.join(found['missing'])}", soft_wrap=True)
