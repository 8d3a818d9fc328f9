"""Progress of a live run: a rich table on a terminal, plain lines elsewhere; results on stdout, the rest on stderr."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scalmarl.launch.run_directory import RunDirectory
from scalmarl.launch.summary import LAST_ROUNDS, agents_table, anchors, run_figures
from scalmarl.launch.voice import Patient, shell_words
from scalmarl.protocol.plan import Plan

REFRESH_S = 0.25
PLAIN_EVERY_S = 2.0


class Display:
    """What the launcher tells while it works; this base says nothing (a detached run)."""

    def show(self, snapshot: dict[str, Any]) -> None:
        """The state of all processes, many times a second."""

    def committed(self, line: dict[str, Any]) -> None:
        """A round was committed."""

    def note(self, text: str) -> None:
        """Something worth a line happened."""

    def finish(self, snapshot: dict[str, Any], state: str, reason: str) -> None:
        """The run ended."""

    def close(self) -> None:
        """Give the terminal back, however the run ended."""


class Foreground(Display):
    """Progress for somebody who watches: ``Live`` on a terminal, a line every few seconds otherwise."""

    def __init__(self, run: RunDirectory, plan: Plan, resumed_at: int) -> None:
        self._run, self._plan, self._resumed_at = run, plan, resumed_at
        self._out, self._err = Patient(), Patient(stderr=True)
        self._lines: deque[dict[str, Any]] = deque(maxlen=LAST_ROUNDS)
        self._notes: deque[str] = deque(maxlen=5)
        self._snapshot: dict[str, Any] = {}
        self._began = time.monotonic()
        self._shown = self._printed = 0.0
        self._live: Live | None = None
        if self._err.console.is_terminal:
            self._live = Live(console=self._err.console, auto_refresh=False, transient=True)

    def show(self, snapshot: dict[str, Any]) -> None:
        """Redraw, a few times a second."""
        self._snapshot = snapshot
        now = time.monotonic()
        if self._live is not None and now - self._shown >= REFRESH_S:
            self._shown = now
            try:
                self._live.start()
                self._live.update(self._picture(), refresh=True)
            except (OSError, SystemExit):
                self._live = None
                self._err.give_up()

    def committed(self, line: dict[str, Any]) -> None:
        """Remember the round; without a terminal, print a line now and then."""
        self._lines.append(line)
        now = time.monotonic()
        last = line["round"] + 1 == self._plan.rounds
        if self._live is None and (now - self._printed >= PLAIN_EVERY_S or last):
            self._printed = now
            self._err.print(self._text(), soft_wrap=True)

    def note(self, text: str) -> None:
        """Keep it under the table, or print it."""
        self._notes.append(text)
        if self._live is None:
            self._err.print(text, soft_wrap=True)

    def finish(self, snapshot: dict[str, Any], state: str, reason: str) -> None:
        """The summary, and the commands to try next."""
        if self._run.metrics.exists() and snapshot["round"] > 0:
            self._out.print(anchors(self._run, self._plan))
            self._out.print(agents_table(self._run, self._plan))
        ended = {"finished": "finished", "stopped": f"stopped ({reason})", "failed": f"FAILED: {reason}"}[state]
        took = time.monotonic() - self._began
        restarts = sum(process["restarts"] for process in snapshot["processes"])
        self._out.print(
            f"{ended} after {snapshot['round']} of {snapshot['rounds']} rounds in {took:.0f} s, "
            f"{restarts} restart{'' if restarts == 1 else 's'}",
            soft_wrap=True,
        )  # fmt: skip
        for command in self._next_commands(state):
            self._out.print(f"  {command}", soft_wrap=True)

    def close(self) -> None:
        """Take the table away, bring the cursor back, and leave the notes."""
        if self._live is not None:
            with contextlib.suppress(OSError):
                self._live.stop()
            self._live = None
            for text in self._notes:
                self._err.print(text, soft_wrap=True)

    def _next_commands(self, state: str) -> list[str]:
        where = ("--run", self._run.path)
        resume = ("scalmarl", "resume", self._run.path)
        if state == "failed":
            return [shell_words("scalmarl", command, *where) for command in ("events", "ps")] + [shell_words(*resume)]
        more = ("--rounds", 2 * self._plan.rounds) if state == "finished" else ()
        return [
            shell_words("scalmarl", "traffic", *where),
            shell_words("scalmarl", "digest", *where),
            shell_words("scalmarl", "logs", 3 if self._plan.agents > 3 else 0, *where),
            shell_words(*resume, *more),
        ]

    # ---- pieces ----

    def _figures(self) -> dict[str, str]:
        if not self._lines:
            return {"round": f"{self._snapshot.get('round', 0)}/{self._plan.rounds}"}
        rounds_here = self._lines[-1]["round"] + 1 - self._resumed_at
        round_s = (time.monotonic() - self._began) / max(rounds_here, 1)
        restarts = sum(process["restarts"] for process in self._snapshot.get("processes", []))
        return {**run_figures(self._plan, list(self._lines), round_s), "restarts": str(restarts)}

    def _text(self) -> str:
        waits = self._waits()
        return ", ".join(f"{name} {value}" for name, value in self._figures().items()) + (f"; {waits}" if waits else "")

    def _picture(self) -> Group:
        table = Table.grid(padding=(0, 2))
        for name, value in self._figures().items():
            table.add_row(Text(name, style="bold"), value)
        bar = Table.grid()
        bar.add_row(ProgressBar(total=self._plan.rounds, completed=self._snapshot.get("round", 0), width=60))
        states = [process["state"] for process in self._snapshot.get("processes", [])]
        running = Text(f"{states.count('running')} of {len(states)} processes running", style="dim")
        parts: list[RenderableType] = [bar, table, running]
        parts += [Text(text, style="yellow") for text in (self._waits(), *self._notes) if text]
        return Group(*parts)

    def _waits(self) -> str:
        """Who waits for whom, while a process is down or silent."""
        processes = self._snapshot.get("processes", [])
        away = [process for process in processes if process["state"] == "down" or process["silent_s"]]
        if not away:
            return ""
        names = ", ".join(f"{process['name']} ({process['state']})" for process in away)
        waiting = [f"{p['name']} waits for {p['waits_for']}" for p in processes if p["waits_for"] and p not in away]
        return f"{names} away; " + "; ".join(waiting[:2])
