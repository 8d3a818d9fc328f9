"""The commands that only read a run: ps, logs, traffic, digest, events."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from scalmarl.launch.committed import committed
from scalmarl.launch.control_socket import ask
from scalmarl.launch.errors import NoSuchRun, UsageProblem
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import SCHEMA, RunDirectory, find, read_plan
from scalmarl.launch.story import words
from scalmarl.launch.voice import console
from scalmarl.launch.watched import lives
from scalmarl.protocol.keys import COORDINATOR, SIM, process_id, process_name
from scalmarl.protocol.round_files import process_directory

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
_FOLLOW_EVERY_S = 0.2
_PROCESS_FIELDS = ("name", "role", "index", "pid", "state", "restarts")


def add_to(main: click.Group, run_option: Decorator, json_option: Decorator, guarded: Decorator) -> None:
    """Register the commands."""
    main.command()(run_option(json_option(guarded(ps))))
    main.command()(
        click.argument("process")(
            click.option("-f", "--follow", is_flag=True, help="Go on as the log grows; ends with the run.")(
                click.option("--previous", is_flag=True, help="The log of the life before the last start.")(
                    run_option(json_option(guarded(logs)))
                )
            )
        )
    )
    main.command()(run_option(json_option(guarded(traffic))))
    main.command()(run_option(json_option(guarded(digest))))
    main.command()(run_option(json_option(guarded(events))))


def ps(run_path: Path | None, as_json: bool) -> None:
    """Who runs, in which round, and who waits for whom."""
    run = find(run_path)
    state = current_state(run)
    if as_json:
        processes = [{name: process[name] for name in _PROCESS_FIELDS} for process in state["processes"]]
        click.echo(
            json.dumps({"schema": SCHEMA, "state": state["state"], "round": state["round"], "processes": processes})
        )
        return
    click.echo(f"{run.path}: {state['state']}, {state['round']} of {state['rounds']} rounds committed")
    if state.get("reason"):
        click.echo(f"reason: {state['reason']}")
    table = Table(box=None)
    for name in ("process", "pid", "state", "restarts", "round", "phase", "waits for"):
        table.add_column(name)
    for process in state["processes"]:
        silent = f", silent {process['silent_s']} s" if process.get("silent_s") else ""
        cells = [process["name"], process["pid"], process["state"] + silent, process["restarts"]]
        cells += [process.get("round"), process.get("phase"), process.get("waits_for")]
        table.add_row(*("-" if cell is None else str(cell) for cell in cells))
    console().print(table)


def current_state(run: RunDirectory) -> dict[str, Any]:
    """The launcher's live word where there is one, else what ``run.json`` says."""
    state = run.read_state()
    if state["state"] == "running" and state["control"]:
        try:
            return {**state, **ask(run, {"command": "status"})}
        except NoSuchRun:
            return run.read_state()
    return state


def logs(process: str, run_path: Path | None, follow: bool, previous: bool, as_json: bool) -> None:
    """The log of a process: agent number, sim or coordinator."""
    if follow and as_json:
        raise UsageProblem("--json is one document, --follow has no end", "leave one out")
    run = find(run_path)
    plan = read_plan(run)
    try:
        number = process_id(process)
    except ValueError as error:
        raise UsageProblem(str(error), "see: scalmarl ps") from None
    if number not in (*range(plan.agents), SIM, COORDINATOR):
        raise UsageProblem(
            f"no process {process!r} in {run.path}", f"it has agents 0 to {plan.agents - 1}, sim, coordinator"
        )
    directory = process_directory(run.path, number)
    numbers = lives(directory)
    if previous and len(numbers) < 2:
        raise UsageProblem(f"{process_name(number)} has had one life only", "leave --previous out")
    if not numbers:
        raise UsageProblem(f"{process_name(number)} has written no log yet", "try again in a moment")
    life = numbers[-2 if previous else -1]
    if as_json:
        lines = _log(directory, life).read_text(errors="replace").splitlines()
        click.echo(json.dumps({"schema": SCHEMA, "process": process_name(number), "life": life, "lines": lines}))
        return
    for text in _follow(run, directory, life) if follow else [_log(directory, life).read_text(errors="replace")]:
        sys.stdout.write(text)
        sys.stdout.flush()


def _log(directory: Path, life: int) -> Path:
    return directory / f"log.{life}.txt"


def log_tail(run: RunDirectory, process: int, most_bytes: int) -> dict[str, Any]:
    """The end of the newest log of a process, in whole lines: ``process``, ``life`` (null without a log), ``text``."""
    directory = process_directory(run.path, process)
    numbers = lives(directory)
    if not numbers:
        return {"process": process_name(process), "life": None, "text": ""}
    with _log(directory, numbers[-1]).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - most_bytes))
        text = file.read().decode("utf-8", errors="replace")
    if size > most_bytes:
        text = text.partition("\n")[2]
    return {"process": process_name(process), "life": numbers[-1], "text": text}


def _follow(run: RunDirectory, directory: Path, life: int) -> Iterator[str]:
    """A log as it grows, over the process's deaths, until the run has ended."""
    at = 0
    while True:
        live = run.is_live()
        with _log(directory, life).open(encoding="utf-8", errors="replace") as file:
            file.seek(at)
            yield file.read()
            at = file.tell()
        if _log(directory, life + 1).exists():
            life, at = life + 1, 0
        elif not live:
            return
        else:
            time.sleep(_FOLLOW_EVERY_S)


def traffic(run_path: Path | None, as_json: bool) -> None:
    """Bytes between processes: first sendings measured at the sockets, beside the closed formula."""
    from scalmarl.launch.traffic import all_to_all_bytes, report

    run = find(run_path)
    plan = read_plan(run)
    found = report(run, plan)
    if as_json:
        click.echo(json.dumps(found))
        return
    out = console()
    table = Table(title=f"wire bytes per neighbourhood and round, {found['rounds']} rounds")
    for name in ("agent", "neighbourhood", "sent", "predicted", "received", "all-to-all would send"):
        table.add_column(name, justify="left" if name == "neighbourhood" else "right")
    for row in found["neighbourhoods"]:
        received = row["received_bytes"] / max(found["rounds"], 1)
        table.add_row(
            str(row["agent"]), str(row["members"]), f"{row['per_round_bytes']:,.0f}", f"{row['predicted_bytes']:,.0f}",
            f"{received:,.0f}", f"{all_to_all_bytes(plan, row['agent']):,}",
        )  # fmt: skip
    out.print(table)
    out.print(_by_kind(found))


def _by_kind(found: dict[str, Any]) -> Table:
    from scalmarl.launch.summary import bytes_text

    kinds: dict[str, list[int]] = {}
    for pair in found["pairs"]:
        row = kinds.setdefault(pair["kind"], [0, 0, 0, 0])
        for index, name in enumerate(("messages", "payload_bytes", "wire_bytes", "repeat_bytes")):
            row[index] += pair[name] or 0
    is_whole = bool(kinds) and all(pair["repeat_bytes"] is not None for pair in found["pairs"])
    caption = None if is_whole else "repeats are known once all rounds are committed"
    table = Table(title="by kind, whole run" if is_whole else "by kind, so far", caption=caption)
    for name in ("kind", "messages", "payload", "wire", "wire/payload", "repeats"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    whole = [sum(row[index] for row in kinds.values()) for index in range(4)]
    for kind, (messages, payload, wire, repeats) in (*kinds.items(), ("all values", whole)):
        ratio = f"{wire / payload:.3f}" if payload else "-"
        again = bytes_text(repeats) if is_whole else "-"
        style = "bold" if kind == "all values" else None
        table.add_row(kind, f"{messages:,}", bytes_text(payload), bytes_text(wire), ratio, again, style=style)
    beside = {"need, watermark, hello": found["control"]}
    if found["lost"]:
        beside["of all: lost on bad links"] = found["lost"]
    for name, rows in beside.items():
        messages, wire = (sum(row[column] for row in rows) for column in ("messages", "wire_bytes"))
        table.add_row(name, f"{messages:,}", "-", bytes_text(wire), "-", "-")
    return table


def digest(run_path: Path | None, as_json: bool) -> None:
    """SHA-256 of every agent's committed weights, optimiser states and multipliers, and of all together."""
    run = find(run_path)
    found = digests(run)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"rounds {found['rounds']}")
    for agent, value in found["agents"].items():
        click.echo(f"agent/{agent} {value}")
    click.echo(f"run {found['run']}")


def digests(run: RunDirectory) -> dict[str, Any]:
    """The document of ``scalmarl digest --json``, read from the files themselves and checked against the commit log."""
    found = committed(run)
    agents = {str(agent): hashlib.sha256(content).hexdigest() for agent, content in found.contents.items()}
    whole = hashlib.sha256("".join(agents[agent] for agent in sorted(agents, key=int)).encode()).hexdigest()
    return {"schema": SCHEMA, "rounds": found.round, "agents": agents, "run": whole}


def events(run_path: Path | None, as_json: bool) -> None:
    """The story of a run: what died, when and of what, how long until it was back, what was done again."""
    run = find(run_path)
    run.read_state()
    lines = read_lines(run.events)
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "events": lines}))
        return
    began = lines[0]["time"] if lines else 0.0
    for line in lines:
        click.echo(f"{line['time'] - began:9.3f} s  {line['event']:<12} {line['process'] or '':<12} {words(line)}")
