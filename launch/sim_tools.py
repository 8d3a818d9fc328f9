"""The sim server's tools, each in a process of its own that ends with this one: the command line computes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from scalmarl.launch.errors import MachineNotFit
from scalmarl.protocol.lifeline import LAUNCHER_VARIABLE


def ask(tool: str, *arguments: str, about: bytes = b"") -> bytes:
    """What ``python -m scalmarl.sim_server.TOOL ARGUMENTS`` answers; ``about`` is its standard input. Raises
    ``MachineNotFit``."""
    done = run_tool(tool, arguments, about)
    if done.returncode != 0:
        raise MachineNotFit(f"scalmarl.sim_server.{tool} failed: {last_words(done)}", "see: scalmarl doctor")
    return done.stdout


def run_tool(
    tool: str, arguments: Sequence[str], about: bytes, *, graphics: str = "disabled", within_s: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    """The same, whatever comes of it; ``graphics`` is MuJoCo's library. Raises ``subprocess.TimeoutExpired``."""
    command = [sys.executable, "-m", f"scalmarl.sim_server.{tool}", *arguments]
    environment = {**os.environ, "MUJOCO_GL": graphics, LAUNCHER_VARIABLE: str(os.getpid())}
    return subprocess.run(command, input=about, capture_output=True, check=False, env=environment, timeout=within_s)


def last_words(done: subprocess.CompletedProcess[bytes]) -> str:
    """The last line that a tool complained with."""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"no word why, exit code {done.returncode}"
