"""A launch's private directory: whose it is, and how long the paths in it get."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalmarl.launch import endpoint_book
from scalmarl.launch.endpoint_book import private_directory, remove_private_directory, socket_path_bytes


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "tmp"
    directory.mkdir()
    monkeypatch.setattr(endpoint_book.tempfile, "tempdir", str(directory))
    return directory


def test_what_a_killed_launch_left_goes_and_nothing_else(tmp_path: Path, temporary: Path) -> None:
    mine, copy = tmp_path / "run", tmp_path / "copy"
    private = private_directory(mine)
    assert private.stat().st_mode & 0o777 == 0o700
    other = temporary / "scalmarl-notes"
    other.mkdir()
    for control, run in ((str(private / "control"), copy), (str(other / "control"), mine), ("", mine)):
        remove_private_directory(control, run)
    assert private.is_dir(), "run.json of a copy names the directory of the live run"
    assert other.is_dir()
    remove_private_directory(str(private / "control"), mine)
    assert not private.exists()


def test_paths_are_measured_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    for letter in ("e", "\N{LATIN SMALL LETTER E WITH ACUTE}"):
        monkeypatch.setattr(endpoint_book.tempfile, "tempdir", "/" + 45 * letter)
        lengths.append(socket_path_bytes(8))
    assert lengths[1] == lengths[0] + 45
