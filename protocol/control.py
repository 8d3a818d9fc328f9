"""The channel between the launcher and one of its processes: whole MessagePack messages over an inherited socket pair.

Keys, endpoints and stop requests come down it, beats and failures go up it; never a training value.
"""

from __future__ import annotations

import contextlib
import select
import socket
from typing import Any

import msgpack

_LARGEST = 1 << 20


class Closed(Exception):
    """The other end is gone."""


class ControlChannel:
    """One end of the pair. Messages are dictionaries with a ``type``."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        end.setblocking(False)
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST)

    @staticmethod
    def pair() -> tuple[socket.socket, socket.socket]:
        """A new pair of ends; each keeps message boundaries."""
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def send(self, message: dict[str, Any]) -> bool:
        """Send without waiting; ``False`` when the other end is gone or its buffer is full (a beat may be lost)."""
        try:
            self._socket.send(msgpack.packb(message))
        except OSError:
            return False
        return True

    def receive(self) -> dict[str, Any] | None:
        """The next message, or ``None`` if there is none now; raises ``Closed`` when the other end is gone."""
        try:
            data = self._socket.recv(_LARGEST)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Closed from error
        if not data:
            raise Closed
        message: dict[str, Any] = msgpack.unpackb(data, strict_map_key=False)
        return message

    def wait(self, seconds: float) -> None:
        """Sleep until there is something to receive, at most so long."""
        select.select([self._socket], [], [], seconds)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
