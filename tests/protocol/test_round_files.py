"""Round files: written whole, checked when read, archived when committed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest

from scalmarl.protocol.errors import DamagedFile, DeterminismLost
from scalmarl.protocol.keys import COORDINATOR, SIM
from scalmarl.protocol.round_files import (
    MAGIC,
    RoundFiles,
    encode_row,
    kept_rounds,
    process_directory,
    read_round_file,
    round_path,
    round_paths,
    row_path,
)
from scalmarl.protocol.standins import toy_plan

PLAN = toy_plan(((1,), (0,)), (0, 1))
CURE = "put back a copy, resume from the archive with --from-round, or start a new run"


def row(round: int, figures: dict[str, Any]) -> bytes:
    return encode_row(round, figures, [[1, 2, round, 0, 0, 0]], {"work": {"sampling": 1.5}})


@pytest.fixture
def files(tmp_path: Path) -> RoundFiles:
    return RoundFiles(tmp_path, 1, PLAN, row)


def test_every_process_has_a_directory(tmp_path: Path) -> None:
    names = [process_directory(tmp_path, process).relative_to(tmp_path).as_posix() for process in (7, SIM, COORDINATOR)]
    assert names == ["agents/007", "sim", "coordinator"]


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 1000], ids=["empty", "one byte", "256 kB"])
def test_a_content_reads_back_and_its_digest_is_its_sha256(files: RoundFiles, content: bytes) -> None:
    assert files.rounds() == []
    assert files.write(12, content, {}) == hashlib.sha256(content).digest()
    assert files.rounds() == [12]
    assert files.read(12) == content


def test_the_bytes_are_the_documented_layout(files: RoundFiles) -> None:
    files.write(12, b"content", {})
    header = msgpack.packb([7, "toy", 1, 12, 7])
    body = b"scalmarl round 1\n" + len(header).to_bytes(4, "little") + header + b"content"
    assert (files.directory / "000012.round").read_bytes() == body + hashlib.sha256(body).digest()


def test_the_figures_of_the_finished_round_lie_beside_and_outside_the_digest(files: RoundFiles) -> None:
    with_figures = files.write(3, b"content", {"return": 1.5})
    assert json.loads(row_path(files.directory, 2).read_text()) == {
        "round": 2, "figures": {"return": 1.5}, "sent": [[1, 2, 2, 0, 0, 0]], "spent": {"work": {"sampling": 1.5}},
    }  # fmt: skip
    assert row_path(files.directory, 2).name == "000003.json"
    assert files.write(3, b"content", {"return": 2.5}) == with_figures
    files.write(0, b"start", {})
    assert sorted(path.name for path in files.directory.glob("*.json")) == ["000003.json"]


# ---- damage ----


@pytest.mark.parametrize("where", ["magic", "header", "content", "digest"])
def test_a_flipped_byte_is_damage_that_names_file_and_cure(files: RoundFiles, where: str) -> None:
    files.write(3, b"content" * 10, {})
    path = round_path(files.directory, 3)
    data = bytearray(path.read_bytes())
    data[{"magic": 0, "header": len(MAGIC) + 6, "content": -60, "digest": -1}[where]] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedFile) as caught:
        files.read(3)
    assert str(caught.value) == f"{path}: the round file is damaged (its SHA-256 differs); {CURE}"


def test_every_flipped_byte_and_every_truncation_is_damage(files: RoundFiles) -> None:
    files.write(3, b"content", {})
    path = round_path(files.directory, 3)
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x40]) + data[position + 1 :])
        with pytest.raises(DamagedFile, match="damaged"):
            read_round_file(path, PLAN, 1, 3)
        path.write_bytes(data[:position])
        with pytest.raises(DamagedFile, match="damaged"):
            read_round_file(path, PLAN, 1, 3)
    path.write_bytes(data + b"\0")
    with pytest.raises(DamagedFile, match="damaged"):
        read_round_file(path, PLAN, 1, 3)
    path.write_bytes(data)
    assert read_round_file(path, PLAN, 1, 3) == b"content"


def test_a_damaged_oldest_file_stays_so_that_no_life_starts_from_a_newer_one(files: RoundFiles) -> None:
    files.write(3, b"content", {})
    files.write(4, b"content", {})
    round_path(files.directory, 3).write_bytes(b"")
    for _ in range(2):
        with pytest.raises(DamagedFile):
            files.read(files.rounds()[0])
    assert files.rounds() == [3, 4]


@pytest.mark.parametrize("stranger", ["run", "configuration", "process", "round"])
def test_a_sound_file_of_something_else_is_not_used(tmp_path: Path, stranger: str) -> None:
    plan = {"run": replace(PLAN, run=8), "configuration": replace(PLAN, config_hash="other")}.get(stranger, PLAN)
    other = RoundFiles(tmp_path / "other", 0 if stranger == "process" else 1, plan, row)
    round = 4 if stranger == "round" else 3
    other.write(round, b"content", {})
    files = RoundFiles(tmp_path / "own", 1, PLAN, row)
    path = round_path(files.directory, 3)
    path.write_bytes(round_path(other.directory, round).read_bytes())
    with pytest.raises(DamagedFile) as caught:
        files.read(3)
    assert str(caught.value) == f"{path}: the round file belongs to another run, process or round; {CURE}"


# ---- writing again ----


def test_the_same_content_may_be_written_again_and_other_content_may_not(files: RoundFiles) -> None:
    files.write(3, b"content", {})
    assert files.write(3, b"content", {}) == hashlib.sha256(b"content").digest()
    with pytest.raises(DeterminismLost, match=r"agent/1 wrote the file of round 3 again with other content; look for"):
        files.write(3, b"Content", {})
    assert files.read(3) == b"content"


def test_writing_again_mends_a_damaged_file(files: RoundFiles) -> None:
    files.write(3, b"content", {})
    round_path(files.directory, 3).write_bytes(b"damage")
    files.write(3, b"content", {})
    assert files.read(3) == b"content"


def test_a_full_disk_leaves_the_kept_files_as_they_are(files: RoundFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write(3, b"content", {})
    before = {path.name: path.read_bytes() for path in files.directory.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            files.write(4, b"next", {})
        with pytest.raises(OSError, match="No space left"):
            files.write(3, b"content", {})
    assert {path.name: path.read_bytes() for path in files.directory.iterdir()} == before
    files.write(4, b"next", {})
    assert files.rounds() == [3, 4]


def test_what_a_killed_writer_left_is_removed_at_the_start(files: RoundFiles, tmp_path: Path) -> None:
    files.write(3, b"content", {})
    (files.directory / ".000004.round.999.tmp").write_bytes(b"half")
    (files.directory / ".000004.json.999.tmp").write_bytes(b"half")
    again = RoundFiles(tmp_path, 1, PLAN, row)
    assert sorted(path.name for path in again.directory.iterdir()) == ["000003.json", "000003.round"]
    assert again.read(3) == b"content"


# ---- the archive ----


def test_the_archive_keeps_the_last_three_and_every_tenth(files: RoundFiles) -> None:
    for round in range(26):
        files.write(round, b"content %d" % round, {})
        if round > 0:
            files.delete(round - 1)
        archived = {int(path.stem) for path in (files.directory / "archive").glob("*.round")}
        gone = range(round)
        assert archived == {r for r in gone if r % 10 == 0 or r >= round - 3}
    assert files.rounds() == [25]
    assert archived == {0, 10, 20, 22, 23, 24}


def test_an_archived_file_is_still_a_sound_round_file(files: RoundFiles) -> None:
    files.write(3, b"content", {})
    files.delete(3)
    assert files.rounds() == []
    assert read_round_file(round_path(files.directory / "archive", 3), PLAN, 1, 3) == b"content"


def test_archiving_a_round_again_replaces_it(files: RoundFiles) -> None:
    for _ in range(2):
        files.write(3, b"content", {})
        files.delete(3)
    assert [path.name for path in (files.directory / "archive").iterdir()] == ["000003.round"]


def test_files_of_other_names_are_nobodys_and_the_kept_one_comes_before_the_archived(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    for name in (
        "000012.round",
        "000003.round",
        "backup.round",
        ".round",
        "archive/000012.round",
        "archive/000001.round",
    ):
        (tmp_path / name).touch()
    assert kept_rounds(tmp_path) == [3, 12]
    assert kept_rounds(tmp_path / "missing") == []
    assert round_paths(tmp_path) == {
        1: tmp_path / "archive/000001.round", 3: tmp_path / "000003.round", 12: tmp_path / "000012.round"
    }  # fmt: skip
