"""A number that is not finite stops the run with its place; the run goes on once that is mended."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scalmarl.protocol.keys import SIM
from scalmarl.protocol.round_files import frame_round_file, process_directory, read_round_file, round_path
from scalmarl.protocol.shell import read_plan

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SIZE = ("--task", "cheetahs", "--agents", "2", "--kappa", "1", "--envs", "4", "--steps", "8")


def break_physics(run: Path, round: int) -> bytes:
    """Put a NaN among the coordinates of copy 2 in the sim server's file; returns the file as it was."""
    plan, path = read_plan(run), round_path(process_directory(run, SIM), round)
    whole = path.read_bytes()
    with np.load(io.BytesIO(read_round_file(path, plan, SIM, round))) as saved:
        arrays = {name: saved[name] for name in saved.files}
    arrays["state"][2, 3] = np.nan
    content = io.BytesIO()
    np.savez(content, **arrays)
    path.write_bytes(b"".join(frame_round_file(plan, SIM, round, content.getvalue())))
    return whole


def test_broken_physics_stops_the_run_which_goes_on_after_the_mend(start: Any, scalmarl: Run) -> None:
    whole = start("whole", *SIZE, "--rounds", "6")
    assert whole.end() == 0, whole.words
    broken = start("broken", *SIZE, "--rounds", "3")
    assert broken.end() == 0, broken.words
    good = break_physics(broken.path, 3)
    again = start("broken", str(broken.path), "--rounds", "6", command=("resume",))
    assert again.end() == 1, again.words
    assert "sim crashed 3 times" in again.words
    assert "cheetahs: the physics gave a number that is not finite; copy 2, " in again.words
    assert "last action [" in again.words
    state = json.loads(scalmarl("ps", "--run", str(broken.path), "--json").stdout)
    assert state["state"] == "failed"
    round_path(process_directory(broken.path, SIM), 3).write_bytes(good)
    mended = start("broken", str(broken.path), command=("resume",))
    assert mended.end() == 0, mended.words
    found = [json.loads(scalmarl("digest", "--run", str(run.path), "--json").stdout) for run in (whole, broken)]
    assert found[0] == found[1]


def test_an_action_that_is_not_finite_is_told_with_its_place(start: Any) -> None:
    broken = start("infinite", *SIZE, "--rounds", "3", "--set", "learner.initial_std=3e38")
    assert broken.end() == 1, broken.words
    assert "cheetahs: an action gave a number that is not finite; copy" in broken.words


def test_a_weight_that_is_not_finite_is_told_with_agent_round_and_network(start: Any) -> None:
    broken = start("diverged", *SIZE, "--rounds", "3", "--set", "learner.critic_lr=1e37")
    assert broken.end() == 1, broken.words
    assert "round 0: a parameter of its reward_critic is not finite" in broken.words
    assert "NotFinite('agent/" in broken.words
    assert "mend the cause first" in broken.words
