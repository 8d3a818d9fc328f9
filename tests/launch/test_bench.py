"""The benches of recovery: what they compute from what they saw, and that their switched-off parts are really off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scalmarl.launch.bench import recovery
from scalmarl.launch.bench.machinery import PARTS, environment
from scalmarl.launch.bench.recovery import Struck
from scalmarl.protocol.round_files import process_directory

TINY = ("--agents", "3", "--kappa", "1", "--envs", "4", "--steps", "24", "--rounds", "3")


def test_a_row_counts_what_survived_and_what_was_identical() -> None:
    struck = [Struck("a", [0.1, 0.3], [5, 7], 100), Struck("b", [0.2], [], 300), Struck(None, [], [], None)]
    row = recovery._row("x", struck, "a")
    assert (row["runs"], row["survived"], row["identical"], row["recoveries"]) == (3, 2, 1, 3)
    assert row["median_s"] == pytest.approx(0.2)
    assert row["p99_s"] == pytest.approx(0.298)
    assert (row["redone_steps_mean"], row["redone_steps_largest"]) == (6.0, 7)
    assert row["repeat_bytes_per_run"] == pytest.approx(200), "of those that ended"
    assert "3 runs, 2 survived, 1 identical" in recovery.row_text(row)
    assert recovery._row("y", [Struck("a", [], [], 0)], "a")["median_s"] is None


@pytest.mark.parametrize(
    "words",
    [
        "startup --runs 0", "sampling --pairs 0", "restart --kills 0", "memory --agents 0", "worlds --pairs 0",
        "worlds --copies 0", "sampling --kappa -1", "absence --rounds 0",
    ],
)  # fmt: skip
def test_a_number_that_measures_nothing_is_refused(words: str, call: Any) -> None:
    answer = call("bench", *words.split())
    assert answer.exit_code == 2, answer.output
    assert f"Invalid value for '{words.split()[1]}'" in answer.stderr


def launched(path: Path, parts: tuple[str, ...], scratch: Path) -> list[dict[str, Any]]:
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "scalmarl", "launch", "--run", str(path), *TINY],
        env=environment(parts, scratch), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_without_its_machinery_a_run_learns_the_same_and_leaves_nothing_to_come_back_from(tmp_path: Path) -> None:
    timed = {"wall_s", "sample_s", "update_s", "spent_agent", "spent_sim"}
    whole, bare = (
        [{name: value for name, value in line.items() if name not in timed} for line in lines]
        for lines in (launched(tmp_path / n, p, tmp_path / f"{n}-hook") for n, p in (("a", ()), ("b", tuple(PARTS))))
    )
    assert whole == bare
    assert list(process_directory(tmp_path / "a", 0).glob("*.round"))
    assert not list(process_directory(tmp_path / "b", 0).glob("*.round"))
    log = (tmp_path / "b" / "coordinator" / "commits.log").read_bytes()
    assert bytes(32) in log, "no digest was made"


def test_absence_must_lie_inside_the_run(scalmarl: Callable[..., Any]) -> None:
    for arguments, words in ((("--first", "0"), "do not lie inside"), (("--missing", "8"), "there is no agent 8")):
        said = scalmarl("bench", "absence", *arguments)
        assert said.returncode == 2
        assert words in said.stderr
    assert "SCALMARL_BENCH_WITHOUT" not in os.environ
