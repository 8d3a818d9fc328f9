"""Entering a network namespace by its name, as ``ip netns`` gives names.

It moves the calling thread only, and threads that it starts afterwards; a socket stays where it was made. So a process
enters before its first ZeroMQ context.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000


def enter_network_namespace(name: str) -> None:
    """Move this thread into a namespace. Raises ``OSError`` with the namespace's path: it is not there, or not root."""
    path = NAMESPACES / name
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # os.setns comes with Python 3.12 only.
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(namespace)
