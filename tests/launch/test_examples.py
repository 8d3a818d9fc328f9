"""The examples run, and say what their pages say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "kill_and_compare.py"


def kill_and_compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLE), *arguments], capture_output=True, text=True, timeout=280, check=False
    )


@pytest.mark.chaos
def test_kill_and_compare_finds_the_same_bits() -> None:
    small = ("--agents", "3", "--kappa", "1", "--rounds", "40", "--envs", "4", "--steps", "24")
    answer = kill_and_compare(*small)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.count("yes ") == 4
    assert answer.stdout.count("SIGKILL") == 5


@pytest.mark.chaos
@pytest.mark.parametrize("kill_seed", range(10))
def test_every_process_of_eight_is_killed_three_times(kill_seed: int) -> None:
    answer = kill_and_compare("--rounds", "60", "--times", "3", "--kill-seed", str(kill_seed))
    assert answer.returncode == 0, answer.stdout + answer.stderr
