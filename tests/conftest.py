"""Real launches for the integration and chaos tests: small, bounded in time, and checked for leftovers."""

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
INSIDE = Path(__file__).parent / "inside"
"""What a planted launch finds on its path: see ``inside/planted.py``."""
SIZE = ("--agents", "3", "--kappa", "1", "--envs", "4", "--steps", "24")
SMALL = (*SIZE, "--rounds", str(ROUNDS))
WITHIN_S = 120.0


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--chaos-seed", type=int, default=0, help="decides every fault that a campaign draws (default: 0)")
    group.addoption(
        "--chaos-seconds", type=float, default=None, help="shorten (or lengthen) every campaign that lasts a while"
    )


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many workers as cores, up to eight: most tests wait for launches. Campaigns have the machine to themselves."""
    return 0 if "chaos" in config.option.markexpr.replace("not chaos", "") else min(len(os.sched_getaffinity(0)), 8)


@dataclass
class Launch:
    """One ``scalmarl launch`` in a directory of its own."""

    path: Path
    process: subprocess.Popen[bytes]
    said: Path
    words: str = ""
    pids: set[int] = field(default_factory=set)
    planted: Path | None = None

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
            assert self.process.poll() is None, f"the launch ended early: {self.said.read_text()}"
            assert time.monotonic() < deadline, f"nothing came of it: {state}"
            time.sleep(0.02)
        return state

    def wait_for_round(self, rounds: int) -> None:
        self.wait_until(lambda state: state["round"] >= rounds)

    def wait_for_event(self, event: str, process: str | None = None) -> dict[str, Any]:
        def told() -> dict[str, Any] | None:
            return next((e for e in self.events() if e["event"] == event and process in (None, e["process"])), None)

        self.wait_until(lambda state: told() is not None)
        return told() or {}

    def events(self) -> list[dict[str, Any]]:
        try:
            return [json.loads(line) for line in (self.path / "events.jsonl").read_text().split("\n")[:-1]]
        except FileNotFoundError:
            return []

    def running(self) -> dict[str, int]:
        """Name -> pid of every process that runs now."""
        return {p["name"]: p["pid"] for p in self.state()["processes"] if p["state"] == "running"}

    def journal(self) -> list[dict[str, Any]]:
        """What the planted code of the launch's processes noted."""
        assert self.planted is not None
        return [json.loads(line) for line in self.planted.with_suffix(".journal").read_text().split("\n")[:-1]]

    def commits(self) -> list[dict[str, str]]:
        """Per committed round: the digest of every process's next file."""
        from scalmarl.coordinator.body import read_commit_record
        from scalmarl.coordinator.commit_log import log_path, read_commits
        from scalmarl.protocol.keys import process_name

        return [
            {process_name(process): digest.hex() for process, digest in read_commit_record(record).items()}
            for _, record in read_commits(log_path(self.path))[0]
        ]

    def end(self, within_s: float = WITHIN_S) -> int:
        self.state()
        self.process.wait(timeout=within_s)
        self.words = self.said.read_text()
        return self.process.returncode


def first_difference(found: list[dict[str, str]], wanted: list[dict[str, str]]) -> str:
    """The first round and process whose digest differs in the rounds that both have; empty when none does."""
    for round, (one, other) in enumerate(zip(found, wanted)):
        for process in other:
            if one.get(process) != other[process]:
                return f"round {round}: {process} has {one.get(process)} instead of {other[process]}"
    return ""


@pytest.fixture(scope="session")
def difference() -> Callable[[list[dict[str, str]], list[dict[str, str]]], str]:
    return first_difference


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
def launches() -> list[Launch]:
    """Every launch of the session so far."""
    return []


@pytest.fixture(scope="session")
def start(launches: list[Launch]) -> Iterator[Callable[..., Launch]]:
    """Start launches; at the end none of their processes and socket directories may be left."""
    root = Path(tempfile.mkdtemp(prefix="sc-test-"))
    sockets = root / "t"
    sockets.mkdir()

    def begin(
        name: str,
        *arguments: str,
        command: tuple[str, ...] = ("launch",),
        plant: list[dict[str, Any]] | None = None,
        env: dict[str, str] | None = None,
        directory: Path | None = None,
    ) -> Launch:
        path = (directory or root) / name
        where = ("--run", str(path)) if command == ("launch",) else ()
        environment = {**os.environ, "TMPDIR": str(sockets), **(env or {})}
        planted = None
        if plant is not None:
            planted = path.with_name(f"{name}.planted")
            planted.write_text(json.dumps(plant))
            paths = [str(INSIDE), *filter(None, [os.environ.get("PYTHONPATH")])]
            environment |= {"PYTHONPATH": os.pathsep.join(paths), "SCALMARL_TEST_PLANTED": str(planted)}
        # Not a pipe: nobody reads it while the launch runs, and a full one would hold the launcher up.
        said = root / f"{name}.{len(launches)}.txt"
        with said.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "scalmarl", *command, *where, *arguments],
                stdout=file,
                stderr=file,
                env=environment,
            )
        launch = Launch(path, process, said, planted=planted)
        launches.append(launch)
        return launch

    yield begin
    for launch in launches:
        if launch.process.poll() is None:
            launch.state()
            launch.process.send_signal(signal.SIGKILL)
            launch.process.wait()
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


@pytest.fixture(scope="session")
def places() -> dict[str, tuple[str, ...]]:
    """Every place of a round at which a process of a role can be told to die (``inside/planted.py``)."""
    written = ("before checkpoint", "written", "synced", "named", "after checkpoint")
    return {
        "agent": (
            "after need observation", "after put state", "sent state", "after need state", "after put action",
            "after put advantage", "sent advantage", "after critics", "after need grant", "after policy",
            "after put turn", "sent turn", "after put turn_done", *written, "after put done", "sent done",
        ),
        "sim": ("after put observation", "sent observation", "after need action", *written, "after put done"),
        "coordinator": (
            "after put grant", "sent grant", "after needany turn_done", "after need done", "log written", "log synced",
            "after checkpoint", "after put commit", "sent commit",
        ),
    }  # fmt: skip
