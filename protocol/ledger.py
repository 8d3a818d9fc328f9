"""The byte ledger: what met a socket, by destination and kind, and the closed formula that it must equal.

First sendings of a (key, destination) are a function of the configuration alone; they are sealed round by round beside
the round file, so a death cannot count them twice. ``Totals`` counts every frame that met the socket, in memory that
outlives the process, so repeats are exact too: total minus first. A frame that a bad link lost was sent and counts as
such; it stands in a row of its own beside, so that what crossed the wire is total minus lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scalmarl.protocol.codec import HEADER_BYTES, curve_wire_bytes
from scalmarl.protocol.keys import Key, Kind
from scalmarl.protocol.kinds import TABLE, payload_bytes, receivers, sent_by, steps_of, subjects_of
from scalmarl.protocol.plan import Plan

CONTROL = 0
"""The row of NEED, watermark and HELLO traffic, beside the kinds of values."""
COLUMNS = ("messages", "payload_bytes", "framed_bytes", "wire_bytes")


@dataclass
class Count:
    """Messages and bytes of one (destination, kind): payload, with our header, and as ZeroMQ writes it."""

    messages: int = 0
    payload_bytes: int = 0
    framed_bytes: int = 0
    wire_bytes: int = 0

    def add(self, payload_bytes: int, messages: int = 1) -> None:
        """Enter messages of equal size."""
        framed = HEADER_BYTES + payload_bytes
        self.messages += messages
        self.payload_bytes += messages * payload_bytes
        self.framed_bytes += messages * framed
        self.wire_bytes += messages * curve_wire_bytes(framed)

    def plus(self, other: Count) -> Count:
        """The sum of two counts."""
        return Count(*(getattr(self, column) + getattr(other, column) for column in COLUMNS))


Table = dict[tuple[int, int], Count]
"""(destination, kind) -> count."""


class Ledger:
    """One process's first sendings, by the round of their key."""

    def __init__(self, plan: Plan, me: int) -> None:
        self._plan = plan
        self._me = me
        self._rounds: dict[int, Table] = {}

    def enter(self, to: int, key: Key, payload_bytes: int) -> None:
        """Count the first sending of a value to a destination."""
        table = self._rounds.setdefault(key.round, {})
        table.setdefault((to, key.kind), Count()).add(payload_bytes)

    def seal(self, round: int) -> list[list[int]]:
        """The finished table of a round, as rows ``[to, kind, messages, payload, framed, wire]``.

        What is sent only once the file beside the row is durable (``done``, ``commit``) is entered in advance: a row
        written after it would be lost by a death in between.
        """
        table = self._rounds.pop(round, {})
        table = {at: count for at, count in table.items() if not TABLE[Kind(at[1])].after_file}
        for at, count in predicted(self._plan, self._me).items():
            if TABLE[Kind(at[1])].after_file:
                table[at] = count
        return [
            [to, kind, *(getattr(count, column) for column in COLUMNS)] for (to, kind), count in sorted(table.items())
        ]


def predicted(plan: Plan, process: int) -> Table:
    """First sendings of one round by the formula: a function of the configuration alone."""
    table: Table = {}
    for kind in sent_by(plan, process):
        for subject in subjects_of(plan, process, kind):
            key = Key(process, kind, subject, 0, 0)
            payload, steps = payload_bytes(plan, key), steps_of(plan, kind)
            for to in receivers(plan, key):
                table.setdefault((to, int(kind)), Count()).add(payload, steps)
    return table


def from_rows(rows: list[list[int]]) -> Table:
    """The inverse of ``Ledger.seal``."""
    return {(row[0], row[1]): Count(*row[2:]) for row in rows}


class Totals:
    """Every frame that met a socket, in all lives of a process.

    ``memory`` is a writable view of unsigned 64-bit integers, ``size(plan, process)`` of them, mapped from a file by
    the shell: the kernel keeps it when the process is killed.
    """

    def __init__(self, plan: Plan, process: int, memory: memoryview) -> None:
        self._memory = memory
        peers = _links(plan, process)
        self._row = {peer: index * _TOTALS_WIDTH for index, peer in enumerate(peers)}
        # Behind all others, so that the file of an older version reads as before.
        self._lost = {peer: len(peers) * _TOTALS_WIDTH + at * len(COLUMNS) for at, peer in enumerate(peers)}

    @staticmethod
    def size(plan: Plan, process: int) -> int:
        """How many integers the totals of a process take."""
        return len(_links(plan, process)) * (_TOTALS_WIDTH + len(COLUMNS))

    def enter(self, to: int, kind: int, frame_bytes: int) -> None:
        """Count one frame."""
        self._count(self._row[to] + kind * len(COLUMNS), frame_bytes)

    def enter_lost(self, to: int, kind: int, frame_bytes: int) -> None:
        """Count one frame that was sent, and that a bad link lost."""
        self.enter(to, kind, frame_bytes)
        self._count(self._lost[to], frame_bytes)

    def _count(self, at: int, frame_bytes: int) -> None:
        memory = self._memory
        memory[at] += 1
        memory[at + 1] += frame_bytes - HEADER_BYTES
        memory[at + 2] += frame_bytes
        memory[at + 3] += curve_wire_bytes(frame_bytes)

    def table(self) -> Table:
        """What was counted; kind 0 is control traffic."""
        found: Table = {}
        for peer, start in self._row.items():
            for kind in range(len(Kind) + 1):
                at = start + kind * len(COLUMNS)
                if self._memory[at]:
                    found[peer, kind] = Count(*self._memory[at : at + len(COLUMNS)])
        return found

    def lost(self) -> dict[int, Count]:
        """What bad links lost, of all kinds together, by destination; it is in ``table`` too."""
        return {
            peer: Count(*self._memory[at : at + len(COLUMNS)]) for peer, at in self._lost.items() if self._memory[at]
        }


def _links(plan: Plan, process: int) -> tuple[int, ...]:
    """All that the process may ever send to: the totals are of the whole run, whoever is absent in between."""
    return replace(plan, absent=()).peers(process)


_TOTALS_WIDTH = (len(Kind) + 1) * len(COLUMNS)
