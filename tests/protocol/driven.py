"""A sans-IO runtime driven by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from scalmarl.protocol.effects import Body, need_all
from scalmarl.protocol.keys import COORDINATOR, Key, Kind
from scalmarl.protocol.kinds import Value, form
from scalmarl.protocol.messages import Message, MessageType, Outgoing
from scalmarl.protocol.runtime import Runtime, Status
from scalmarl.protocol.standins import toy_plan

PLAN = toy_plan(((1,), (0, 2), (1,)), (0, 1, 0), rounds=9)
MakeBody = Callable[[int, bytes | None], Body]


class MemoryStore:
    """Round files in memory, with a diary."""

    def __init__(self, files: dict[int, bytes] | None = None) -> None:
        self.files = dict(files or {})
        self.diary: list[tuple[str, int]] = []

    def rounds(self) -> list[int]:
        return sorted(self.files)

    def read(self, round: int) -> bytes:
        self.diary.append(("read", round))
        return self.files[round]

    def write(self, round: int, content: bytes, figures: dict[str, Any]) -> bytes:
        self.diary.append(("write", round))
        self.files[round] = content
        return hashlib.sha256(content).digest()

    def delete(self, round: int) -> None:
        self.diary.append(("delete", round))
        self.files.pop(round, None)


def value_of(key: Key, number: float = 1.0) -> Value:
    dtype, shape = form(PLAN, key)
    return np.full(shape, number, dtype=dtype)


def state(agent: int, round: int = 0, step: int = 0) -> Key:
    return Key(agent, Kind.STATE, agent, round, step)


def commit(round: int) -> Key:
    return Key(COORDINATOR, Kind.COMMIT, COORDINATOR, round, 0)


def heard(key: Key, number: float = 1.0, watermark: int = -1) -> Message:
    return Message(MessageType.VALUE, key.producer, watermark, key, value_of(key, number))


def runtime_of(
    body: MakeBody, me: int = 1, files: dict[int, bytes] | None = None, rejoin: bool = False
) -> tuple[Runtime, MemoryStore]:
    store = MemoryStore(files)
    runtime = Runtime(me, PLAN, body, store)
    runtime.start(0.0, rejoin=rejoin)
    return runtime, store


def waits_for(*keys: Key) -> MakeBody:
    def body(round: int, content: bytes | None) -> Body:
        yield from need_all(keys)

    return body


def drain(runtime: Runtime) -> list[Outgoing]:
    outbox, runtime.outbox = runtime.outbox, []
    return outbox


def said(runtime: Runtime, type_: MessageType) -> list[tuple[int, Key | None]]:
    return [(out.to, out.message.key) for out in drain(runtime) if out.message.type is type_]


def play(runtime: Runtime) -> Status:
    status = Status.RUNNING
    while status is Status.RUNNING:
        status = runtime.advance()
    return status
