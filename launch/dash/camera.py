"""The page's camera: a process of its own draws the states that the sim server has kept; physics never renders."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import threading
import time
from typing import IO, Any

from scalmarl.launch.errors import MachineNotFit
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.launch.sim_tools import GRAPHICS_CURE, command_of, environment_of_world, graphics_to_try
from scalmarl.protocol.plan import Plan

FIRST_WITHIN_S = 60.0
ANSWER_WITHIN_S = 20.0
_CURE = f"{GRAPHICS_CURE}; and the extra 'plot'"


class Camera:
    """Draws one picture at a time, for whoever asks; made at the first question. May be used by several threads."""

    def __init__(self, run: RunDirectory, plan: Plan) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._why_not = "a world from outside draws itself" if plan.task.maker else ""
        self._last: tuple[int, bytes] | None = None

    def picture(self, round: int) -> bytes:
        """A JPEG of copy 0 at the start of a round whose world is kept. Raises ``MachineNotFit``."""
        with self._lock:
            if self._last and self._last[0] == round:
                return self._last[1]
            if self._why_not:
                raise MachineNotFit(f"there is no picture: {self._why_not}", _CURE)
            picture = self._ask(round) if self._process else self._begin(round)
            self._last = round, picture
            return picture

    def _begin(self, round: int) -> bytes:
        """The first picture, by the first graphics library that works."""
        said = ""
        for graphics in graphics_to_try():
            with tempfile.TemporaryFile() as words:
                self._start(graphics, words)
                try:
                    return self._ask(round, FIRST_WITHIN_S)
                except MachineNotFit as problem:
                    if self._process is not None:
                        raise
                    words.seek(0)
                    lines = words.read().decode(errors="replace").strip().splitlines()
                    said = lines[-1] if lines else problem.what
        self._why_not = f"no graphics library works here (the last said: {said})"
        raise MachineNotFit(self._why_not, _CURE)

    def _start(self, graphics: str, words: IO[bytes]) -> None:
        self._process = subprocess.Popen(
            [*command_of("scalmarl.sim_server.camera"), str(self._run.path)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=words, env=environment_of_world(graphics), bufsize=0,
        )  # fmt: skip

    def _ask(self, round: int, within_s: float = ANSWER_WITHIN_S) -> bytes:
        """Raises ``MachineNotFit``; where the process is at fault, it is ended."""
        try:
            assert self._process is not None
            assert self._process.stdin is not None
            self._process.stdin.write(f"{round}\n".encode())
            answer, rest = self._answer(time.monotonic() + within_s)
        except (OSError, ValueError) as error:
            self._end()
            raise MachineNotFit(f"the camera's process has ended or hangs ({error})", "ask again") from None
        if "error" in answer:
            raise MachineNotFit(f"there is no picture of round {round}: {answer['error']}", "choose another round")
        return rest

    def _answer(self, deadline: float) -> tuple[dict[str, Any], bytes]:
        data = b""
        while b"\n" not in data:
            data += self._read(deadline)
        line, _, rest = data.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        while len(rest) < answer.get("bytes", 0):
            rest += self._read(deadline)
        return answer, rest

    def _read(self, deadline: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise OSError("no answer in time")
        data = os.read(pipe, 1 << 16)
        if not data:
            raise OSError("no answer")
        return data

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()
