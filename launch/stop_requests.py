"""Signals that ask the launcher to stop, caught from its first moment on and read through a descriptor."""

from __future__ import annotations

import signal
import socket

from scalmarl.protocol.lifeline import STOP_SIGNALS, release_stop_signals


class StopRequests:
    """Make it before anything else: Python's fork server lets held signals through when it starts."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        for end in (self._ours, self._theirs):
            end.setblocking(False)
        signal.set_wakeup_fd(self._theirs.fileno())
        for number in STOP_SIGNALS:
            signal.signal(number, lambda *_: None)
        release_stop_signals()

    def fileno(self) -> int:
        """For selectors."""
        return self._ours.fileno()

    def take(self) -> list[signal.Signals]:
        """Those that have come since the last call."""
        try:
            return [signal.Signals(number) for number in self._ours.recv(64) if number in STOP_SIGNALS]
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Give the descriptors back; signals go on being caught."""
        signal.set_wakeup_fd(-1)
        self._ours.close()
        self._theirs.close()
