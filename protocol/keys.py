"""Who is who, and the name of every value that crosses a process boundary during training.

Rules of this file: plain data only. A value is written once: whatever its producer does, dies or repeats, one key names
one byte string for ever.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import NamedTuple

SIM = 0xFFFE
COORDINATOR = 0xFFFF
MAX_AGENTS = 0xFF00


class Role(Enum):
    """What a process is for."""

    AGENT = "agent"
    SIM = "sim"
    COORDINATOR = "coordinator"


def role_of(process: int) -> Role:
    """The role of a process id; agents count from 0."""
    if process == SIM:
        return Role.SIM
    return Role.COORDINATOR if process == COORDINATOR else Role.AGENT


def process_name(process: int) -> str:
    """``agent/3``, ``sim`` or ``coordinator``."""
    role = role_of(process)
    return f"agent/{process}" if role is Role.AGENT else role.value


def process_id(name: str) -> int:
    """The inverse of ``process_name``; a bare number names an agent. Raises ``ValueError`` for anything else."""
    if name in (Role.SIM.value, Role.COORDINATOR.value):
        return SIM if name == Role.SIM.value else COORDINATOR
    digits = name[6:] if name.startswith("agent/") else name
    if not digits.isdecimal() or int(digits) >= MAX_AGENTS:
        raise ValueError(f"{name!r} names no process; processes are agent numbers (3 or agent/3), sim and coordinator")
    return int(digits)


class Kind(IntEnum):
    """The kinds of values; ``protocol.kinds.TABLE`` says who sends each to whom, when, and in which shape."""

    OBSERVATION = 1
    STATE = 2
    ACTION = 3
    ADVANTAGE = 4
    SLACK = 5
    TURN = 6
    GRANT = 7
    TURN_DONE = 8
    DONE = 9
    COMMIT = 10


class Key(NamedTuple):
    """The name of one value. ``subject`` is the addressed agent for observation and grant, else the producer."""

    producer: int
    kind: Kind
    subject: int
    round: int
    step: int

    def words(self) -> str:
        """For a reader who knows the round and the receiver: ``state of agent/3, step 52``."""
        return f"{self.kind.name.lower()} of {process_name(self.producer)}{self._step_words()}"

    def _step_words(self) -> str:
        return f", step {self.step}" if self.kind in (Kind.OBSERVATION, Kind.STATE, Kind.ACTION) else ""

    def __str__(self) -> str:
        subject = "" if self.subject == self.producer else f" for {process_name(self.subject)}"
        producer = process_name(self.producer)
        return f"{self.kind.name.lower()} of {producer}{subject}, round {self.round}{self._step_words()}"
