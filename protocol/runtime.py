"""The sans-IO runtime below every body: it stores values, answers and asks for missing ones, and follows the watermark.

Rules of this file: no socket, clock, thread or file. Time comes in as ``now``; messages come in through ``receive`` and
leave through ``outbox``; round files are behind the ``Store`` that the shell (or the simulator) hands in.

Invariants (numbers as in docs/protocol.md): write-once values (I1); ``done`` only after the file is durable (I2, the
body's order, checked by the simulator); a file or key of round r is dropped only when the watermark covers r (I4); the
watermark is monotone (I10) and is believed from the coordinator alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol

import numpy as np

from scalmarl.protocol.effects import Arrived, Body, Breathe, Checkpoint, Effect, Need, NeedAny, Put
from scalmarl.protocol.errors import DamagedFile, DeterminismLost, LocalProtocolError
from scalmarl.protocol.keys import COORDINATOR, Key, Kind, process_name
from scalmarl.protocol.kinds import Rules, Value, receivers
from scalmarl.protocol.messages import Message, MessageType, Outgoing
from scalmarl.protocol.patience import Patience
from scalmarl.protocol.plan import Plan

NOTHING_COMMITTED = -1


class Progress(NamedTuple):
    """How far a body has come: the round of what it published last, how many values it has published in that round,
    and the furthest step among them. A life that comes as far as the one before is back in step."""

    round: int
    values: int
    step: int


class Store(Protocol):
    """The durable round files of one process."""

    def rounds(self) -> list[int]:
        """The kept rounds, ascending."""

    def read(self, round: int) -> bytes:
        """The content of a kept file; raises ``DamagedFile``."""

    def write(self, round: int, content: bytes, figures: dict[str, Any]) -> bytes:
        """Make a file durable and return its digest; raises ``DeterminismLost`` if one with other content exists."""

    def delete(self, round: int) -> None:
        """Let go of a file."""


class Status(Enum):
    """What a runtime does between two calls of ``advance``."""

    RUNNING = "running"
    WAITING = "waiting"
    FINISHED = "finished"


class Runtime:
    """One process's half of the protocol, around its body.

    ``make_body(round, content)`` starts a body at a round from that round's file (``None``: a fresh run). The
    coordinator's runtime is the authority: its own durable file is the commit.
    """

    def __init__(self, me: int, plan: Plan, make_body: Callable[[int, bytes | None], Body], store: Store) -> None:
        self.me = me
        self.plan = plan
        self.outbox: list[Outgoing] = []
        self.counts: Counter[str] = Counter()
        self.watermark = NOTHING_COMMITTED
        self.phase = "starting"
        self._make_body = make_body
        self._store = store
        self._rules = Rules(plan)
        self._is_authority = me == COORDINATOR
        self._own: dict[Key, Value] = {}
        self._heard: dict[Key, Value] = {}
        self._body: Body
        self._effect: Effect | None = None
        self._finished = False
        self._saved = NOTHING_COMMITTED
        self._round = 0
        self._progress = Progress(0, 0, 0)
        self._patience = Patience()

    # ---- life ----

    def start(self, now: float, *, rejoin: bool) -> None:
        """Begin from the oldest kept file, or afresh; a process that rejoins asks its peers for all they hold for
        it.
        """
        kept = self._store.rounds()
        start = self._first_file(kept)
        self.watermark = start - 1
        self._open_body(start, self._store.read(start) if kept else None, now)
        if rejoin:
            self._greet()

    def advance(self) -> Status:
        """Run the body to its next pause: a missing value, a file to write, a breath, or its end.

        A file is written at the start of the call after the one that met it, so that the shell has flushed and
        counted everything that was put before.
        """
        if self._finished:
            return Status.FINISHED
        before = self._effect
        ready, result = self._try(before)
        while ready:
            try:
                self._effect = effect = self._body.send(result)
            except StopIteration:
                self._finished, self._effect, self.phase = True, None, "finished"
                return Status.FINISHED
            if isinstance(effect, (Checkpoint, Breathe)):
                self.phase = effect.phase if isinstance(effect, Breathe) else "saving"
                return Status.RUNNING
            ready, result = self._try(effect)
        if self._effect is not before:
            self._patience.satisfied()
        return Status.WAITING

    def receive(self, message: Message, now: float) -> None:
        """Take in one message of a proven source; whatever it holds, it cannot stop the process but by I1."""
        if message.type is MessageType.VALUE:
            self._receive_value(message, now)
        elif message.type is MessageType.NEED:
            self._answer(message)
        elif message.type is MessageType.HELLO:
            self._welcome(message)
        if message.source == COORDINATOR and message.type in (MessageType.WATERMARK, MessageType.HELLO):
            self._learn_watermark(message.watermark, now)

    def tick(self, now: float) -> None:
        """Ask for what has been missing for too long: its producer for the value, the coordinator for the watermark."""
        if not self._patience.is_over(now):
            return
        missing = self.missing()
        if not missing:
            return
        self._patience.asked(now)
        for key in missing:
            self._send(key.producer, MessageType.NEED, key)
        if not self._is_authority and missing[0].kind is not Kind.COMMIT:
            self._send(COORDINATOR, MessageType.NEED, self._commit_key(self._round))

    def deadline(self, now: float) -> float | None:
        """When ``tick`` is due, or ``None`` while the body waits for nothing."""
        if not isinstance(self._effect, (Need, NeedAny)):
            return None
        return self._patience.deadline(now)

    def missing(self) -> list[Key]:
        """The keys that the body waits for."""
        effect = self._effect
        return [key for key in effect.keys if not self._has(key)] if isinstance(effect, (Need, NeedAny)) else []

    @property
    def round(self) -> int:
        """The round that the body is in."""
        return self._round

    @property
    def step(self) -> int:
        """The step of the value that the body waits for, or 0."""
        effect = self._effect
        return effect.keys[0].step if isinstance(effect, (Need, NeedAny)) and effect.keys else 0

    @property
    def progress(self) -> Progress:
        """How far the body has come."""
        return self._progress

    # ---- the body ----

    def _first_file(self, kept: list[int]) -> int:
        # The oldest: a newer one may not have been committed, and peers may still need this process's older values.
        return kept[0] if kept else 0

    def _open_body(self, round: int, content: bytes | None, now: float) -> None:
        self._round = round
        self._progress = Progress(round, 0, 0)
        self._saved = round if content is not None else NOTHING_COMMITTED
        self._body = self._make_body(round, content)
        self._effect = None
        self._finished = False
        self._patience.begin(now)

    def _try(self, effect: Effect | None) -> tuple[bool, Any]:
        """(is it done, its result) for the effect that the body is at."""
        if isinstance(effect, (Need, NeedAny)) and effect.keys:
            self._round = max(self._round, effect.keys[0].round)
        if isinstance(effect, Need):
            if all(self._has(key) for key in effect.keys):
                return True, [self._get(key) for key in effect.keys]
            return False, None
        if isinstance(effect, NeedAny):
            here = next((key for key in effect.keys if self._has(key)), None)
            return here is not None, here
        if isinstance(effect, Arrived):
            return True, self._has(effect.key)
        if isinstance(effect, Put):
            self._put(effect.key, effect.value)
        elif isinstance(effect, Checkpoint):
            return True, self._save(effect)
        return True, None

    def _put(self, key: Key, value: Value) -> None:
        self._round = max(self._round, key.round)
        rule = self._rules.of(key.producer, key.kind, key.subject)
        is_lawful = rule is not None and key.producer == self.me and key.step < rule.steps
        if rule is None or not is_lawful or value.dtype != rule.dtype or value.shape != rule.shape:
            raise LocalProtocolError(f"{key}: put {value.dtype}{value.shape}, the table of kinds says {rule}")
        # Write-once (I1): what the body does with its array afterwards cannot reach what was said.
        value = value.copy()
        value.setflags(write=False)
        self._own[key] = value
        so_far = self._progress if self._progress.round == key.round else Progress(key.round, 0, 0)
        self._progress = Progress(key.round, so_far.values + 1, max(so_far.step, key.step))
        message = self._message(MessageType.VALUE, key, value)
        for to in rule.receivers:
            self.outbox.append(Outgoing(to, message, first=True))

    def _save(self, effect: Checkpoint) -> bytes:
        digest = self._store.write(effect.round, effect.content, effect.figures)
        self._saved = effect.round
        if self._is_authority:
            self._forget(effect.round - 1)
        return digest

    # ---- values ----

    def _has(self, key: Key) -> bool:
        return key in self._heard or (key.kind is Kind.COMMIT and key.round <= self.watermark)

    def _get(self, key: Key) -> Value:
        if key.kind is Kind.COMMIT:
            return np.array([key.round], dtype="<i8")
        return self._heard[key]

    def _receive_value(self, message: Message, now: float) -> None:
        key, value = message.key, message.value
        assert key is not None
        assert value is not None
        if key.kind is Kind.COMMIT:
            self._learn_watermark(key.round, now)
        elif key.round <= self.watermark:
            self.counts["stale"] += 1
        elif key.round > self.watermark + 2:
            # A peer is at most one commit ahead of what this process has heard.
            self.counts["future"] += 1
        elif key in self._heard:
            self.counts["duplicate"] += 1
            if self._heard[key].tobytes() != value.tobytes():
                raise DeterminismLost(
                    f"two different values for {key}. The run is no longer a function of its configuration: look for "
                    f"another torch, numpy, mujoco or thread count since the last start, then resume an older round"
                )
        else:
            self._heard[key] = value
            self._patience.heard(now, in_rollout=key.step > 0)

    def _answer(self, message: Message) -> None:
        key = message.key
        assert key is not None
        value = self._own.get(key)
        if value is not None:
            self.outbox.append(Outgoing(message.source, self._message(MessageType.VALUE, key, value)))
        elif self._is_authority:
            self._send(message.source, MessageType.WATERMARK)

    def _greet(self) -> None:
        for peer in self.plan.peers(self.me):
            self._send(peer, MessageType.HELLO)

    def _welcome(self, message: Message) -> None:
        for key, value in self._own.items():
            if key.round > message.watermark and message.source in receivers(self.plan, key):
                self.outbox.append(Outgoing(message.source, self._message(MessageType.VALUE, key, value)))
        if self._is_authority:
            self._send(message.source, MessageType.WATERMARK)

    # ---- the watermark ----

    def _learn_watermark(self, watermark: int, now: float) -> None:
        if watermark <= self.watermark or self._is_authority:
            return
        self._forget(watermark)
        if self._saved <= watermark:
            self._jump(watermark + 1, now)

    def _jump(self, round: int, now: float) -> None:
        """The round that this process was redoing is committed: its own file of the next one must exist (I3)."""
        if round not in self._store.rounds():
            raise DamagedFile(
                f"{process_name(self.me)} holds no file of round {round} although round {round - 1} is committed. Its "
                f"peers no longer hold what is needed to redo it; put back an archived file or start a new run"
            )
        self._body.close()
        self._open_body(round, self._store.read(round), now)

    def _forget(self, watermark: int) -> None:
        self.watermark = watermark
        for values in (self._own, self._heard):
            for key in [key for key in values if key.round <= watermark]:
                del values[key]
        for round in self._store.rounds():
            if round <= watermark:
                self._store.delete(round)

    # ---- messages ----

    def _commit_key(self, round: int) -> Key:
        return Key(COORDINATOR, Kind.COMMIT, COORDINATOR, round, 0)

    def _message(self, type: MessageType, key: Key | None = None, value: Value | None = None) -> Message:
        return Message(type, self.me, self.watermark, key, value)

    def _send(self, to: int, type: MessageType, key: Key | None = None) -> None:
        self.outbox.append(Outgoing(to, self._message(type, key)))


def describe_missing(keys: Sequence[Key]) -> str:
    """What a process waits for, in words, for ``ps`` and the progress line, which tell the round beside it."""
    if not keys:
        return ""
    more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
    return f"{keys[0].words()}{more}"
