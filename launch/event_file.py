"""TensorBoard's event file of a run, in ``tb/``: all figures of a round as one record, at its environment steps.

``metrics.jsonl`` is what holds; this file only repeats it, so it is not waited for, and what a death tore or left out
is made good from there. One record per round, so a round is in the file whole or not at all, and never twice.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from scalmarl.launch.scalars import scalars

EXTRA = "tensorboard"
_HEAD = struct.Struct("<QI")
_CHECK = struct.Struct("<I")


def can_write() -> bool:
    """Whether the extra is installed."""
    return importlib.util.find_spec("tensorboardX") is not None


@contextlib.contextmanager
def _torch_left_out() -> Iterator[None]:
    """tensorboardX imports torch where there is one, to accept tensors; that would cost a launcher time and memory."""
    hide = "torch" not in sys.modules
    if hide:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hide:
            del sys.modules["torch"]


class EventFile:
    """The event file in ``directory``; call ``catch_up`` first. Raises ``OSError`` as files do, and ``ImportError``
    where the extra is not installed."""

    def __init__(self, directory: Path) -> None:
        with _torch_left_out():
            from tensorboardX.proto.event_pb2 import Event
            from tensorboardX.record_writer import masked_crc32c
        self._event, self._checksum, self._directory = Event, masked_crc32c, directory
        self._path = directory

    def catch_up(self, lines: Sequence[dict[str, Any]]) -> None:
        """Make the file hold exactly these lines of ``metrics.jsonl``: what is missing is appended; where it holds
        others (the run went back), it is replaced."""
        self._directory.mkdir(exist_ok=True)
        wanted = [line["env_steps"] for line in lines]
        recorded = None
        for path in sorted(self._directory.glob("events.out.tfevents.*.scalmarl")):
            steps, end = self._steps(path)
            if recorded is None and end and steps == wanted[: len(steps)]:
                os.truncate(path, end)
                self._path, recorded = path, len(steps)
            else:
                path.unlink()
        if recorded is None:
            self._path = self._directory / f"events.out.tfevents.{time.time_ns() // 1000}.scalmarl"
            self._append(self._event(wall_time=time.time(), file_version="brain.Event:2"), os.O_CREAT | os.O_EXCL)
        for line in lines[recorded or 0 :]:
            self.add(line)

    def is_there(self) -> bool:
        """Whether nobody took the file away."""
        return self._path.is_file()

    def add(self, line: dict[str, Any]) -> None:
        """Append a round."""
        event = self._event(wall_time=time.time(), step=line["env_steps"])
        for name, value in scalars(line).items():
            event.summary.value.add(tag=name, simple_value=value)
        self._append(event)

    def _append(self, event: Any, how: int = 0) -> None:
        data = event.SerializeToString()
        size = struct.pack("<Q", len(data))
        record = size + _CHECK.pack(self._checksum(size)) + data + _CHECK.pack(self._checksum(data))
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | how, 0o644)
        try:
            # In one piece, so that a death leaves a whole record or none; what a full disk cuts off is cut off later.
            if os.write(descriptor, record) < len(record):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        finally:
            os.close(descriptor)

    def _steps(self, path: Path) -> tuple[list[int], int]:
        """The steps of the rounds in a file, up to the first record that is not whole, and where that begins."""
        steps, at, size = [], 0, path.stat().st_size
        with path.open("rb") as file:
            while (data := self._record(file, size)) is not None:
                event = self._event.FromString(data)
                if event.HasField("summary"):
                    steps.append(int(event.step))
                at = file.tell()
        return steps, at

    def _record(self, file: BinaryIO, size: int) -> bytes | None:
        """The next record if it is whole; of all but the last only the head is checked, since only that can be torn."""
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        length, check = _HEAD.unpack(head)
        if check != self._checksum(head[:8]) or file.tell() + length + _CHECK.size > size:
            return None
        data, tail = file.read(length), file.read(_CHECK.size)
        if file.tell() == size and _CHECK.unpack(tail)[0] != self._checksum(data):
            return None
        return data
