"""Deaths and freezes on purpose: a schedule that a seed decides, and the campaign that carries it out on a live run.

Signals go through the launcher, which holds every process by a pidfd: a process that died meanwhile is never mistaken
for another one with its number. What comes of a signal is the launcher's business, as if it had come from outside.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scalmarl.launch.control_socket import ask
from scalmarl.launch.errors import NoSuchRun, TimedOut
from scalmarl.launch.run_directory import RunDirectory

LOOK_EVERY_S = 0.1
END_WITHIN_S = 10.0
KILL, FREEZE = "kill", "freeze"


@dataclass(frozen=True)
class Blow:
    """One fault: when (s after the beginning), which, and on whom (a number in [0, 1) that picks a process)."""

    at: float
    kind: str
    pick: float


def schedule(seed: int, kill_every: float | None, freeze_every: float | None) -> Iterator[Blow]:
    """Blows without end, in order of time: two Poisson processes with these mean gaps (s); ``None``: none of them."""
    gaps = {kind: every for kind, every in ((KILL, kill_every), (FREEZE, freeze_every)) if every is not None}
    streams = {kind: np.random.default_rng([seed, (KILL, FREEZE).index(kind)]) for kind in gaps}

    def following(kind: str, after: float) -> Blow:
        return Blow(after + float(streams[kind].exponential(gaps[kind])), kind, float(streams[kind].random()))

    due = {kind: following(kind, 0.0) for kind in gaps}
    while due:
        blow = min(due.values(), key=lambda blow: blow.at)
        yield blow
        due[blow.kind] = following(blow.kind, blow.at)


@dataclass
class Campaign:
    """Carries blows out on one run until it ends. ``said`` hears every blow: (seconds, kind, process, pid)."""

    run: RunDirectory
    roles: Sequence[str]
    freeze_for: float
    said: Callable[[float, str, str, int], None]
    done: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(kind, role) -> how many."""
    _frozen: dict[str, float] = field(default_factory=dict)

    def carry_out(self, blows: Iterator[Blow], seconds: float | None) -> None:
        """Until the run ends, or for so many seconds; whoever is frozen is thawed at the end. Raises ``NoSuchRun`` when
        the run is not live at the beginning, ``TimedOut`` when its launcher does not answer."""
        # A launcher that is only starting answers late; the clock starts with its answer.
        self._victims()
        began = time.monotonic()
        try:
            for blow in blows:
                if not self._wait(began, blow.at, seconds):
                    return
                victims = self._victims()
                name, role = victims[int(blow.pick * len(victims))]
                if blow.kind == FREEZE:
                    # Noted first: an interruption must not leave it frozen.
                    self._frozen[name] = time.monotonic() + self.freeze_for
                pid = self._send(name, "SIGKILL" if blow.kind == KILL else "SIGSTOP")
                if pid is not None:
                    self.done[blow.kind, role] += 1
                    self.said(time.monotonic() - began, blow.kind, name, pid)
        except NoSuchRun:
            # A launcher that ends stops answering a little before it lets go of the run.
            deadline = time.monotonic() + END_WITHIN_S
            while self.run.is_live():
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_EVERY_S)
        finally:
            for name in list(self._frozen):
                with contextlib.suppress(NoSuchRun, TimedOut):
                    self._thaw(name)

    def _wait(self, began: float, until: float, seconds: float | None) -> bool:
        """Wait for a time, thawing who is due; ``False`` if the campaign's own time ends before it. Raises
        ``NoSuchRun`` as soon as the run ends."""
        end = until if seconds is None else min(until, seconds)
        while True:
            now = time.monotonic()
            for name in [name for name, due in self._frozen.items() if due <= now]:
                self._thaw(name)
            left = began + end - now
            if left <= 0.0:
                return end == until
            next_thaw = min((due - now for due in self._frozen.values()), default=left)
            time.sleep(max(0.0, min(LOOK_EVERY_S, left, next_thaw)))
            if not self.run.is_live():
                raise NoSuchRun(f"{self.run.path} has ended", "")

    def _victims(self) -> list[tuple[str, str]]:
        """Name and role of every process of the chosen roles."""
        processes: list[dict[str, Any]] = ask(self.run, {"command": "status"})["processes"]
        return [(process["name"], process["role"]) for process in processes if process["role"] in self.roles]

    def _thaw(self, name: str) -> None:
        self._send(name, "SIGCONT")
        del self._frozen[name]

    def _send(self, name: str, signal: str) -> int | None:
        pid: int | None = ask(self.run, {"command": "signal", "process": name, "signal": signal, "by": "chaos"})["pid"]
        return pid
