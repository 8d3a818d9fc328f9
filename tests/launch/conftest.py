"""Real launches for the integration tests: small, bounded in time, and checked for leftovers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

ROUNDS = 40
"""Enough that a command that is given after the first commit finds the run alive."""
SIZE = ("--agents", "3", "--kappa", "1", "--envs", "4", "--steps", "24")
SMALL = (*SIZE, "--rounds", str(ROUNDS))
WITHIN_S = 120.0


@dataclass
class Launch:
    """One ``scalmarl launch`` in a directory of its own."""

    path: Path
    process: subprocess.Popen[str]
    words: str = ""
    pids: set[int] = field(default_factory=set)

    def state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads((self.path / "run.json").read_text())
        except (OSError, ValueError):
            return {"state": "starting", "round": 0, "processes": []}
        self.pids |= {process["pid"] for process in state["processes"] if process["pid"]}
        return state

    def pid_of(self, name: str) -> int:
        return next(int(process["pid"]) for process in self.state()["processes"] if process["name"] == name)

    def wait_until(self, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + WITHIN_S
        while not what(state := self.state()):
            assert self.process.poll() is None, f"the launch ended early: {self.process.communicate()}"
            assert time.monotonic() < deadline, f"nothing came of it: {state}"
            time.sleep(0.02)
        return state

    def wait_for_round(self, rounds: int) -> None:
        self.wait_until(lambda state: state["round"] >= rounds)

    def end(self) -> int:
        self.state()
        self.words, errors = self.process.communicate(timeout=WITHIN_S)
        self.words += errors
        return self.process.returncode


@pytest.fixture(scope="session")
def scalmarl() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command of ours to its end."""

    def run(
        *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command, whole = [sys.executable, "-m", "scalmarl", *arguments], {**os.environ, **(env or {})}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=WITHIN_S, cwd=cwd, env=whole, check=False
        )

    return run


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[..., Launch]]:
    """Start launches; at the end none of their processes and socket directories may be left."""
    root = Path(tempfile.mkdtemp(prefix="sc-test-"))
    sockets = root / "t"
    sockets.mkdir()
    launches: list[Launch] = []

    def begin(name: str, *arguments: str, command: tuple[str, ...] = ("launch",)) -> Launch:
        path = root / name
        where = ("--run", str(path)) if command == ("launch",) else ()
        process = subprocess.Popen(
            [sys.executable, "-m", "scalmarl", *command, *where, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(sockets)},
        )
        launch = Launch(path, process)
        launches.append(launch)
        return launch

    yield begin
    for launch in launches:
        if launch.process.poll() is None:
            launch.state()
            launch.process.send_signal(signal.SIGKILL)
            launch.process.communicate()
    deadline = time.monotonic() + 10.0
    left = {pid for launch in launches for pid in launch.pids}
    while (left := {pid for pid in left if _is_ours(pid)}) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left, f"processes left over: {left}"
    shutil.rmtree(root)


def _is_ours(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE and "python" in psutil.Process(pid).name()
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="session")
def calm(start: Callable[..., Launch]) -> Launch:
    """An undisturbed small run, finished."""
    launch = start("calm", *SMALL)
    assert launch.end() == 0, launch.words
    return launch
