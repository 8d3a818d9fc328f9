"""Tools that compute, each in a process of its own that ends with this one: the command line computes nothing.

Most are the sim server's; those that bring agents and worlds together in one process, for measurements, are launch's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Literal

from scalmarl.launch.errors import MachineNotFit, TimedOut
from scalmarl.protocol.lifeline import LAUNCHER_VARIABLE

Folder = Literal["sim_server", "launch"]


def ask(
    tool: str, *arguments: str, about: bytes = b"", folder: Folder = "sim_server", within_s: float | None = None
) -> bytes:
    """What ``python -m scalmarl.FOLDER.TOOL ARGUMENTS`` answers; ``about`` is its standard input. Raises
    ``MachineNotFit`` and, after ``within_s``, ``TimedOut``."""
    try:
        done = run_tool(tool, arguments, about, folder=folder, within_s=within_s)
    except subprocess.TimeoutExpired:
        raise TimedOut(
            f"scalmarl.{folder}.{tool} was not through after {within_s:g} s", "ask for fewer rounds or copies"
        ) from None
    if done.returncode != 0:
        raise MachineNotFit(f"scalmarl.{folder}.{tool} failed: {last_words(done)}", "see: scalmarl doctor")
    return done.stdout


def run_tool(
    tool: str,
    arguments: Sequence[str],
    about: bytes,
    *,
    graphics: str = "disabled",
    folder: Folder = "sim_server",
    within_s: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """The same, whatever comes of it; ``graphics`` is MuJoCo's library. Raises ``subprocess.TimeoutExpired``."""
    command = [sys.executable, "-m", f"scalmarl.{folder}.{tool}", *arguments]
    environment = {**os.environ, "MUJOCO_GL": graphics, LAUNCHER_VARIABLE: str(os.getpid())}
    return subprocess.run(command, input=about, capture_output=True, check=False, env=environment, timeout=within_s)


def last_words(done: subprocess.CompletedProcess[bytes]) -> str:
    """The last line that a tool complained with."""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"no word why, exit code {done.returncode}"
