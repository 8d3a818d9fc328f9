"""Tools that compute, each in a process of its own that ends with this one: the command line computes nothing.

Most are the sim server's; those that bring agents and worlds together in one process are the benchmarks'.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import scalmarl
from scalmarl.launch.errors import MachineNotFit, TimedOut, UsageProblem
from scalmarl.protocol.lifeline import LAUNCHER_VARIABLE

Folder = Literal["sim_server", "launch.bench"]
WORLD_NEEDS = "numpy pyzmq msgpack"
"""What another interpreter must have, besides the world itself."""
GRAPHICS = ("egl", "osmesa", "glfw")
"""Tried in this order, unless MUJOCO_GL names one."""
GRAPHICS_CURE = "install Mesa's EGL or OSMesa: apt-get install libegl1 libgl1-mesa-dri libopengl0, or libosmesa6"


def graphics_to_try() -> tuple[str, ...]:
    """MuJoCo's graphics libraries, as MUJOCO_GL names them."""
    named = os.environ.get("MUJOCO_GL")
    return (named,) if named else GRAPHICS


def command_of(module: str, python: str | None = None) -> list[str]:
    """How a module of ours is run: by this interpreter, or by another ``python``, which need not know our package."""
    if python is None:
        return [sys.executable, "-m", module]
    return [python, str(Path(scalmarl.__file__).parent / "sim_server" / "elsewhere.py"), module]


def environment_of_world(graphics: str = "disabled") -> dict[str, str]:
    """What a process that steps a world finds around it: no graphics, and sets in the same order in every life."""
    return {
        **os.environ, "MUJOCO_GL": graphics, "PYTHONHASHSEED": "0", LAUNCHER_VARIABLE: str(os.getpid()),
    }  # fmt: skip


def ask(
    tool: str,
    *arguments: str,
    about: bytes = b"",
    folder: Folder = "sim_server",
    within_s: float | None = None,
    python: str | None = None,
) -> bytes:
    """What ``PYTHON -m scalmarl.FOLDER.TOOL ARGUMENTS`` answers; ``about`` is its standard input. Raises
    ``MachineNotFit``, ``UsageProblem`` for a ``python`` that is none and, after ``within_s``, ``TimedOut``."""
    try:
        done = run_tool(tool, arguments, about, folder=folder, within_s=within_s, python=python)
    except OSError as error:
        if python is None:
            raise
        raise UsageProblem(
            f"the world's interpreter {python} cannot be run ({error.strerror})", "name a Python, 3.9 or newer"
        ) from None
    except subprocess.TimeoutExpired:
        raise TimedOut(
            f"scalmarl.{folder}.{tool} was not through after {within_s:g} s", "ask for fewer rounds or copies"
        ) from None
    if done.returncode != 0:
        cure = f"it needs: {python} -m pip install {WORLD_NEEDS}" if python else "see: scalmarl doctor"
        raise MachineNotFit(f"scalmarl.{folder}.{tool} failed: {last_words(done)}", cure)
    return done.stdout


def run_tool(
    tool: str,
    arguments: Sequence[str],
    about: bytes,
    *,
    graphics: str = "disabled",
    folder: Folder = "sim_server",
    within_s: float | None = None,
    python: str | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """The same, whatever comes of it; ``graphics`` is MuJoCo's library. Raises ``subprocess.TimeoutExpired``."""
    command = [*command_of(f"scalmarl.{folder}.{tool}", python), *arguments]
    environment = environment_of_world(graphics)
    return subprocess.run(command, input=about, capture_output=True, check=False, env=environment, timeout=within_s)


def last_words(done: subprocess.CompletedProcess[bytes]) -> str:
    """The last line that a tool complained with."""
    return last_words_of(done.stderr, done.returncode)


def last_words_of(stderr: bytes, code: int | None) -> str:
    """The last line of what a tool complained with before it ended with a code (``None``: it has not)."""
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"no word why, exit code {code}"
