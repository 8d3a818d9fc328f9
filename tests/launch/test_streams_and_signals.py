"""Nobody listens any more, or somebody stops a run before it has begun: neither is an error."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SIZE = ("--agents", "2", "--kappa", "1", "--envs", "4", "--steps", "8")


def command(path: Path, rounds: int) -> list[str]:
    return [sys.executable, "-m", "scalmarl", "launch", *SIZE, "--rounds", str(rounds), "--run", str(path)]


def default_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def state(path: Path) -> str:
    found: str = json.loads((path / "run.json").read_text())["state"]
    return found


@pytest.mark.parametrize("redirection", ["| true", "2>&1 | true", ">&- 2>&- <&-", ">/dev/full 2>&1"])
def test_a_run_goes_on_when_nobody_can_be_told(redirection: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = " ".join(command(run, 4))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {words} {redirection}"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert state(run) == "finished"


@pytest.mark.parametrize(
    ("number", "code", "after_s"),
    [(signal.SIGINT, 130, 0.0), (signal.SIGTERM, 143, 0.2), (signal.SIGHUP, 143, 0.4), (signal.SIGINT, 130, 0.4)],
)
def test_a_signal_during_the_start_stops_the_run(number: int, code: int, after_s: float, tmp_path: Path) -> None:
    """Counted from the moment at which the directory is there."""
    run = tmp_path / "run"
    process = subprocess.Popen(
        command(run, 100_000), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=default_signals
    )
    deadline = time.monotonic() + 60
    while not run.exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(after_s)
    process.send_signal(number)
    words, _ = process.communicate(timeout=60)
    assert process.returncode == code, words
    assert "Traceback" not in words
    assert state(run) == "stopped"


SWALLOWED = """
import os, signal, sys

MODULE = sys.argv.pop(1)

class Swallows:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(10_000):
                    pass
            except KeyboardInterrupt:
                pass

sys.meta_path.insert(0, Swallows())
from scalmarl.launch.entry import main
sys.argv[0] = "scalmarl"
main()
"""


@pytest.mark.parametrize("module", ["networkx", "scalmarl.launch.starting", "scalmarl.launch.planning"])
def test_ctrl_c_that_an_import_swallows_is_heeded(module: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [sys.executable, "-c", SWALLOWED, module, *command(run, 1)[3:]]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, preexec_fn=default_signals)
    assert (done.returncode, done.stderr) == (130, "")
    assert not run.exists()


def test_ctrl_c_before_anything_begins_leaves_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(
        command(run, 10), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=default_signals
    )
    time.sleep(0.15)
    process.send_signal(signal.SIGINT)
    words, _ = process.communicate(timeout=60)
    # On a slow machine the interpreter has not come to handlers by then: a death by SIGINT, which a shell reads as 130.
    assert process.returncode in (130, -signal.SIGINT), words
    assert not run.exists() or state(run) == "stopped"
