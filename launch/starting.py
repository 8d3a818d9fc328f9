"""From a plan to a supervised run: its directory, and the process that becomes or starts the supervisor."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from scalmarl.launch.ctrl_c import heed_ctrl_c
from scalmarl.launch.dash.command import Door
from scalmarl.launch.errors import MachineNotFit, TrainingFailed
from scalmarl.launch.event_file import EXTRA, can_write
from scalmarl.launch.planning import Planned, write_plan
from scalmarl.launch.run_directory import RunDirectory, create
from scalmarl.launch.summary import banner
from scalmarl.launch.voice import Patient, shell_words
from scalmarl.protocol.lifeline import end_with, hold_stop_signals, release_stop_signals
from scalmarl.protocol.task import TaskSpec

DETACH_WITHIN_S = 60.0


def begin(planned: Planned, path: Path | None, detach: bool, page: Door | None = None) -> None:
    """Make the run's directory, say what starts, and hand over. What cannot be written leaves nothing behind."""
    plan = planned.plan
    # From the first trace on disk on, the supervisor answers every request to stop.
    hold_stop_signals()
    try:
        heed_ctrl_c()
        run = create(path, f"{task_slug(plan.task)}-k{plan.kappa}-s{plan.seed}")
        try:
            lock = run.take_lock()
            write_plan(run, planned)
            run.write_state(first_state(plan.rounds, plan.config_hash))
        except OSError:
            shutil.rmtree(run.path, ignore_errors=True)
            raise
    except BaseException:
        release_stop_signals()
        raise
    links = planned.config.processes.links
    err = Patient(stderr=True)
    err.print(banner(run, plan, graph_words(planned), planned.config.run.algo, links))
    if not can_write():
        err.print(f"no TensorBoard files: the extra {EXTRA!r} is not installed", soft_wrap=True)
    hand_over(run, lock, detach, page)


def graph_words(planned: Planned) -> str:
    """``of the task (7 edges)``."""
    name = planned.config.run.graph
    edges = planned.graph.number_of_edges()
    return f"{'of the task' if name == 'task' else name} ({edges} edge{'' if edges == 1 else 's'})"


def task_slug(task: TaskSpec) -> str:
    """``manyant8x1``, ``cheetahs8``: a task in a directory's name."""
    return task.name.removeprefix("safe-") + (task.partition or str(task.agents)).replace("|", "-")


def first_state(rounds: int, config_hash: str) -> dict[str, Any]:
    """``run.json`` before the launcher has written its own: the run reads ``running`` from its creation on."""
    return {
        "schema": 1, "state": "running", "round": 0, "rounds": rounds, "processes": [], "pid": os.getpid(),
        "control": "", "config_hash": config_hash, "reason": "",
    }  # fmt: skip


def require_linux() -> None:
    """Parent-death signals, pidfds and the fork server are Linux's."""
    if not sys.platform.startswith("linux") or not hasattr(os, "pidfd_open"):
        raise MachineNotFit(
            f"this platform ({sys.platform}) has no pidfd and parent-death signal, which keep the processes together",
            "run it on Linux 5.3 or newer with Python 3.11 or newer; see: scalmarl doctor",
        )


def _supervisor(run: RunDirectory) -> list[str]:
    return [sys.executable, "-m", "scalmarl.launch", str(run.path)]


def start_in_background(run: RunDirectory, lock: int, owned: bool = False) -> subprocess.Popen[bytes]:
    """The supervisor of a prepared run as a process of its own session; its words go to ``launcher.log``. One that is
    ``owned`` ends when this process dies."""
    with run.log.open("ab") as log:
        return subprocess.Popen(
            [*_supervisor(run), "--quiet"], pass_fds=(lock,), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, preexec_fn=partial(end_with, os.getpid()) if owned else None,
        )  # fmt: skip


def hand_over(run: RunDirectory, lock: int, detach: bool, page: Door | None = None) -> None:
    """Become the supervisor of a prepared run, or start it in the background, with a ``page`` beside it. Does not
    return in the foreground."""
    if page is not None:
        page.open_beside(run)
        Patient(stderr=True).print(page.after_words(run), soft_wrap=True)
    if not detach:
        os.set_inheritable(lock, True)
        command = _supervisor(run)
        os.execv(command[0], command)
    launcher = start_in_background(run, lock)
    release_stop_signals()
    deadline = time.monotonic() + DETACH_WITHIN_S
    while time.monotonic() < deadline and launcher.poll() is None:
        if run.read_state()["processes"]:
            click.echo(f"{run.path} runs in the background (launcher pid {launcher.pid})")
            for name in ("ps", "stop"):
                click.echo(f"  {shell_words('scalmarl', name, '--run', run.path)}")
            return
        time.sleep(0.05)
    raise TrainingFailed(f"the launcher of {run.path} did not come up", f"its words are in {run.log}")
