"""``scalmarl runs export``: what runs recorded as two tidy tables, or as TensorBoard's event files.

``rounds``: a row per run and round with the team's figures. ``agents``: a row per run, round and agent. Columns carry
TensorBoard's names; a figure that a round has none of is an empty cell, an absent agent has no row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from scalmarl.launch.errors import UsageProblem
from scalmarl.launch.event_file import EXTRA, EventFile, can_write
from scalmarl.launch.output_file import make_directory, write_output
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.launch.scalars import TEAM, agent_scalars, team_scalars

Row = dict[str, Any]
FORMATS = ("csv", "parquet", "tensorboard")


def tables(runs: Sequence[RunDirectory]) -> dict[str, list[Row]]:
    """The rows of both tables."""
    rounds: list[Row] = []
    agents: list[Row] = []
    for run in runs:
        for line in read_lines(run.metrics):
            place = {"run": str(run.path), "round": line["round"], "env_steps": line["env_steps"]}
            absent = ",".join(map(str, line.get("absent", ())))
            whole = dict.fromkeys(TEAM) | team_scalars(line)
            rounds.append({**place, "episodes": line["episodes"], "absent": absent, **whole})
            for agent in range(len(line["kl_agent"])):
                if found := agent_scalars(line, agent):
                    bound = line["bound_agent"][agent]
                    agents.append({**place, "agent": agent, "update/bound": bound, **found})
    return {"rounds": rounds, "agents": agents}


def columns_of(rows: Iterable[Row]) -> list[str]:
    """Every column that a row has, in the order of their first rows."""
    return list(dict.fromkeys(name for row in rows for name in row))


def export(runs: Sequence[RunDirectory], out: Path, form: str) -> list[Path]:
    """Write into the directory ``out``, made if need be; returns the files. Raises ``UserProblem``."""
    if form == "tensorboard":
        return _export_events(runs, out)
    writer = csv_table if form == "csv" else _parquet()
    found = tables(runs)
    if not found["rounds"]:
        raise UsageProblem("none of these runs has committed a round", "there is nothing to export yet")
    make_directory(out, "-o")
    paths = []
    for name, rows in found.items():
        paths.append(out / f"{name}.{form}")
        write_output(paths[-1], writer(rows))
    return paths


def csv_table(rows: Sequence[Row]) -> bytes:
    """A line of all columns, and one per row with every digit of its numbers."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns_of(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _parquet() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageProblem(
            "Parquet is written by pyarrow, which is not installed",
            "pip install -c constraints.txt '.[parquet]', or use --format csv",
        ) from None

    def write(rows: list[Row]) -> bytes:
        columns = {name: [row.get(name) for row in rows] for name in columns_of(rows)}
        sink = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(columns), sink)
        return sink.getvalue()

    return write


def _export_events(runs: Sequence[RunDirectory], out: Path) -> list[Path]:
    if not can_write():
        raise UsageProblem(
            "event files are written by tensorboardX, which is not installed",
            f"pip install -c constraints.txt '.[{EXTRA}]', or use --format csv",
        )
    paths = []
    for run in runs:
        paths.append(out / run.path.resolve().name)
        if paths.count(paths[-1]) > 1:
            raise UsageProblem(f"two of these runs are called {paths[-1].name}", "export them into two directories")
        make_directory(paths[-1], "-o")
        EventFile(paths[-1]).catch_up(read_lines(run.metrics))
    return paths
