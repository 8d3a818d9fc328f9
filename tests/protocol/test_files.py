"""Files that hold either the old or the whole new content."""

from __future__ import annotations

import errno
import os
import resource
import stat
from pathlib import Path

import pytest

from scalmarl.protocol.files import append_durably, remove_leftovers, sync_directory, write_durably


def test_a_file_is_written_from_its_parts(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_durably(path, b"one", b"", b"two")
    assert path.read_bytes() == b"onetwo"
    write_durably(path)
    assert path.read_bytes() == b""
    assert os.listdir(tmp_path) == ["file"]


def test_content_is_durable_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def watched_fsync(descriptor: int) -> None:
        steps.append(
            "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else f"{os.fstat(descriptor).st_size} bytes"
        )
        fsync(descriptor)

    def watched_rename(self: Path, target: Path) -> Path:
        steps.append(f"rename to {target.name}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "rename", watched_rename)
    write_durably(tmp_path / "file", b"12345")
    assert steps == ["5 bytes", "rename to file", "directory"]


def test_a_full_disk_leaves_the_old_content_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_write_that_the_kernel_cuts_short_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            write_durably(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_durably(tmp_path / "none" / "file", b"x")


def test_appending_adds_to_the_end_and_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int | str] = []
    fsync = os.fsync

    def watched_fsync(descriptor: int) -> None:
        state = os.fstat(descriptor)
        sizes.append("directory" if stat.S_ISDIR(state.st_mode) else state.st_size)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    append_durably(tmp_path / "log", b"one")
    append_durably(tmp_path / "log", b"two")
    assert (tmp_path / "log").read_bytes() == b"onetwo"
    assert sizes == [3, "directory", 6]


def test_leftovers_of_killed_writers_go_and_nothing_else(tmp_path: Path) -> None:
    for name in (".000003.round.123.tmp", ".x.tmp", "000003.round", "notes.tmp", ".hidden"):
        (tmp_path / name).write_bytes(b"x")
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hidden", "000003.round", "notes.tmp"]


def test_syncing_a_directory_leaks_no_descriptor(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        sync_directory(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
