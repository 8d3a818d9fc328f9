"""A discrete-event engine: processes on hosts with cores, network ports and a disk, and why each began when it did.

Rules of this file: pure, and it knows nothing of rounds. A process is a generator of effects (``Work``, ``Send``,
``Need``, ``Hear``, ``Breathe``, ``Save``); whoever is ready waits in line for a core of its host, and gives it up when
it breathes or blocks, as under a fair scheduler. Every piece of work remembers what it waited for last, so that the
time of the whole can be told apart by what it was spent on (``critical_path``).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Generator, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

PHYSICS, POLICIES, MESSAGES, UPDATES, NETWORK, DISK = range(6)
CATEGORIES = ("physics", "policies", "messages", "updates", "network", "disk")
NOTHING = -1


class Work(NamedTuple):
    """Seconds of a core; ``threads`` above 1 may use idle cores of the host as well, each of which brings ``gain``."""

    category: int
    seconds: float
    threads: int = 1
    gain: float = 1.0


class Send(NamedTuple):
    """Frames to others, one after the other: (receiver, key, wire bytes)."""

    frames: Iterable[tuple[Process, Hashable, float]]


class Need(NamedTuple):
    """Wait until so many frames of a key have come; they are then forgotten."""

    key: Hashable
    frames: int


class Hear(NamedTuple):
    """Wait until any frame has come; the body finds it in ``Process.got``."""


class Breathe(NamedTuple):
    """Let others have the core."""


class Save(NamedTuple):
    """Wait for the host's disk to write for so many seconds."""

    seconds: float


Effect = Work | Send | Need | Hear | Breathe | Save
Body = Generator[Effect, None, None]


@dataclass(frozen=True)
class Machines:
    """``hosts`` with ``cores`` each. What a host sends and what it receives passes at ``bandwidth`` (bytes/s, each
    way), ``latency`` seconds after it left."""

    hosts: int = 1
    cores: int = 1
    bandwidth: float = float("inf")
    latency: float = 0.0


@dataclass(slots=True)
class Host:
    """A host at work."""

    free: int
    ready: deque[Process] = field(default_factory=deque)
    out_at: float = 0.0
    in_at: float = 0.0
    disk_at: float = 0.0


class Process:
    """A process: where it is, what a frame costs it at either end, and its body, set before the run."""

    __slots__ = ("body", "byte_s", "frame_s", "got", "host", "inbox", "inbox_bytes", "is_idle", "need", "slowed")

    def __init__(self, host: int, frame_s: float, byte_s: float, slowed: float = 1.0) -> None:
        self.host, self.frame_s, self.byte_s, self.slowed = host, frame_s, byte_s, slowed
        self.body: Body
        self.inbox: list[Hashable] = []
        self.inbox_bytes = 0.0
        self.got: dict[Hashable, int] = {}
        self.need: Need | Hear | None = None
        self.is_idle = True

    def take(self, key: Hashable, count: int = 1) -> bool:
        """Whether so many frames of a key have come; if so they are forgotten."""
        if self.got.get(key, 0) < count:
            return count == 0
        self.got.pop(key, None)
        return True


class Piece(NamedTuple):
    """What a process did in one go: (category, seconds) in order from ``begin``; ``cause``: the piece that let it
    begin, at ``since``; the time between the two went to ``gap``."""

    begin: float
    parts: list[tuple[int, float]]
    cause: int
    since: float
    gap: int


_END, _ARRIVE, _DEPART, _RING = range(4)
"""Events; of one moment in this order, so that a core that is given up can be used by whom the last frame wakes."""


class Engine:
    """Runs processes to their ends. ``now`` is the time of the event, ``clock`` that of the body that is at work."""

    def __init__(self, machines: Machines, wake_s: float) -> None:
        self._machines, self._wake_s = machines, wake_s
        self.hosts = [Host(machines.cores) for _ in range(machines.hosts)]
        self.pieces: list[Piece] = []
        self.now = self.clock = 0.0
        self._parts: list[tuple[int, float]] = []
        self._events: list[tuple[float, int, int, Any]] = []
        self._count = 0

    def run(self, processes: Iterable[Process]) -> float:
        """Start all at once; the time when nothing is left to happen. Raises ``RuntimeError`` if somebody waits for
        ever."""
        processes = list(processes)
        for process in processes:
            self._ring(process, NOTHING, 0.0, MESSAGES)
        events = self._events
        while events:
            self.now, what, _, about = heapq.heappop(events)
            if what == _ARRIVE:
                process, key, size, cause, since, gap = about
                process.inbox.append(key)
                process.inbox_bytes += size
                if process.is_idle and process.need is not None:
                    self._ring(process, cause, since, gap)
            elif what == _END:
                self._end(*about)
            elif what == _DEPART:
                self._depart(*about)
            else:
                self._ring(*about)
        stuck = [process.need for process in processes if process.need is not None]
        if stuck:
            raise RuntimeError(f"{len(stuck)} processes wait for ever, the first for {stuck[0]}")
        return self.now

    def critical_path(self, window: tuple[float, float] = (0.0, 0.0), times: float = 1.0) -> list[float]:
        """Seconds by category along the chain of causes that ends last; what lies in ``window`` counts ``times``."""
        shares = [0.0] * len(CATEGORIES)
        at, until = max(range(len(self.pieces)), key=lambda n: self._end_of(self.pieces[n])), self.now
        while at != NOTHING:
            piece = self.pieces[at]
            begin = piece.begin
            for category, seconds in piece.parts:
                end = min(begin + seconds, until)
                shares[category] += _weighed(begin, end, window, times)
                begin = max(begin, end)
            shares[piece.gap] += _weighed(piece.since, piece.begin, window, times)
            at, until = piece.cause, piece.since
        return shares

    @staticmethod
    def _end_of(piece: Piece) -> float:
        return piece.begin + sum(seconds for _, seconds in piece.parts)

    def _push(self, at: float, what: int, about: Any) -> None:
        self._count += 1
        heapq.heappush(self._events, (at, what, self._count, about))

    def _ring(self, process: Process, cause: int, since: float, gap: int) -> None:
        """Somebody is ready: it runs now, or stands in line."""
        host = self.hosts[process.host]
        process.is_idle = False
        if host.free:
            self._start(process, cause, since, gap)
        else:
            host.ready.append(process)

    def _start(self, process: Process, cause: int, since: float, gap: int) -> None:
        """One piece of work, up to the next breath or missing frame."""
        host, number = self.hosts[process.host], len(self.pieces)
        host.free -= 1
        self.clock, self._parts = self.now, []
        self.pieces.append(Piece(self.now, self._parts, cause, since, gap))
        if process.inbox:
            self._spend(process, MESSAGES, len(process.inbox) * process.frame_s + process.inbox_bytes * process.byte_s)
            for key in process.inbox:
                process.got[key] = process.got.get(key, 0) + 1
            process.inbox, process.inbox_bytes = [], 0.0
            if isinstance(process.need, Hear):
                process.need = None
        effect, others = self._play(process, number), 0
        if isinstance(effect, Work):
            others = min(effect.threads - 1, host.free)
            host.free -= others
            self._spend(process, effect.category, effect.seconds / (1.0 + others * effect.gain))
        self._push(self.clock, _END, (process, number, others, effect))

    def _play(self, process: Process, number: int) -> Effect | None:
        """Let the body go on until it must stop; what stops it, ``None`` for a missing frame and for its end."""
        while True:
            if process.need is not None:
                if isinstance(process.need, Hear) or not process.take(*process.need):
                    return None
                process.need = None
            effect = next(process.body, None)
            if isinstance(effect, (Need, Hear)):
                process.need = effect
            elif isinstance(effect, Send):
                for receiver, key, size in effect.frames:
                    self._spend(process, MESSAGES, process.frame_s + size * process.byte_s)
                    self._send(process, receiver, key, size, number)
            elif isinstance(effect, Work) and effect.threads == 1:
                self._spend(process, effect.category, effect.seconds)
            else:
                return effect

    def _spend(self, process: Process, category: int, seconds: float) -> None:
        seconds *= process.slowed
        self.clock += seconds
        parts = self._parts
        if parts and parts[-1][0] == category:
            parts[-1] = (category, parts[-1][1] + seconds)
        else:
            parts.append((category, seconds))

    def _send(self, sender: Process, receiver: Process, key: Hashable, size: float, cause: int) -> None:
        at = self.clock
        if receiver.host == sender.host:
            self._push(at + self._wake_s, _ARRIVE, (receiver, key, size, cause, at, MESSAGES))
        else:
            self._push(at, _DEPART, (sender.host, receiver, key, size, cause))

    def _depart(self, source: int, receiver: Process, key: Hashable, size: float, cause: int) -> None:
        """Through the sender's port and the receiver's, each of which serves one frame after the other."""
        out, into, takes = self.hosts[source], self.hosts[receiver.host], size / self._machines.bandwidth
        left = max(self.now, out.out_at)
        out.out_at = left + takes
        into.in_at = max(left + self._machines.latency, into.in_at) + takes
        self._push(into.in_at + self._wake_s, _ARRIVE, (receiver, key, size, cause, self.now, NETWORK))

    def _end(self, process: Process, number: int, others: int, stopped_by: Effect | None) -> None:
        host, again = self.hosts[process.host], isinstance(stopped_by, (Work, Breathe))
        host.free += 1 + others
        if others or (again and not host.ready):
            # Nobody waits, or it goes on with one core of several.
            self._start(process, number, self.now, MESSAGES)
        elif again or (process.inbox and process.need is not None):
            host.ready.append(process)
        elif isinstance(stopped_by, Save):
            host.disk_at = max(self.now, host.disk_at) + stopped_by.seconds
            self._push(host.disk_at, _RING, (process, number, self.now, DISK))
        else:
            process.is_idle = True
        while host.free and host.ready:
            self._start(host.ready.popleft(), number, self.now, MESSAGES)


def _weighed(begin: float, end: float, window: tuple[float, float], times: float) -> float:
    length = max(end - begin, 0.0)
    inside = max(min(end, window[1]) - max(begin, window[0]), 0.0)
    return length + (times - 1.0) * inside
