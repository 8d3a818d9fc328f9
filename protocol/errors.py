"""The ways in which the protocol can fail; every text says what, where, and how to mend it."""

from __future__ import annotations


class ProtocolError(Exception):
    """Base of all of them."""


class LocalProtocolError(ProtocolError):
    """Our own code broke a rule; the process ends loudly."""


class BadFrame(ProtocolError):
    """A peer sent nonsense; counted by ``reason`` and dropped, never fatal."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DeterminismLost(ProtocolError):
    """Two byte strings for one key or one round file: the run is no longer a function of its configuration."""


class DamagedFile(ProtocolError):
    """A round file cannot be trusted and no other file can stand in for it."""
