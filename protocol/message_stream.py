"""Whole MessagePack messages of any size over a stream socket: how the launcher talks with a tool while it works.

Ping-pong only: each end sends when the other waits for it, so neither can wait for a full buffer.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import msgpack

_LENGTH_BYTES = 8


class StreamClosed(Exception):
    """The other end is gone."""


class MessageStream:
    """One end. Messages are dictionaries; ``within_s`` bounds every wait (``None``: as long as the other end lives)."""

    def __init__(self, end: socket.socket, within_s: float | None = None) -> None:
        self._socket = end
        end.settimeout(within_s)

    @classmethod
    def of_tool(cls) -> MessageStream:
        """In a tool whose standard input and output are the socket; what anybody prints goes to the log instead."""
        end = socket.socket(fileno=os.dup(0))
        os.dup2(2, 1)
        return cls(end)

    def send(self, message: dict[str, Any]) -> None:
        """Raises ``StreamClosed``, or ``TimeoutError``."""
        content: bytes = msgpack.packb(message)
        try:
            self._socket.sendall(len(content).to_bytes(_LENGTH_BYTES, "little") + content)
        except socket.timeout as error:  # noqa: UP041 - another class in the Python 3.9 of an old world
            raise TimeoutError from error
        except OSError as error:
            raise StreamClosed from error

    def receive(self) -> dict[str, Any]:
        """The next message. Raises ``StreamClosed``, or ``TimeoutError``."""
        size = int.from_bytes(self._exactly(_LENGTH_BYTES), "little")
        message: dict[str, Any] = msgpack.unpackb(self._exactly(size), strict_map_key=False)
        return message

    def close(self) -> None:
        """Close this end; the other one finds it closed."""
        self._socket.close()

    def _exactly(self, size: int) -> bytearray:
        content = bytearray(size)
        rest = memoryview(content)
        while rest:
            try:
                got = self._socket.recv_into(rest)
            except socket.timeout as error:  # noqa: UP041 - as above
                raise TimeoutError from error
            except OSError as error:
                raise StreamClosed from error
            if not got:
                raise StreamClosed
            rest = rest[got:]
        return content
