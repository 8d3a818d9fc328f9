"""A real launch that is measured, or watched by whoever needs one: begun, waited for, stopped at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from scalmarl.launch.errors import TrainingFailed
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.protocol.lifeline import end_with

RUN_WITHIN_S = 300.0
Say = Callable[[str], None]
"""Told what is being measured."""


@dataclass(frozen=True)
class Bench:
    """One launch under measurement."""

    run: RunDirectory
    process: subprocess.Popen[bytes]
    started: float

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of a kind so far."""
        return [line for line in read_lines(self.run.events) if line["event"] == name]

    def tree(self) -> list[psutil.Process]:
        """The launcher and everything below it."""
        launcher = psutil.Process(self.process.pid)
        return [launcher, *launcher.children(recursive=True)]

    def failed(self) -> TrainingFailed:
        """What to raise when the launch has ended too early."""
        words = self.run.path.with_suffix(".txt").read_text(errors="replace")[-1000:]
        return TrainingFailed(f"the measured launch failed: {words}", "run the same launch by hand to see more")

    def wait_for_rounds(self, rounds: int) -> None:
        """Wait until so many rounds are recorded. Raises ``TrainingFailed``."""
        deadline = time.monotonic() + RUN_WITHIN_S
        while len(read_lines(self.run.metrics)) < rounds:
            if self.process.poll() not in (None, 0) or time.monotonic() > deadline:
                raise self.failed()
            time.sleep(0.02)


@contextlib.contextmanager
def launched(*arguments: str) -> Iterator[Bench]:
    """A real launch in a temporary directory; it is stopped and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="scalmarl-bench-") as directory:
        path = Path(directory) / "run"
        with begun(path, "launch", "--run", str(path), *arguments) as bench:
            yield bench


@contextlib.contextmanager
def begun(path: Path, *words: str, env: dict[str, str] | None = None) -> Iterator[Bench]:
    """A command that runs the run directory ``path``, its words kept beside it; it is stopped at the end."""
    with path.with_suffix(".txt").open("wb") as said:
        started = time.time()
        process = subprocess.Popen(
            [sys.executable, "-m", "scalmarl", *words], stdout=said, stderr=said, env=env,
            preexec_fn=partial(end_with, os.getpid()),
        )  # fmt: skip
    try:
        yield Bench(RunDirectory(path), process, started)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGINT)
        process.wait()
