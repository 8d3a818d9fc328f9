"""``scalmarl top``: its table at every width, in a terminal until q, and once where there is none."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from scalmarl.launch.cli import main
from scalmarl.launch.records import last_lines
from scalmarl.launch.run_directory import RunDirectory, hold, read_plan
from scalmarl.launch.top import BARS, PLAIN_BARS, Picture, figures_of, picture_data, spark

WITHIN_S = 60.0


@pytest.mark.parametrize(
    ("values", "width", "bars"),
    [
        ([0.0, 7.0], 8, "▁█"),
        ([3.0, 3.0, 3.0], 8, "▁▁▁"),
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 8, BARS),
        ([9.0, 0.0, 7.0], 2, "▁█"),
        ([1.0, None, 8.0], 8, "▁ █"),
        ([None, None], 8, ""),
        ([], 8, ""),
    ],
)
def test_sparks_go_from_the_least_to_the_greatest(values: list[float | None], width: int, bars: str) -> None:
    assert spark(values, width) == bars
    assert len(spark(values, width, PLAIN_BARS)) == len(bars)


def document(path: Path, **state: Any) -> tuple[dict[str, Any], dict[str, str]]:
    run = RunDirectory(path)
    plan, lines = read_plan(run), last_lines(run.metrics, 60)
    return picture_data("runs/a", plan, {**run.read_state(), **state}, lines), figures_of(plan, lines)


def drawn(path: Path, width: int, height: int = 24, terminal: bool = False, **state: Any) -> list[str]:
    out = Console(
        file=io.StringIO(), width=width, height=height, force_terminal=terminal, no_color=True, markup=False,
        legacy_windows=False,
    )  # fmt: skip
    out.print(Picture(*document(path, **state)))
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 130])
def test_every_process_has_a_row_and_none_is_too_wide(width: int, calm: Any) -> None:
    lines = drawn(calm.path, width)
    assert max(map(len, lines)) <= width
    for name in ("agent/0", "agent/1", "agent/2", "sim", "coordinator"):
        assert sum(line.startswith(f"{name} ") for line in lines) == 1
    assert any(line.startswith("return ") and BARS[-1] in line for line in lines)
    assert ("KL" in " ".join(lines)) == (width == 130)


def test_who_waits_for_whom_is_readable_at_80_columns(calm: Any) -> None:
    processes = json.loads((calm.path / "run.json").read_text())["processes"]
    for process in processes:
        process |= {"state": "running", "waits_for": "observation of sim"}
    processes[1] |= {"state": "down", "waits_for": "", "phase": None}
    processes[2]["silent_s"] = 12.3
    text = "\n".join(drawn(calm.path, 80, processes=processes))
    assert "observation of sim" in text
    assert "agent/1     down" in text
    assert "running 12 s" in text


def test_more_agents_than_lines_are_counted(calm: Any) -> None:
    lines = drawn(calm.path, 80, height=13, terminal=True)
    assert any("more; 'scalmarl ps' has all" in line for line in lines)


def test_a_run_without_a_round_has_no_figures(calm: Any, tmp_path: Path) -> None:
    for name in ("plan.json", "run.json"):
        shutil.copy(calm.path / name, tmp_path / name)
    lines = drawn(tmp_path, 80, round=0)
    assert not any(line.startswith("return ") for line in lines)
    assert sum(line.startswith("agent/") for line in lines) == 3


def test_without_a_terminal_it_is_one_table(calm: Any) -> None:
    answer = CliRunner().invoke(main, ["top", "--run", str(calm.path)], env={"COLUMNS": "80", "NO_COLOR": "1"})
    assert answer.exit_code == 0, answer.output
    assert "\x1b" not in answer.stdout
    assert answer.stdout.count("coordinator ") == 1
    assert "finished, 40 of 40 rounds" in answer.stdout


def watch(run: Path, keys: bytes = b"", number: int = 0) -> tuple[int, str]:
    """``top`` in a terminal of 80 columns; once it has drawn, it gets these keys, or this signal."""
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "scalmarl", "top", "--run", str(run)], stdin=inside, stdout=inside, stderr=inside,
        env={**os.environ, "COLUMNS": "80", "LINES": "24", "TERM": "xterm", "NO_COLOR": "1"}, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(inside)
    said, told, deadline = b"", False, time.monotonic() + WITHIN_S
    try:
        while select.select([terminal], [], [], max(deadline - time.monotonic(), 0.0))[0]:
            try:
                said += os.read(terminal, 65536)
            except OSError:
                break
            if b"q: end" in said and not told:
                told = True
                if number:
                    process.send_signal(number)
                os.write(terminal, keys)
        else:
            pytest.fail(f"top has not ended: {said!r}")
        return process.wait(WITHIN_S), said.decode(errors="replace")
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


@pytest.fixture
def live(calm: Any, tmp_path: Path) -> Any:
    """What reads as a live run: its state says so, and its lock is held."""
    for name in ("plan.json", "run.json", "metrics.jsonl"):
        shutil.copy(calm.path / name, tmp_path / name)
    state = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**state, "state": "running", "control": ""}))
    descriptor = hold(tmp_path / "lock")
    assert descriptor is not None
    yield tmp_path
    os.close(descriptor)


@pytest.mark.parametrize(("keys", "number", "code"), [(b"q", 0, 0), (b"\x03", 0, 0), (b"", signal.SIGTERM, 143)])
def test_in_a_terminal_it_ends_by_q_ctrl_c_and_sigterm_and_leaves_the_terminal_as_it_was(
    keys: bytes, number: int, code: int, live: Path
) -> None:
    ended, said = watch(live, keys, number)
    assert ended == code
    assert "\x1b[?1049h" in said
    assert said.rindex("\x1b[?1049l") > said.rindex("q: end"), "the screen of before is back"
    assert said.count("\x1b[?25l") <= said.count("\x1b[?25h"), "the cursor is back"
    if code == 0:
        assert "coordinator" in said[said.rindex("\x1b[?1049l") :], "the last picture stays"
