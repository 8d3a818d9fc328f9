"""What the bits of a run depend on, beside its configuration."""

from __future__ import annotations

import platform
from importlib.metadata import version

_PACKAGES = ("scalmarl", "torch", "numpy", "mujoco", "pyzmq")


def versions() -> dict[str, str]:
    """Name -> version of Python, of the packages that compute, and the processor's architecture."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "machine": platform.machine(),
    }
