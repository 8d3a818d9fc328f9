"""One process of a run as the launcher sees it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scalmarl.launch.children import Child
from scalmarl.protocol.keys import Role, process_name, role_of
from scalmarl.protocol.round_files import process_directory


def lives(directory: Path) -> list[int]:
    """The numbers of a process's lives that left a log, ascending."""
    found = (re.fullmatch(r"log\.(\d+)\.txt", path.name) for path in directory.glob("log.*.txt"))
    return sorted(int(match[1]) for match in found if match)


@dataclass
class Watched:
    """States: starting, running, restarting, down (held by ``kill``, or absent), exited. ``return_after``: an absent
    agent takes part again once a round after this one is committed."""

    process: int
    state: str = "starting"
    child: Child | None = None
    pid: int | None = None
    incarnation: int = -1
    restarts: int = 0
    beat_at: float = 0.0
    beat: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    suspected: bool = False
    start_at: float | None = None
    died_at: float | None = None
    hold: bool = False
    is_missed: bool = False
    return_after: int | None = None

    @property
    def name(self) -> str:
        """``agent/3``, ``sim`` or ``coordinator``."""
        return process_name(self.process)

    @property
    def place(self) -> tuple[int, int, str]:
        """Round, step and phase of the last beat or failure."""
        return self.beat.get("round", -1), self.beat.get("step", 0), self.beat.get("phase", "starting")

    def begin_life(self, run_directory: Path) -> None:
        """Forget the last life. A life's number is never used twice in a run, so logs of earlier launches stay."""
        self.incarnation = max([self.incarnation, *lives(process_directory(run_directory, self.process))]) + 1
        self.state = "starting" if self.died_at is None else "restarting"
        self.start_at, self.beat, self.beat_at = None, {}, time.monotonic()
        self.suspected, self.is_missed, self.error, self.return_after = False, False, "", None

    def is_absent(self) -> None:
        """The run goes on without it: it has no life until it returns."""
        self.state, self.start_at, self.died_at, self.hold = "down", None, None, True
        self.beat, self.suspected, self.is_missed = {"phase": "absent"}, False, False

    def line(self, ended: bool) -> dict[str, Any]:
        """The process as ``ps`` and ``run.json`` show it."""
        role = role_of(self.process)
        return {
            "name": self.name,
            "role": role.value,
            "index": self.process if role is Role.AGENT else None,
            "pid": self.pid,
            "state": "exited" if ended and self.state != "down" else self.state,
            "restarts": self.restarts,
            "round": self.beat.get("round"),
            "phase": self.beat.get("phase"),
            "waits_for": "" if ended else self.beat.get("waits_for", ""),
            "silent_s": round(time.monotonic() - self.beat_at, 1) if self.suspected else None,
            "dropped": self.beat.get("dropped", {}),
            "refused": self.beat.get("refused", 0),
        }
