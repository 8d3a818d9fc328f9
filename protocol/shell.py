"""The shell of every process: sockets, clock and control channel around the sans-IO runtime.

One loop, the same for agents, sim server and coordinator: take in what came, let the body run to its next pause, hand
out what it said, beat, and wait. There is no decision about rounds, turns or neighbours here.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scalmarl.protocol.charge import Charge
from scalmarl.protocol.codec import HEADER_BYTES, decode, encode, largest_frame
from scalmarl.protocol.control import Closed, ControlChannel
from scalmarl.protocol.effects import Body
from scalmarl.protocol.errors import BadFrame, ProtocolError
from scalmarl.protocol.keys import process_name
from scalmarl.protocol.kinds import Rules
from scalmarl.protocol.ledger import CONTROL, Ledger, Totals
from scalmarl.protocol.lifeline import release_stop_signals
from scalmarl.protocol.link_faults import LinkFaults
from scalmarl.protocol.network_namespace import enter_network_namespace
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.round_files import RoundRow, encode_row, process_directory
from scalmarl.protocol.runtime import Progress, Runtime, Status, Store, describe_missing
from scalmarl.protocol.sockets import Mailbox
from scalmarl.protocol.streams import Purpose, stream
from scalmarl.protocol.wall_time import WallTime

BEAT_EVERY_S = 0.2
LONGEST_WAIT_S = 0.2
SILENT_PEER_S = 5.0
"""A peer that a value is missing from and that has been silent for so long gets a fresh connection."""


@dataclass(frozen=True)
class Parts:
    """What a role brings to the shell: its body and its store."""

    make_body: Callable[[int, bytes | None], Body]
    store: Store


MakeParts = Callable[[Plan, Charge, RoundRow], Parts]


def serve(end: socket.socket, make_parts: MakeParts) -> None:
    """Be a process of a run until the launcher says stop or goes away; never returns."""
    # Ctrl-C reaches the whole foreground group; only the launcher answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    release_stop_signals()
    channel = ControlChannel(end)
    shell: Shell | None = None
    try:
        charge = Charge.from_data(_wait_for(channel, "charge"))
        _write_log_to(charge)
        if charge.namespace:
            enter_network_namespace(charge.namespace)
        shell = Shell(channel, charge, make_parts)
        shell.run()
    except Closed:
        os._exit(0)
    except Exception as error:
        text = str(error) if isinstance(error, (ProtocolError, OSError, ValueError)) else repr(error)
        traceback.print_exc()
        where = shell.position() if shell else {"round": -1, "step": 0, "phase": "starting"}
        channel.send({"type": "failed", "error": text, **where})
        os._exit(1)
    os._exit(0)


def serve_child(make_parts: MakeParts) -> None:
    """``serve`` for a process that was started by exec with ``CONTROL_FD PARENT_PID``, and dies with its parent."""
    serve(socket.socket(fileno=int(sys.argv[1])), make_parts)


def _write_log_to(charge: Charge) -> None:
    """From here on all output of this life goes to its own log file."""
    directory = process_directory(charge.run_directory, charge.process)
    directory.mkdir(parents=True, exist_ok=True)
    log = os.open(directory / f"log.{charge.incarnation}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    logging.info(
        "%s, life %d, pid %d%s", process_name(charge.process), charge.incarnation, os.getpid(),
        ", asks its peers for what it missed" if charge.rejoin else "",
    )  # fmt: skip


def _wait_for(channel: ControlChannel, type: str) -> dict[str, Any]:
    """The next message of a type; the launcher's death ends the wait."""
    while True:
        message = channel.receive()
        if message is None:
            time.sleep(0.002)
        elif message["type"] == type:
            return message
        elif message["type"] == "stop":
            raise Closed


class Shell:
    """One life of one process."""

    def __init__(self, channel: ControlChannel, charge: Charge, make_parts: MakeParts) -> None:
        self._channel = channel
        self._charge = charge
        self.plan = read_plan(charge.run_directory)
        self.me = charge.process
        self._mailbox = Mailbox(charge.keys, charge.allowed, charge.bind, largest_frame(self.plan))
        self._mailbox.watch(channel.fileno())
        channel.send({"type": "bound", "endpoint": self._mailbox.endpoint})
        self._rules = Rules(self.plan)
        self._ledger = Ledger(self.plan, self.me)
        size = Totals.size(self.plan, self.me)
        self._totals = Totals(self.plan, self.me, mapped(charge.run_directory, self.me, "totals.bin", size))
        self._links = LinkFaults(charge.links, charge.began, self._chance)
        self._progress = mapped(charge.run_directory, self.me, "progress.bin", len(Progress._fields))
        self._behind: Progress | None = Progress(*self._progress)
        self._wall_time = WallTime(time.monotonic)
        parts = make_parts(self.plan, charge, self._row)
        self.runtime = Runtime(self.me, self.plan, parts.make_body, parts.store)
        self._stopped = False
        self._beaten = 0.0
        self._told_watermark: int | None = None
        self._looked_for_silence = 0.0
        self._heard_from: dict[int, float] = {}
        self._ready: set[int] = set()

    def run(self) -> None:
        """Wait until every peer has an endpoint, then serve until told to stop."""
        peers = set(self.plan.peers(self.me))
        while not peers <= self._ready and not self._stopped:
            self._take_orders()
            self._beat(time.monotonic(), "waiting for peers")
            if not peers <= self._ready:
                # Not for the inbox: what is in there is read once the body runs, and would end every wait at once.
                self._channel.wait(LONGEST_WAIT_S)
        self.runtime.start(time.monotonic(), rejoin=self._charge.rejoin)
        self._wall_time.begin()
        while not self._stopped:
            phase = self.runtime.phase
            self._take_in(time.monotonic())
            self._wall_time.lap("messages", phase)
            status = self.runtime.advance()
            now = self._wall_time.lap("work", phase)
            self._hand_out(now)
            self._note_progress()
            self._beat(now, self.runtime.phase)
            self._wall_time.lap("messages", self.runtime.phase)
            if status is Status.RUNNING or self._rest(now):
                self._take_orders()

    def position(self) -> dict[str, Any]:
        """Where the body is, for beats and failures."""
        return {"round": self.runtime.round, "step": self.runtime.step, "phase": self.runtime.phase}

    def _row(self, round: int, figures: dict[str, Any]) -> bytes:
        """The row of a finished round, with the time since the row before: file and commit come after the row, so their
        time counts for the next round."""
        return encode_row(round, figures, self._ledger.seal(round), self._wall_time.seal())

    def _take_in(self, now: float) -> None:
        while (received := self._mailbox.receive()) is not None:
            sender, frame = received
            self._heard_from[sender] = now
            try:
                message = decode(frame, self._rules, self.plan.run, self.me, sender)
            except BadFrame as bad:
                self.runtime.counts[f"bad frame: {bad.reason}"] += 1
                continue
            self.runtime.receive(message, now)
        self.runtime.tick(now)

    def _chance(self, peer: int) -> np.random.Generator:
        life = self._charge.incarnation
        return stream(self.plan.seed, purpose=Purpose.LINK_FAULTS, process=self.me, round=life, step=peer)

    def _hand_out(self, now: float) -> None:
        outbox, self.runtime.outbox = self.runtime.outbox, []
        framed: tuple[Any, bytes] = (None, b"")
        for outgoing in outbox:
            message = outgoing.message
            if framed[0] is not message:
                framed = (message, encode(message, self.plan.run, self._charge.incarnation))
            frame = framed[1]
            if outgoing.first and message.key is not None:
                self._ledger.enter(outgoing.to, message.key, len(frame) - HEADER_BYTES)
            kind = CONTROL if message.value is None or message.key is None else int(message.key.kind)
            if outgoing.to not in self._links:
                self._put_on_wire(outgoing.to, kind, frame)
            elif not self._links.take(outgoing.to, kind, frame, now):
                self._totals.enter_lost(outgoing.to, kind, len(frame))
        for held in self._links.due(now):
            self._put_on_wire(held.to, held.kind, held.frame)

    def _put_on_wire(self, to: int, kind: int, frame: bytes) -> None:
        self._totals.enter(to, kind, len(frame))
        self._mailbox.send(to, frame)

    def _note_progress(self) -> None:
        """Keep how far any life has come; say so once when this one has come as far as those before."""
        progress, behind = self.runtime.progress, self._behind
        if behind is not None:
            if progress < behind:
                return
            redone = progress if progress.round == behind.round else Progress(progress.round, 0, 0)
            self._channel.send({"type": "in step", "redone_steps": redone.step, "redone_values": redone.values})
            self._behind = None
        for place, number in enumerate(progress):
            self._progress[place] = number

    def _rest(self, now: float) -> bool:
        """Sleep until something comes or is due; whether there may be orders."""
        due = [when for when in (self.runtime.deadline(now), self._links.next_due()) if when is not None]
        if now > self._looked_for_silence + 1.0:
            self._looked_for_silence = now
            self._reconnect_silent(now)
        has_orders = self._mailbox.wait(min([LONGEST_WAIT_S, *(max(0.001, when - now) for when in due)]))
        self._wall_time.lap("wait", self.runtime.phase)
        return has_orders

    def _reconnect_silent(self, now: float) -> None:
        # After a partition a TCP connection can sit in its back-off for minutes; a new one is cheap and harmless.
        for peer in {key.producer for key in self.runtime.missing()}:
            silent_since = self._heard_from.setdefault(peer, now)
            endpoint = self._mailbox.endpoint_of(peer)
            if now - silent_since > SILENT_PEER_S and endpoint is not None:
                self._mailbox.connect(peer, endpoint)
                self._heard_from[peer] = now

    def _take_orders(self) -> None:
        while (order := self._channel.receive()) is not None:
            if order["type"] == "stop":
                self._stopped = True
            elif order["type"] == "book":
                for peer, endpoint in order["endpoints"].items():
                    if self._mailbox.endpoint_of(peer) != endpoint:
                        self._mailbox.connect(peer, endpoint)
                    self._ready.add(peer)

    def _beat(self, now: float, phase: str) -> None:
        watermark = self.runtime.watermark
        if now - self._beaten < BEAT_EVERY_S and watermark == self._told_watermark:
            return
        if watermark != self._told_watermark:
            logging.info("committed: %s", "no round yet" if watermark < 0 else f"round {watermark}")
        self._beaten, self._told_watermark = now, watermark
        missing = self.runtime.missing()
        self._channel.send(
            {
                "type": "beat",
                **self.position(),
                "phase": phase,
                "watermark": watermark,
                "waits_for": describe_missing(missing),
                "refused": self._mailbox.refused,
                "dropped": {**self._mailbox.dropped, **self.runtime.counts, **self._links.counts},
            }
        )


def read_plan(run_directory: Path) -> Plan:
    """The plan of a run, from its directory."""
    return Plan.from_data(json.loads((run_directory / "plan.json").read_text(encoding="utf-8")))


def mapped(run_directory: Path, process: int, name: str, size: int) -> memoryview:
    """``size`` unsigned 64-bit integers of a process, mapped from a file: the kernel keeps them when it is killed."""
    path = process_directory(run_directory, process) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.truncate(8 * size)
        return memoryview(mmap.mmap(file.fileno(), 8 * size)).cast("Q")
