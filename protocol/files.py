"""Files that survive a kill at any instant: written beside, made durable, then renamed into place."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(path: Path, *parts: bytes) -> None:
    """Write a file so that after any crash its name holds either the old or the whole new content.

    Raises ``OSError`` (disk full, not writable); the old content then stays.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def append_durably(path: Path, line: bytes) -> None:
    """Append to a file and wait until it is on the disk. Raises ``OSError``."""
    is_new = not path.exists()
    with path.open("ab") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(directory: Path) -> None:
    """Delete what a killed writer left behind."""
    for leftover in directory.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)
