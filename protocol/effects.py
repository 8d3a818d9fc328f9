"""What a body may ask of the runtime: six effects, and the functions that make bodies read well.

A body is a generator: straight-line code that yields effects and gets their results back. Every value that it uses
comes from ``need`` or from its last committed file, so a body that is run again computes the same bits.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from scalmarl.protocol.keys import Key
from scalmarl.protocol.kinds import Value


@dataclass(frozen=True)
class Need:
    """Wait for all these values; the result is a list in the order of the keys, never of arrival."""

    keys: Sequence[Key]


@dataclass(frozen=True)
class NeedAny:
    """Wait for one of these values; the result is its key. For scheduling only: it may depend on arrival order."""

    keys: Sequence[Key]


@dataclass(frozen=True)
class Arrived:
    """Is this value here already? For scheduling only: no number may depend on the answer."""

    key: Key


@dataclass(frozen=True)
class Put:
    """Publish a value to the receivers that the table of kinds names."""

    key: Key
    value: Value


@dataclass(frozen=True)
class Checkpoint:
    """Make the file of a round durable; the result is its digest. ``figures`` go beside it, outside the digest."""

    round: int
    content: bytes
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Breathe:
    """Let the process serve its peers, beat and stop; yielded between minibatches."""

    phase: str


Effect = Union[Need, NeedAny, Arrived, Put, Checkpoint, Breathe]  # noqa: UP007, an old world's Python evaluates it
Body = Generator[Effect, Any, None]


def need(key: Key) -> Generator[Effect, Any, Value]:
    """Wait for one value."""
    values: list[Value] = yield Need((key,))
    return values[0]


def need_all(keys: Sequence[Key]) -> Generator[Effect, Any, list[Value]]:
    """Wait for several values, in key order."""
    values: list[Value] = yield Need(keys)
    return values


def need_any(keys: Sequence[Key]) -> Generator[Effect, Any, Key]:
    """Wait until one of several values is here, and say which (scheduling only)."""
    key: Key = yield NeedAny(keys)
    return key


def arrived(key: Key) -> Generator[Effect, Any, bool]:
    """Whether a value is here already (scheduling only)."""
    answer: bool = yield Arrived(key)
    return answer


def put(key: Key, value: Value) -> Generator[Effect, Any, None]:
    """Publish a value."""
    yield Put(key, value)


def checkpoint(round: int, content: bytes, figures: dict[str, Any] | None = None) -> Generator[Effect, Any, bytes]:
    """Make the file of ``round`` durable and get its digest."""
    digest: bytes = yield Checkpoint(round, content, figures or {})
    return digest


def breathe(phase: str) -> Generator[Effect, Any, None]:
    """Give the process a moment between two pieces of work."""
    yield Breathe(phase)
