"""The names of everything that a run writes, its lock, and how commands find it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from scalmarl.launch.errors import MachineNotFit, NoSuchRun, UsageProblem
from scalmarl.protocol.files import write_durably
from scalmarl.protocol.plan import Plan

RUNS = Path("runs")
_STATE = {"state", "round", "rounds", "processes", "control", "pid"}
SCHEMA = 1


class RunDirectory:
    """One run's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = path / "plan.json"
        self.config = path / "config.toml"
        self.origin = path / "config.origin.json"
        self.graph = path / "graph.json"
        self.state = path / "run.json"
        self.lock = path / "lock"
        self.metrics = path / "metrics.jsonl"
        self.traffic = path / "traffic.jsonl"
        self.events = path / "events.jsonl"
        self.log = path / "launcher.log"
        self.tensorboard = path / "tb"

    def read_state(self) -> dict[str, Any]:
        """``run.json``; a run that says running but holds no lock reads ``failed``. Raises ``NoSuchRun``."""
        try:
            state: dict[str, Any] = json.loads(self.state.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise NoSuchRun(
                f"{self.path} is no run directory (it has no run.json)",
                "name one with --run DIR; 'scalmarl launch' makes one under runs/",
            ) from None
        except (OSError, ValueError) as error:
            raise NoSuchRun(f"{self.state} cannot be read ({error})", "mend it or put back a copy") from None
        if not isinstance(state, dict) or not _STATE.issubset(state):
            raise NoSuchRun(f"{self.state} is damaged (it lacks what a run's state has)", "put back a copy")
        if state["state"] == "running" and not self.is_live():
            state["state"] = "failed"
            for process in state["processes"]:
                process["state"] = "exited"
        return state

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace ``run.json``."""
        write_durably(self.state, json.dumps(state, indent=1).encode())

    def is_live(self) -> bool:
        """Whether a launcher holds the lock."""
        try:
            with self.lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return False

    def take_lock(self) -> int:
        """Hold the lock; returns its descriptor, which an exec may inherit. Raises ``UsageProblem`` if it is taken."""
        descriptor = hold(self.lock)
        if descriptor is None:
            raise UsageProblem(
                f"{self.path} belongs to a live run",
                f"watch it with 'scalmarl ps --run {self.path}', end it with 'scalmarl stop --run {self.path}', "
                f"or choose another --run",
            )
        return descriptor


def hold(lock: Path) -> int | None:
    """Hold a lock file, made if need be; returns its descriptor, ``None`` if somebody else holds it. Raises
    ``OSError`` where it cannot be opened."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def create(path: Path | None, label: str) -> RunDirectory:
    """A new run directory; without a name, ``runs/TIME_LABEL`` with ``runs/latest`` pointing to it."""
    if path is not None:
        if path.exists():
            live = RunDirectory(path).is_live()
            raise UsageProblem(
                f"the run directory {path} exists already" + (" and belongs to a live run" if live else ""),
                f"choose another --run, or go on with it: scalmarl resume {path}",
            )
        try:
            _make(path)
        except FileExistsError:
            raise UsageProblem(f"the run directory {path} exists already", "choose another --run") from None
        return RunDirectory(path)
    if not RUNS.is_symlink() and (RUNS / "latest").exists() and not (RUNS / "latest").is_symlink():
        raise UsageProblem(f"{RUNS / 'latest'} is not the link that scalmarl makes", "move it away, or give --run DIR")
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for suffix in ("", *(f"_{n}" for n in range(2, 100))):
        named = RUNS / f"{stamp}_{label}{suffix}"
        if not named.exists():
            with contextlib.suppress(FileExistsError):
                _make(named)
                point_latest(named)
                return RunDirectory(named)
    raise UsageProblem(f"too many runs were started in the second {stamp}", "name one with --run DIR")


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise
    except OSError as error:
        raise MachineNotFit(
            f"the run directory {path} cannot be made ({error.strerror})",
            "choose a --run on a disk that you can write to",
        ) from None


def point_latest(named: Path) -> None:
    """Let the link ``latest`` beside a run name it."""
    link = named.parent / "latest"
    beside = named.parent / f".latest.{os.getpid()}"
    beside.symlink_to(named.name)
    beside.replace(link)


def find(path: Path | None) -> RunDirectory:
    """The run that a command means: the named one, else the live one, else the latest. Raises ``NoSuchRun``."""
    if path is not None:
        return RunDirectory(path)
    live = [run for run in _all_runs() if run.is_live()]
    if len(live) == 1:
        return live[0]
    if len(live) > 1:
        raise UsageProblem(
            f"{len(live)} runs are live: {', '.join(str(run.path) for run in live)}", "say which with --run DIR"
        )
    latest = RUNS / "latest"
    if latest.is_symlink() and not latest.exists():
        raise NoSuchRun(
            f"{latest} points to {os.readlink(latest)}, which is not there",
            "name a run with --run DIR; see: scalmarl runs list",
        )
    if not latest.exists() or not latest.is_symlink():
        raise NoSuchRun("there is no run in runs/", "start one with 'scalmarl launch', or name one with --run DIR")
    return RunDirectory(RUNS / os.readlink(latest))


def read_plan(run: RunDirectory) -> Plan:
    """The plan of an existing run. Raises ``NoSuchRun``."""
    try:
        return Plan.from_data(json.loads(run.plan.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        raise NoSuchRun(
            f"{run.path} is no run directory (it has no plan.json)", "name one with --run DIR, or put back a copy"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoSuchRun(
            f"{run.plan} is damaged, or of another version of scalmarl ({error!r})",
            "put back a copy, or use the version that run.json names",
        ) from None


def _all_runs() -> Iterator[RunDirectory]:
    if RUNS.is_dir():
        for path in sorted(RUNS.iterdir()):
            if not path.is_symlink() and (path / "run.json").exists():
                yield RunDirectory(path)
