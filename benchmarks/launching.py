"""Real launches for the demonstrations: watched, bounded in time, and gone at the end of their context."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from scalmarl.launch.control_socket import ask
from scalmarl.launch.errors import TimedOut, TrainingFailed
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.protocol.keys import process_name

WITHIN_S = 300.0
LEAVE_WITHIN_S = 20.0
LOOK_EVERY_S = 0.01

_TIED = """
import signal, sys
from scalmarl.protocol.lifeline import die_with_parent
die_with_parent(int(sys.argv.pop(1)), signal.SIGTERM)
from scalmarl.launch.entry import main
main()
"""
"""``scalmarl`` that is asked to stop when its demonstration is killed, so that none waits behind a wall for ever."""

Document = dict[str, Any]


class Launch:
    """One ``scalmarl launch``; a context, at whose end none of its processes is left."""

    def __init__(self, path: Path, arguments: list[str]) -> None:
        self.path = path
        sockets = path.parent / "t"
        sockets.mkdir(exist_ok=True)
        self._words = path.with_suffix(".txt")
        with self._words.open("wb") as words:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _TIED, str(os.getpid()), "launch", "--run", str(path), *arguments],
                stdin=subprocess.DEVNULL, stdout=words, stderr=words, start_new_session=True,
                env={**os.environ, "TMPDIR": str(sockets)},
            )  # fmt: skip

    def __enter__(self) -> Launch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(LEAVE_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def state(self) -> Document:
        """``run.json``, or an empty run before there is one."""
        try:
            state: Document = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            state = {"state": "starting", "round": 0, "processes": []}
        return state

    def wait_until(self, what: Callable[[], bool], words: str) -> None:
        """Until something holds; raises ``UserProblem`` when the run ends before, or when it takes too long."""
        deadline = time.monotonic() + WITHIN_S
        while not what():
            if self.process.poll() is not None:
                self.finish()
                raise TrainingFailed(f"{self.path} ended before {words}", "give it more --rounds")
            if time.monotonic() > deadline:
                raise TimedOut(f"{self.path}: not {words} within {WITHIN_S:.0f} s", f"its words: {self._tail()}")
            time.sleep(LOOK_EVERY_S)

    def wait_for_round(self, rounds: int) -> None:
        """Until so many rounds are committed."""
        self.wait_until(lambda: self.state()["round"] >= rounds, f"{rounds} rounds committed")

    def finish(self) -> Document:
        """Wait for the end; the document of ``scalmarl digest``."""
        try:
            code = self.process.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            raise TimedOut(f"{self.path} has not ended within {WITHIN_S:.0f} s", f"its words: {self._tail()}") from None
        if code != 0:
            raise TrainingFailed(f"the launch of {self.path} ended with code {code}", f"its words: {self._tail()}")
        command = [sys.executable, "-m", "scalmarl", "digest", "--run", str(self.path), "--json"]
        words = subprocess.run(command, capture_output=True, text=True, check=True, timeout=WITHIN_S).stdout
        document: Document = json.loads(words)
        return document

    def waits_for(self, process: int) -> str:
        """What a process of the live run waits for, by its last beat (five a second)."""
        status = ask(RunDirectory(self.path), {"command": "status"})
        waits_for: str = next(p["waits_for"] for p in status["processes"] if p["name"] == process_name(process))
        return waits_for

    def restarts(self) -> int:
        """How often a process of the run was started again."""
        return sum(process["restarts"] for process in self.state()["processes"])

    def _tail(self) -> str:
        return self._words.read_text(encoding="utf-8", errors="replace")[-2000:]
