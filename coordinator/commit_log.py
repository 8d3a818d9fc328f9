"""The coordinator's durable state: an append-only log with one record per committed round.

A record is a head (length, CRC-32 of the payload, CRC-32 of these two) and a payload, MessagePack ``[round, digests]``.
A torn last record, the trace of a death while it was appended, is cut off; anything else that is wrong is damage.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import msgpack

from scalmarl.protocol.errors import DamagedFile, DeterminismLost
from scalmarl.protocol.files import append_durably, remove_leftovers, write_durably
from scalmarl.protocol.keys import COORDINATOR
from scalmarl.protocol.round_files import RoundRow, process_directory, row_path

_HEAD = struct.Struct("<III")


def log_path(run_directory: Path) -> Path:
    """Where a run's commit log lies."""
    return process_directory(run_directory, COORDINATOR) / "commits.log"


def read_commits(path: Path) -> tuple[list[tuple[int, bytes]], int]:
    """All whole records as ``(next round, record)``, and how many bytes of the file they are.

    Raises ``DamagedFile`` when a record in the middle is wrong.
    """
    data = path.read_bytes() if path.exists() else b""
    records: list[tuple[int, bytes]] = []
    at = 0
    while at + _HEAD.size <= len(data) and any(data[at:]):
        length, crc, head_crc = _HEAD.unpack_from(data, at)
        start, end = at + _HEAD.size, at + _HEAD.size + length
        if zlib.crc32(data[at : at + 8]) == head_crc and end > len(data):
            break
        payload = data[start:end]
        if zlib.crc32(data[at : at + 8]) != head_crc or zlib.crc32(payload) != crc:
            raise DamagedFile(f"{path}: record {len(records)} is damaged; put back a copy or start a new run")
        round, record = msgpack.unpackb(payload)
        if round != len(records) + 1:
            raise DamagedFile(f"{path}: record {len(records)} commits round {round - 1}; put back a copy or start anew")
        records.append((round, record))
        at = end
    return records, at


def _frame(round: int, content: bytes) -> bytes:
    payload: bytes = msgpack.packb([round, content])
    head = struct.pack("<II", len(payload), zlib.crc32(payload))
    return head + struct.pack("<I", zlib.crc32(head)) + payload


class CommitLog:
    """The coordinator's store (``protocol.runtime.Store``): its only file is the last record."""

    def __init__(self, run_directory: Path, row: RoundRow) -> None:
        self.path = log_path(run_directory)
        self._row = row
        self.path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.path.parent)
        records, whole = read_commits(self.path)
        if self.path.exists() and self.path.stat().st_size > whole:
            os.truncate(self.path, whole)
        self._last = records[-1] if records else None
        self._size = whole

    def rounds(self) -> list[int]:
        """The round after the last commit, if any."""
        return [self._last[0]] if self._last else []

    def read(self, round: int) -> bytes:
        """The last record."""
        assert self._last is not None
        return self._last[1]

    def write(self, round: int, content: bytes, figures: dict[str, Any]) -> bytes:
        """Append the commit of ``round - 1``; this is the moment from which it holds."""
        digest = hashlib.sha256(content).digest()
        there = self._recorded(round)
        if there is not None:
            if there != content:
                raise DeterminismLost(f"round {round - 1} was committed with other digests before")
            return digest
        write_durably(row_path(self.path.parent, round - 1), self._row(round - 1, figures))
        frame = _frame(round, content)
        append_durably(self.path, frame)
        self._last = (round, content)
        self._size += len(frame)
        return digest

    def _recorded(self, round: int) -> bytes | None:
        """The record of a round, if the log has it: of this life, or of a replacement that a frozen life finds at work
        when it thaws."""
        if self._last is not None and self._last[0] == round:
            return self._last[1]
        if not self.path.exists() or self.path.stat().st_size == self._size:
            return None
        return dict(read_commits(self.path)[0]).get(round)

    def delete(self, round: int) -> None:
        """Nothing: the log is append-only."""


def cut_commits(path: Path, rounds: int) -> None:
    """Keep only the first ``rounds`` commits, durably."""
    records, _ = read_commits(path)
    write_durably(path, *(_frame(round, record) for round, record in records[:rounds]))
