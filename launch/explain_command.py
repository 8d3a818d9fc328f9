"""``scalmarl explain``: whom an agent hears, what it sent and heard, and why its step was as large as it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from scalmarl.launch.course import NEEDS as COURSE_NEEDS
from scalmarl.launch.course import course
from scalmarl.launch.errors import UsageProblem
from scalmarl.launch.explaining import explanation, figure
from scalmarl.launch.records import read_lines
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import SCHEMA, RunDirectory, find, read_plan
from scalmarl.launch.voice import console
from scalmarl.protocol.plan import Plan


@click.command()
@click.argument("agent", type=click.IntRange(0))
@click.option(
    "--run", "run_path", type=click.Path(path_type=Path), help="Run directory; default: the live or the latest run."
)
@click.option("--round", "round", type=click.IntRange(0), help="The round, from 0.  [default: the last committed one]")
@click.option("--course", "whole", is_flag=True, help="How it came there: the whole run in a few windows of rounds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@guarded
def explain(agent: int, run_path: Path | None, round: int | None, whole: bool, as_json: bool) -> None:
    """Why the last step of an agent was as large as it was: in words, with the figures.

    \b
    scalmarl explain 3
    scalmarl explain 3 --run runs/a --round 40
    scalmarl explain 3 --run runs/a --course

    Radius, the bound that was active, KL, clip, epochs taken back, multiplier and cost against limit, and what the
    critics explain; whom it hears, and what it sent and received in that round. --course tells the same figures over
    the whole run, to find out why an agent learns, or does not.
    """
    if whole and round is not None:
        raise UsageProblem("--course and --round exclude each other", "leave one out")
    run = find(run_path)
    plan = read_plan(run)
    if agent >= plan.agents:
        raise UsageProblem(f"{run.path} has no agent {agent}", f"it has agents 0 to {plan.agents - 1}")
    lines = {line["round"]: line for line in read_lines(run.metrics)}
    if not lines:
        raise UsageProblem(f"{run.path} has not committed a round yet", "wait for the first; see: scalmarl ps")
    if whole:
        _tell_course(run, plan, agent, list(lines.values()), as_json)
        return
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


def _tell_course(run: RunDirectory, plan: Plan, agent: int, lines: list[dict[str, Any]], as_json: bool) -> None:
    missing = sorted(name for name in COURSE_NEEDS if any(name not in line for line in lines))
    if missing:
        raise UsageProblem(f"the metrics of {run.path} lack {', '.join(missing)}", "another version made this run")
    rows = course(agent, lines)
    if as_json:
        told = {"schema": SCHEMA, "run": str(run.path), "agent": agent, "cost_names": list(plan.task.cost_names[agent])}
        click.echo(json.dumps({**told, "course": rows}))
        return
    out = console()
    out.print(f"{run.path}, agent {agent}; EV: what its critics explain of the variance of the returns", soft_wrap=True)
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in ("rounds", "cost", "above", "mult.", "EV rew.", "EV cost", "KL", "radius", "clip", "std"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ended by", overflow="fold")
    for row in rows:
        explained = row["explained_variance"]
        table.add_row(
            f"{row['first']}-{row['last']}", _each(row["cost_estimate"]), "/".join(f"{x:.0%}" for x in row["above"]),
            _each(row["multiplier"]), _each([explained["reward"]]), _each(explained["costs"]),
            *(_each([row[name]]) for name in ("kl", "radius", "clip_fraction", "policy_std")),
            ", ".join(f"{name} {count}" for name, count in row["bounds"].items()),
        )  # fmt: skip
    out.print(table)


def _each(values: Sequence[float | None]) -> str:
    return "/".join(figure(x) if x is None or abs(x) >= 100 else f"{x:.2g}" for x in values) or "-"
