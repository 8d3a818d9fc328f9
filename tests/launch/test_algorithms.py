"""Every algorithm as real processes: what is sent, what is learnt by, and the same bits after a kill and a resume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.launch.run_directory import RunDirectory, read_plan
from scalmarl.protocol.round_files import process_directory, read_round_file, round_path

Run = Callable[..., "subprocess.CompletedProcess[str]"]
ROUNDS = 6
SIZE = ("--agents", "3", "--kappa", "1", "--envs", "4", "--steps", "24", "--limit", "0.5")
KINDS = {
    "scal-mappo-l": {"state", "advantage", "slack", "turn"},
    "scal-mappo-l-printed": {"state"},
    "scal-mappo-l-exact": {"state", "advantage", "slack", "turn"},
    "mappo-l": {"state", "turn"},
    "macpo": {"state", "turn"},
    "happo": {"state", "turn"},
    "mappo": {"state"},
    "ippo": set(),
}


def run_digest(scalmarl: Run, path: Path) -> str:
    answer = scalmarl("digest", "--run", str(path), "--json")
    assert answer.returncode == 0, answer.stderr
    return str(json.loads(answer.stdout)["run"])


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


QUICK = ("macpo", "ippo")
"""The second update, and no exchange; the default is killed in every other room."""


@pytest.mark.parametrize("algo", [pytest.param(x, marks=[] if x in QUICK else pytest.mark.chaos) for x in ALGORITHMS])
def test_an_algorithm_runs_sends_what_it_says_and_survives_a_kill_and_a_resume(
    algo: str, start: Any, scalmarl: Run
) -> None:
    calm = start(f"calm-{algo}", *SIZE, "--algo", algo, "--rounds", str(ROUNDS))
    assert calm.end() == 0, calm.words
    traffic = json.loads(scalmarl("traffic", "--run", str(calm.path), "--json").stdout)
    between = [p for p in traffic["pairs"] if p["src"].startswith("agent") and p["dst"].startswith("agent")]
    assert {pair["kind"] for pair in between} == KINDS[algo]
    assert all(row["per_round_bytes"] == row["predicted_bytes"] for row in traffic["neighbourhoods"])

    hit = start(f"hit-{algo}", *SIZE, "--algo", algo, "--rounds", str(ROUNDS - 2))
    hit.wait_for_round(1)
    os.kill(hit.pid_of("agent/1"), signal.SIGKILL)
    assert hit.end() == 0, hit.words
    again = scalmarl("resume", str(hit.path), "--rounds", str(ROUNDS))
    assert again.returncode == 0, again.stderr
    assert run_digest(scalmarl, hit.path) == run_digest(scalmarl, calm.path)


def test_the_table_of_kinds_is_of_all_algorithms() -> None:
    told = {name: set(algorithm.switches.exchanged()) for name, algorithm in ALGORITHMS.items()}
    assert {name: kinds - {"state"} for name, kinds in KINDS.items()} == told


def test_without_costs_there_is_no_cost_critic_and_no_multiplier_moves(start: Any) -> None:
    run = start("happo", *SIZE, "--algo", "happo", "--rounds", "3", "--task", "cheetahs")
    assert run.end() == 0, run.words
    lines = lines_of(run.path)
    assert all(line["lambda_agent"] == [0.0] * 3 for line in lines)
    assert max(max(line["cost_estimate_agent"]) for line in lines) > 0.5, "the cost is told all the same"
    plan = read_plan(RunDirectory(run.path))
    content = read_round_file(round_path(process_directory(run.path, 0), 3), plan, 0, 3)
    names = safetensors.numpy.load(content)
    assert any(name.startswith("reward_critic.") for name in names)
    assert not any(name.startswith("cost_critic") for name in names)


def test_the_exact_variant_moves_only_where_its_gain_is_certain(start: Any) -> None:
    """With the theorem's constants nothing moves at gamma 0.99; at 0.3 some turns are accepted, none further than the
    bounds allow."""
    size = ("--agents", "2", "--kappa", "1", "--envs", "16", "--steps", "32", "--rounds", "4", "--limit", "900")
    still = start("still", *size, "--algo", "scal-mappo-l-exact")
    moves = start("moves", *size, "--algo", "scal-mappo-l-exact", "--set", "learner.gamma=0.3")
    assert (still.end(), moves.end()) == (0, 0)
    assert all(line["kl_agent"] == [0.0, 0.0] for line in lines_of(still.path))
    assert {bound for line in lines_of(still.path) for bound in line["bound_agent"]} == {"accept"}
    kls = [kl for line in lines_of(moves.path) for kl in line["kl_agent"]]
    assert any(kl > 0.0 for kl in kls)
    assert all(
        kl <= radius for line in lines_of(moves.path) for kl, radius in zip(line["kl_agent"], line["radius_agent"])
    )
