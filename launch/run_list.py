"""The runs under a directory, each in a line; and how one is taken away."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scalmarl.launch.errors import UsageProblem, UserProblem
from scalmarl.launch.records import last_lines, read_lines
from scalmarl.launch.run_directory import RunDirectory, point_latest, read_plan

DEPTH = 3
"""Folders below the one that is listed in which runs are looked for: those of a grid lie in GRID/cells/NAME."""


def runs_under(directory: Path, depth: int = DEPTH) -> Iterator[RunDirectory]:
    """Every run, by name; links and hidden folders are not followed, and nothing is looked for inside a run."""
    if (directory / "run.json").exists():
        yield RunDirectory(directory)
    elif depth > 0 and directory.is_dir():
        for path in sorted(directory.iterdir()):
            if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                yield from runs_under(path, depth - 1)


def summary(run: RunDirectory) -> dict[str, Any]:
    """A run in a row; one that cannot be read says why in ``problem`` and has ``None`` elsewhere."""
    row: dict[str, Any] = {"run": str(run.path), "state": "unreadable", "problem": None}
    names = ("round", "rounds", "task", "algo", "agents", "kappa", "seed", "restarts", "env_steps", "return_rate")
    row |= dict.fromkeys((*names, "cost_rate_team", "began", "limits"))
    try:
        state = run.read_state()
        row |= {"state": state["state"], "round": state["round"], "rounds": state["rounds"]}
        row["restarts"] = sum(process["restarts"] for process in state["processes"])
        plan = read_plan(run)
        row |= {"task": plan.task.label, "agents": plan.agents, "kappa": plan.kappa, "seed": plan.seed}
        row |= {"algo": _algorithm(run), "limits": [list(own) for own in plan.task.cost_limits]}
        for line in last_lines(run.metrics, 1):
            row |= {name: line.get(name) for name in ("env_steps", "return_rate", "cost_rate_team")}
        row["began"] = next((event["time"] for event in read_lines(run.events)), None)
    except UserProblem as problem:
        row["problem"] = problem.what
    return row


def _algorithm(run: RunDirectory) -> str | None:
    try:
        return str(tomllib.loads(run.config.read_text(encoding="utf-8"))["run"]["algo"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def size_bytes(run: RunDirectory) -> int:
    """What its files hold."""
    return sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file() and not path.is_symlink())


def removable(path: Path) -> RunDirectory:
    """The run behind a path or link. Raises ``UserProblem`` for what is no run, and for a live one."""
    run = RunDirectory(path.resolve())
    run.read_state()
    if run.is_live():
        raise UsageProblem(f"{path} is live", f"end it first: scalmarl stop --run {path}")
    return run


def remove(run: RunDirectory) -> None:
    """Delete a run's directory, under its lock; ``runs/latest`` then names the newest that is left. A death half way
    leaves no half of a run under its name."""
    descriptor = run.take_lock()
    try:
        doomed = run.path.with_name(f".{run.path.name}.{os.getpid()}.removed")
        run.path.rename(doomed)
        shutil.rmtree(doomed)
    finally:
        os.close(descriptor)
    latest = run.path.parent / "latest"
    if latest.is_symlink() and os.readlink(latest).rstrip("/") in (run.path.name, str(run.path)):
        left = [path.name for path in sorted(latest.parent.iterdir()) if RunDirectory(path).state.exists()]
        left = [name for name in left if name != "latest"]
        if left:
            point_latest(latest.parent / left[-1])
        else:
            latest.unlink()
