"""Running the cells of a grid: each a real ``scalmarl launch`` or ``resume``, some at a time, until all are finished,
the time is up, or somebody asks to stop. One selector, no thread."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from scalmarl.coordinator.commit_log import log_path, read_commits
from scalmarl.launch.comparison.grid import Cell, Grid
from scalmarl.launch.entry import ONE_THREAD
from scalmarl.launch.errors import UserProblem
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import read_plan
from scalmarl.launch.run_statistics import measure
from scalmarl.launch.stop_requests import StopRequests
from scalmarl.launch.summary import number_text
from scalmarl.protocol.errors import DamagedFile
from scalmarl.protocol.lifeline import end_with

TICK_S = 0.5
LIVE_WITHIN_S = 30.0
"""How long a cell that somebody else runs is waited for."""
LAST_WORDS = 3
Standing = Literal["new", "begun", "finished", "live"]


def standing(grid: Grid, cell: Cell) -> tuple[Standing, int]:
    """How far a cell is, and how many rounds it has committed. Raises ``NoSuchRun`` where its state is damaged."""
    run = grid.run(cell)
    if run.is_live():
        committed = 0
        with contextlib.suppress(UserProblem):
            committed = int(run.read_state()["round"])
        return "live", committed
    if not run.state.exists():
        return "new", 0
    state = run.read_state()
    committed = int(state["round"])
    with contextlib.suppress(DamagedFile):
        # A launcher that was killed right after the last commit could not say that it had finished.
        committed = len(read_commits(log_path(run.path))[0])
    return ("finished" if committed >= grid.rounds else "begun"), committed


@dataclass
class _Running:
    cell: Cell
    process: subprocess.Popen[bytes]
    pidfd: int
    began: float
    committed: int


@dataclass
class Outcome:
    """What came of it: how many are finished, those that failed with their last words, and why it ended early."""

    finished: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    signal: signal.Signals | None = None
    out_of_time: bool = False


class Sweep:
    """Runs the cells of a grid that are not finished yet."""

    def __init__(
        self, grid: Grid, jobs: int, seconds: float | None, window: float, requests: StopRequests,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._grid, self._jobs, self._window, self._say = grid, jobs, window, say
        self._requests, self._selector = requests, selectors.DefaultSelector()
        self._began = time.monotonic()
        self._until = None if seconds is None else self._began + seconds
        self._cells = grid.cells()
        self._pending: list[Cell] = []
        self._running: list[_Running] = []
        self._rounds_here, self._rounds_left = 0, 0
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """Run them; returns once none of our processes is left."""
        self._sort_out()
        self._selector.register(self._requests, selectors.EVENT_READ)
        try:
            while self._running or (self._pending and not self._is_ending()):
                while self._pending and len(self._running) < self._jobs and not self._is_ending():
                    if not self._start_next():
                        break
                for key, _ in self._selector.select(TICK_S):
                    if isinstance(key.data, _Running):
                        self._end(key.data)
                self._heed()
        finally:
            for running in self._running:
                self._signal(running, signal.SIGTERM)
                running.process.wait()
        return self._outcome

    def _is_ending(self) -> bool:
        return self._outcome.signal is not None or self._outcome.out_of_time

    def _sort_out(self) -> None:
        for cell in self._cells:
            try:
                how, committed = standing(self._grid, cell)
            except UserProblem as problem:
                self._fail(cell, f"{problem.what}; {problem.hint}")
                continue
            if how == "finished":
                self._outcome.finished += 1
            else:
                self._pending.append(cell)
                self._rounds_left += max(self._grid.rounds - committed, 0)
        if self._outcome.finished:
            self._say(f"{self._outcome.finished} of {len(self._cells)} cells are finished already")

    def _heed(self) -> None:
        """Signals, and the end of the time that we have."""
        for number in self._requests.take():
            # The first is asked for at the next commit; a second one ends a cell at its last commit.
            again = signal.SIGINT if number == signal.SIGINT or not self._is_ending() else number
            self._outcome.signal = self._outcome.signal or number
            self._stop_all(f"{number.name}: the running cells end at their next commit", again)
        if self._until is not None and time.monotonic() >= self._until and not self._is_ending():
            self._outcome.out_of_time = True
            self._stop_all("the time is up: the running cells end at their next commit", signal.SIGINT)

    def _stop_all(self, words: str, number: signal.Signals) -> None:
        if self._running:
            self._say(words)
        for running in self._running:
            self._signal(running, number)

    def _signal(self, running: _Running, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(running.pidfd, number)

    # ---- one cell ----

    def _start_next(self) -> bool:
        """Start the first pending cell that can be started; ``False`` where all are somebody else's for now."""
        for cell in tuple(self._pending):
            try:
                how, committed = standing(self._grid, cell)
            except UserProblem as problem:
                self._pending.remove(cell)
                self._fail(cell, f"{problem.what}; {problem.hint}")
                continue
            if how == "live":
                if time.monotonic() - self._began > LIVE_WITHIN_S and not self._running:
                    self._pending.remove(cell)
                    path = self._grid.run(cell).path
                    self._fail(cell, f"it belongs to a live run; end that with: scalmarl stop --run {path}")
                continue
            self._pending.remove(cell)
            if how == "finished":
                self._outcome.finished += 1
                continue
            self._start(cell, how, committed)
            return True
        return False

    def _start(self, cell: Cell, how: Standing, committed: int) -> None:
        run, me = self._grid.run(cell), os.getpid()
        words = self._grid.launch_words(cell)
        if how == "begun":
            words = ["resume", str(run.path), "--rounds", str(self._grid.rounds)]
        else:
            # A launch that was killed before it wrote a state has left an empty directory.
            shutil.rmtree(run.path, ignore_errors=True)
        self._grid.log(cell).parent.mkdir(parents=True, exist_ok=True)
        with self._grid.log(cell).open("ab") as log:
            # A session of its own: Ctrl-C reaches the cell once, by us.
            process = subprocess.Popen(
                [sys.executable, "-m", "scalmarl", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, env={**os.environ, **ONE_THREAD}, preexec_fn=lambda: end_with(me),
            )  # fmt: skip
        running = _Running(cell, process, os.pidfd_open(process.pid), time.monotonic(), committed)
        self._running.append(running)
        self._selector.register(running.pidfd, selectors.EVENT_READ, running)
        begins = f"goes on after round {committed}" if how == "begun" else "starts"
        self._say(f"{self._place()} {cell.name} {begins}, {self._grid.rounds} rounds")

    def _end(self, running: _Running) -> None:
        code = running.process.wait()
        self._selector.unregister(running.pidfd)
        os.close(running.pidfd)
        self._running.remove(running)
        cell, took = running.cell, duration_words(time.monotonic() - running.began)
        try:
            how, committed = standing(self._grid, cell)
        except UserProblem as problem:
            self._fail(cell, f"{problem.what}; {problem.hint}")
            return
        done = max(committed - running.committed, 0)
        self._rounds_here += done
        self._rounds_left = max(self._rounds_left - done, 0)
        if how == "finished":
            self._outcome.finished += 1
            self._say(f"{self._place()} {cell.name} finished in {took}, {self._figures(cell)}{self._remaining()}")
        elif code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            self._outcome.stopped.append(cell.name)
            self._say(f"{self._place()} {cell.name} stopped after {took}, {committed} of {self._grid.rounds} rounds")
        else:
            self._rounds_left = max(self._rounds_left - (self._grid.rounds - committed), 0)
            self._fail(cell, self._last_words(cell, code))

    def _fail(self, cell: Cell, why: str) -> None:
        self._outcome.failed[cell.name] = why
        self._say(f"{self._place()} {cell.name} failed: {why}")

    def _last_words(self, cell: Cell, code: int) -> str:
        text = self._grid.log(cell).read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        said = [line for line in lines[-20:] if line.startswith("error: ")]
        words = said[-1:] or lines[-LAST_WORDS:]
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"{how}, {' / '.join(words) or 'without a word'}; all of it: {self._grid.log(cell)}"

    # ---- words ----

    def _place(self) -> str:
        return f"[{self._outcome.finished}/{len(self._cells)}]"

    def _figures(self, cell: Cell) -> str:
        run = self._grid.run(cell)
        found = measure(read_lines(run.metrics), self._grid.rounds, self._window)
        limits = sorted({limit for own in read_plan(run).task.cost_limits for limit in own})
        limit = f"{limits[0]:g}" + (f" to {limits[-1]:g}" if len(limits) > 1 else "")
        value = {name: number_text(number) for name, number in found.items()}
        return f"return {value['return']}, cost {value['cost']}, largest {value['largest_cost']} of {limit}"

    def _remaining(self) -> str:
        here = self._rounds_here
        for running in self._running:
            with contextlib.suppress(UserProblem):
                here += max(standing(self._grid, running.cell)[1] - running.committed, 0)
        left = self._rounds_left - (here - self._rounds_here)
        if not here or left <= 0:
            return ""
        return f"; about {duration_words(left * (time.monotonic() - self._began) / here)} left"


def duration_words(seconds: float) -> str:
    """``12 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
