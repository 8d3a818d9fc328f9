"""The four things that processes say to one another; ``codec`` turns them into frames and back."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from scalmarl.protocol.keys import Key
from scalmarl.protocol.kinds import Value


class MessageType(Enum):
    """The four things a process says to another."""

    VALUE = 1
    NEED = 2
    WATERMARK = 3
    HELLO = 4


class Message(NamedTuple):
    """One message; ``source`` is proven by the link (its CURVE key), not believed from the header."""

    type: MessageType
    source: int
    watermark: int
    key: Key | None = None
    value: Value | None = None


class Outgoing(NamedTuple):
    """A message for one peer; ``first`` marks the first sending of a (key, destination) in this life."""

    to: int
    message: Message
    first: bool = False
