"""What the command line may ask of a live launcher, over its control socket: status, stop, kill, restart, signal."""

from __future__ import annotations

import signal
from typing import Any, Protocol

from scalmarl.launch.errors import UsageProblem
from scalmarl.launch.records import note_event
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.launch.watched import Watched
from scalmarl.protocol.keys import process_id

SIGNALS = ("SIGKILL", "SIGSTOP", "SIGCONT")


class Launcher(Protocol):
    """What a request is carried out on (``launch.supervisor.Supervisor``)."""

    run_directory: RunDirectory
    watched: dict[int, Watched]

    def snapshot(self) -> dict[str, Any]:
        """The state of all processes."""

    def ask_to_stop(self, reason: str) -> None:
        """End at the next commit."""

    def bring_back(self, watched: Watched) -> None:
        """Start a process that is down; kill one that runs first."""


def answer(launcher: Launcher, request: dict[str, Any]) -> dict[str, Any]:
    """Carry out a request and answer it. Raises ``UsageProblem``."""
    command = request["command"]
    if command == "status":
        return launcher.snapshot()
    if command == "stop":
        launcher.ask_to_stop("stop")
        return {"stopping": True}
    if command not in ("kill", "restart", "signal"):
        raise UsageProblem(f"unknown request {command!r}", "use the scalmarl command of this version")
    watched = _named(launcher, request["process"])
    if command == "kill":
        return _kill(launcher, watched)
    if command == "signal":
        return _signal(launcher, watched, request["signal"], request["by"])
    launcher.bring_back(watched)
    return {"process": watched.name}


def _named(launcher: Launcher, name: str) -> Watched:
    try:
        return launcher.watched[process_id(name)]
    except (ValueError, KeyError, AttributeError):
        raise UsageProblem(
            f"no process {name!r} in this run",
            f"it has agents 0 to {len(launcher.watched) - 3}, sim and coordinator; see: scalmarl ps",
        ) from None


def _kill(launcher: Launcher, watched: Watched) -> dict[str, Any]:
    """Kill a process and leave it down."""
    watched.return_after = None
    if watched.state == "down":
        return {"process": watched.name, "pid": None}
    watched.hold, watched.start_at = True, None
    note_event(launcher.run_directory, "hold", watched.name, pid=watched.pid)
    if watched.child is not None:
        watched.child.kill()
    else:
        watched.state = "down"
    return {"process": watched.name, "pid": watched.pid}


def _signal(launcher: Launcher, watched: Watched, name: str, by: str) -> dict[str, Any]:
    """Send a signal to a process that lives; what comes of it is handled as if it had come from outside."""
    if name not in SIGNALS:
        raise UsageProblem(f"no signal {name!r} is sent on request", f"one of {', '.join(SIGNALS)}")
    if watched.child is None:
        return {"process": watched.name, "pid": None}
    watched.child.signal(signal.Signals[name])
    note_event(launcher.run_directory, "signal", watched.name, pid=watched.pid, signal=name, by=by)
    return {"process": watched.name, "pid": watched.pid}
