"""The terminal while a run is shown on it, and afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalmarl.launch.display import Foreground
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.protocol.standins import toy_plan

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def test_the_cursor_comes_back_however_the_run_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    shown = Foreground(RunDirectory(tmp_path), toy_plan([[1], [0]], [0, 1]), 0)
    shown.close()
    assert HIDE not in capsys.readouterr().err, "nothing was shown"
    shown = Foreground(RunDirectory(tmp_path), toy_plan([[1], [0]], [0, 1]), 0)
    shown.show({"round": 0, "processes": []})
    shown.note("something happened")
    shown.close()
    said = capsys.readouterr().err
    assert said.count(HIDE) == said.count(SHOW) == 1
    assert said.index("something happened") < len(said)
