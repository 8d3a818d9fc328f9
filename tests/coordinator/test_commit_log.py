"""The commit log: appended durably, a torn tail cut off, damage noticed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import msgpack
import pytest

from scalmarl.coordinator.body import commit_record, read_commit_record
from scalmarl.coordinator.commit_log import CommitLog, cut_commits, log_path, read_commits
from scalmarl.protocol.errors import DamagedFile, DeterminismLost
from scalmarl.protocol.keys import SIM, Key, Kind
from scalmarl.protocol.round_files import encode_row


def row(round: int, figures: dict[str, Any]) -> bytes:
    return encode_row(round, figures, [[0, 7, round, 0, 0, 0]], {"work": {"sampling": 1.5}})


def record_of(round: int) -> bytes:
    keys = [Key(process, Kind.DONE, process, round - 1, 0) for process in (0, 1, SIM)]
    return commit_record(keys, [bytes([round + number]) * 32 for number in range(3)])


@pytest.fixture
def log(tmp_path: Path) -> CommitLog:
    log = CommitLog(tmp_path, row)
    for round in (1, 2, 3):
        log.write(round, record_of(round), {"waited": round})
    return log


HEAD_BYTES = 12
RECORDS = [(round, record_of(round)) for round in (1, 2, 3)]


def test_a_new_run_has_no_commits(tmp_path: Path) -> None:
    assert CommitLog(tmp_path, row).rounds() == []
    assert read_commits(log_path(tmp_path)) == ([], 0)


def test_commits_read_back_in_order(log: CommitLog, tmp_path: Path) -> None:
    assert log.path == log_path(tmp_path) == tmp_path / "coordinator" / "commits.log"
    assert read_commits(log.path) == (RECORDS, log.path.stat().st_size)
    assert CommitLog(tmp_path, row).rounds() == [3]
    assert CommitLog(tmp_path, row).read(3) == record_of(3)


def test_the_bytes_are_the_documented_layout(log: CommitLog) -> None:
    wanted = b""
    for round, record in RECORDS:
        payload = msgpack.packb([round, record])
        head = struct.pack("<II", len(payload), zlib.crc32(payload))
        wanted += head + struct.pack("<I", zlib.crc32(head)) + payload
    assert log.path.read_bytes() == wanted


def test_a_record_names_the_digest_of_every_process() -> None:
    assert read_commit_record(record_of(5)) == {0: bytes([5]) * 32, 1: bytes([6]) * 32, SIM: bytes([7]) * 32}


def test_a_write_returns_the_records_digest_and_writes_its_row(log: CommitLog) -> None:
    assert log.write(4, b"record", {"waited": 0.5}) == hashlib.sha256(b"record").digest()
    assert json.loads((log.path.parent / "000004.json").read_text()) == {
        "round": 3, "figures": {"waited": 0.5}, "sent": [[0, 7, 3, 0, 0, 0]], "spent": {"work": {"sampling": 1.5}},
    }  # fmt: skip


@pytest.mark.parametrize("reopened", [False, True])
def test_a_commit_may_be_repeated_and_adds_nothing(log: CommitLog, tmp_path: Path, reopened: bool) -> None:
    if reopened:
        log = CommitLog(tmp_path, row)
    before = log.path.read_bytes()
    assert log.write(3, record_of(3), {}) == hashlib.sha256(record_of(3)).digest()
    assert log.path.read_bytes() == before


def test_a_round_cannot_be_committed_with_other_digests(log: CommitLog) -> None:
    before = log.path.read_bytes()
    with pytest.raises(DeterminismLost, match="round 2 was committed with other digests before"):
        log.write(3, record_of(4), {})
    assert log.path.read_bytes() == before


def test_a_life_that_thaws_beside_its_replacement_commits_nothing_twice(log: CommitLog, tmp_path: Path) -> None:
    frozen = CommitLog(tmp_path, row)
    for round in (4, 5):
        log.write(round, record_of(round), {})
    before = log.path.read_bytes()
    assert frozen.write(4, record_of(4), {}) == hashlib.sha256(record_of(4)).digest()
    with pytest.raises(DeterminismLost, match="round 4 was committed with other digests before"):
        frozen.write(5, record_of(6), {})
    assert log.path.read_bytes() == before
    log.write(6, record_of(6), {})
    assert [round for round, _ in read_commits(log.path)[0]] == [1, 2, 3, 4, 5, 6]


def test_every_torn_tail_is_cut_off_and_the_commit_can_be_written_again(log: CommitLog, tmp_path: Path) -> None:
    whole = log.path.read_bytes()
    two = sum(HEAD_BYTES + len(msgpack.packb([round, record])) for round, record in RECORDS[:2])
    for length in range(two, len(whole)):
        log.path.write_bytes(whole[:length])
        assert read_commits(log.path) == (RECORDS[:2], two)
        again = CommitLog(tmp_path, row)
        assert again.rounds() == [2]
        assert log.path.read_bytes() == whole[:two]
    again.write(3, record_of(3), {})
    assert log.path.read_bytes() == whole


def test_a_tail_of_zeros_is_cut_off(log: CommitLog, tmp_path: Path) -> None:
    whole = log.path.read_bytes()
    for length in (1, HEAD_BYTES, 500):
        log.path.write_bytes(whole + bytes(length))
        assert read_commits(log.path) == (RECORDS, len(whole))
        CommitLog(tmp_path, row)
        assert log.path.read_bytes() == whole


def test_a_last_record_that_is_whole_and_wrong_is_damage(log: CommitLog) -> None:
    # Were it cut off, a committed round would be redone without the files that are needed for it.
    whole = log.path.read_bytes()
    last = len(whole) - HEAD_BYTES - len(msgpack.packb([3, record_of(3)]))
    for position in range(last, len(whole)):
        data = bytearray(whole)
        data[position] ^= 1
        log.path.write_bytes(data)
        with pytest.raises(DamagedFile, match="record 2 is damaged"):
            read_commits(log.path)


def test_damage_in_the_middle_names_file_record_and_cure(log: CommitLog, tmp_path: Path) -> None:
    whole = log.path.read_bytes()
    first = HEAD_BYTES + len(msgpack.packb([1, record_of(1)]))
    # Everything of the second record; were its length believed when it is wrong, later commits would be cut off.
    for position in range(first, 2 * first):
        data = bytearray(whole)
        data[position] ^= 1
        log.path.write_bytes(data)
        with pytest.raises(DamagedFile) as caught:
            read_commits(log.path)
        assert str(caught.value) == f"{log.path}: record 1 is damaged; put back a copy or start a new run"
    with pytest.raises(DamagedFile):
        CommitLog(tmp_path, row)
    assert len(log.path.read_bytes()) == len(whole)


def test_a_full_disk_does_not_make_a_commit(log: CommitLog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = log.path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            log.write(4, record_of(4), {})
    assert log.rounds() == [3]
    assert log.path.read_bytes() == before


@pytest.mark.parametrize("keep", [0, 1, 2, 3, 9])
def test_commits_are_cut_to_the_first_ones(log: CommitLog, tmp_path: Path, keep: int) -> None:
    cut_commits(log.path, keep)
    assert read_commits(log.path)[0] == RECORDS[:keep]
    again = CommitLog(tmp_path, row)
    assert again.rounds() == [round for round, _ in RECORDS[:keep]][-1:]
    again.write(len(RECORDS[:keep]) + 1, b"next", {})
    assert read_commits(log.path)[0] == [*RECORDS[:keep], (len(RECORDS[:keep]) + 1, b"next")]


def test_nothing_is_ever_deleted_and_leftovers_go(log: CommitLog, tmp_path: Path) -> None:
    before = log.path.read_bytes()
    log.delete(2)
    assert log.path.read_bytes() == before
    (log.path.parent / ".000009.json.1.tmp").write_bytes(b"half")
    CommitLog(tmp_path, row)
    assert not list(log.path.parent.glob(".*"))
