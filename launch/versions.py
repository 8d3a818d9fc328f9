"""What the bits of a run depend on, beside its configuration."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PACKAGES = ("scalmarl", "torch", "numpy", "mujoco", "pyzmq")
GIT_WITHIN_S = 5.0


def versions() -> dict[str, str]:
    """Name -> version of Python, of the packages that compute, and the processor's architecture."""
    return {
        "python": platform.python_version(),
        **_of_packages(),
        "machine": platform.machine(),
    }


@functools.cache
def _of_packages() -> Mapping[str, str]:
    # Reading what is installed takes some 10 ms, and the launcher asks whenever it writes its state.
    return {name: version(name) for name in _PACKAGES}


def changed_versions(state: dict[str, Any]) -> str:
    """What differs now from a run's state: ``torch 2.12.0 -> 2.13.0, ...``; '' where nothing does."""
    before, now = state.get("versions"), versions()
    if not isinstance(before, dict):
        return ""
    changed = [name for name in now if before.get(name) not in (None, now[name])]
    return ", ".join(f"{name} {before[name]} -> {now[name]}" for name in changed)


@functools.cache
def commit() -> str:
    """The git commit of this code, ``-dirty`` behind it where files differ; '' where it is not in a work tree of its
    own, as after an ordinary install."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return ""
    words = [
        "git",
        "--no-optional-locks",
        "-C",
        str(root),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=GIT_WITHIN_S, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def hardware() -> str:
    """Processor, and the cores of it that this process may use."""
    return f"{len(os.sched_getaffinity(0))} cores, {processor()}"


@functools.cache
def processor() -> str:
    """The processor's name, as the kernel tells it, or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), platform.machine())
