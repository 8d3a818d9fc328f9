"""The durable round files of one process, and the row of figures beside each.

``000012.round`` is the state at the start of round 12: a magic word, a MessagePack header (format, run, configuration,
process, round), the content, and the SHA-256 of all before it. ``000012.json`` holds the figures of round 11, outside
every digest. A file that its round's commit has overtaken goes to ``archive/`` (the last three, then every tenth).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack

from scalmarl.protocol.errors import DamagedFile, DeterminismLost
from scalmarl.protocol.files import remove_leftovers, sync_directory, write_durably
from scalmarl.protocol.keys import Role, process_name, role_of
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.wall_time import Spent

MAGIC = b"scalmarl round 1\n"
DIGEST_BYTES = 32
ARCHIVE_LAST = 3
ARCHIVE_EVERY = 10

RoundRow = Callable[[int, dict[str, Any]], bytes]
"""A finished round and its figures -> its row, as ``encode_row`` makes it."""


def encode_row(round: int, figures: dict[str, Any], sent: list[list[int]], spent: Spent) -> bytes:
    """What the launcher reads of a finished round (``launch.records``): figures, first sendings, wall time."""
    return json.dumps({"round": round, "figures": figures, "sent": sent, "spent": spent}).encode()


def process_directory(run_directory: Path, process: int) -> Path:
    """``agents/003``, ``sim`` or ``coordinator`` inside the run directory."""
    role = role_of(process)
    return run_directory / (f"agents/{process:03d}" if role is Role.AGENT else role.value)


def round_path(directory: Path, round: int) -> Path:
    """Where the file of a round lies."""
    return directory / f"{round:06d}.round"


def row_path(directory: Path, round: int) -> Path:
    """Where the figures of a finished round lie: beside the file that the round ended with."""
    return directory / f"{round + 1:06d}.json"


def kept_rounds(directory: Path) -> list[int]:
    """The rounds whose files lie in this directory, ascending. What else lies there is nobody's."""
    return sorted(int(path.stem) for path in directory.glob("*.round") if path.stem.isdecimal())


def round_paths(directory: Path) -> dict[int, Path]:
    """Round -> the file of it that a process keeps, ascending; in the archive where it is not in its place."""
    places = (directory / "archive", directory)
    paths = {round: round_path(place, round) for place in places for round in kept_rounds(place)}
    return dict(sorted(paths.items()))


class RoundFiles:
    """The store (``protocol.runtime.Store``) of an agent or of the sim server."""

    def __init__(self, run_directory: Path, process: int, plan: Plan, row: RoundRow) -> None:
        self.directory = process_directory(run_directory, process)
        self._process, self._plan, self._row = process, plan, row
        self.directory.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.directory)

    def rounds(self) -> list[int]:
        """The kept rounds, ascending."""
        return kept_rounds(self.directory)

    def read(self, round: int) -> bytes:
        """The content of a kept file. A damaged one stays in its place, so that no life starts from a newer file that
        may not be committed."""
        return read_round_file(round_path(self.directory, round), self._plan, self._process, round)

    def write(self, round: int, content: bytes, figures: dict[str, Any]) -> bytes:
        """Make figures and file durable and return the content's digest."""
        digest = hashlib.sha256(content).digest()
        path = round_path(self.directory, round)
        if path.exists():
            self._compare(path, round, digest)
        if round > 0:
            write_durably(row_path(self.directory, round - 1), self._row(round - 1, figures))
        write_durably(path, *frame_round_file(self._plan, self._process, round, content))
        return digest

    def delete(self, round: int) -> None:
        """Let go of a committed file."""
        archive_file(self.directory, round)

    def _compare(self, path: Path, round: int, digest: bytes) -> None:
        try:
            there = read_round_file(path, self._plan, self._process, round)
        except DamagedFile:
            return  # what is written now mends it
        if hashlib.sha256(there).digest() != digest:
            raise DeterminismLost(
                f"{process_name(self._process)} wrote the file of round {round} again with other content; look for "
                f"another torch, numpy, mujoco or thread count since the last start"
            )


def archive_file(directory: Path, round: int) -> None:
    """Move a file that is not needed any more into the archive, which is thinned."""
    archive = directory / "archive"
    archive.mkdir(exist_ok=True)
    old = round - ARCHIVE_LAST
    if old >= 0 and old % ARCHIVE_EVERY:
        # Before the move: a death in between leaves a file that is moved again, and with it this is done again.
        round_path(archive, old).unlink(missing_ok=True)
    path = round_path(directory, round)
    os.replace(path, archive / path.name)


def sync_round_files(directory: Path) -> None:
    """Make durable what was moved and removed of a process's files; a move first where it arrives, so none is lost."""
    for place in (directory / "archive", directory):
        if place.exists():
            sync_directory(place)


def frame_round_file(plan: Plan, process: int, round: int, content: bytes) -> tuple[bytes, ...]:
    """The bytes of a round file, in parts."""
    header: bytes = msgpack.packb([plan.run, plan.config_hash, process, round, len(content)])
    start = MAGIC + len(header).to_bytes(4, "little") + header
    check = hashlib.sha256(start)
    check.update(content)
    return start, content, check.digest()


def read_round_file(path: Path, plan: Plan, process: int, round: int) -> bytes:
    """The content of a round file of exactly this run, process and round; raises ``DamagedFile`` otherwise."""
    data = path.read_bytes()
    body, check = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    cure = "put back a copy, resume from the archive with --from-round, or start a new run"
    if not data.startswith(MAGIC) or hashlib.sha256(body).digest() != check:
        raise DamagedFile(f"{path}: the round file is damaged (its SHA-256 differs); {cure}")
    at = len(MAGIC) + 4
    size = int.from_bytes(data[len(MAGIC) : at], "little")
    run, config_hash, owner, number, length = msgpack.unpackb(data[at : at + size])
    content = body[at + size :]
    if (run, config_hash, owner, number, length) != (plan.run, plan.config_hash, process, round, len(content)):
        raise DamagedFile(f"{path}: the round file belongs to another run, process or round; {cure}")
    return content
