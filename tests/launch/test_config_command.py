"""``scalmarl config`` and ``completion``: values with their origins, differences, and what a shell is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scalmarl.launch.cli import main
from scalmarl.launch.config import all_keys
from scalmarl.launch.run_directory import RunDirectory, read_plan


def told(*words: str) -> dict[str, Any]:
    answer = CliRunner().invoke(main, ["config", *words, "--json"])
    assert answer.exit_code == 0, answer.output
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def by_key(document: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    return {row["key"]: (row["value"], row["origin"]) for row in document["values"]}


def test_every_value_of_a_run_has_its_origin(calm: Any) -> None:
    found = by_key(told("show", "--run", str(calm.path)))
    assert list(found) == list(all_keys())
    assert found["run.agents"] == (3, "flag")
    assert found["learner.clip"] == (0.2, "default")
    assert found["learner.radius"] == ("ledger", "algorithm")
    assert found["world.limit"] == (5.0, "task")


def test_rounds_that_resume_gave_are_those_of_the_plan(calm: Any, tmp_path: Path) -> None:
    for name in ("plan.json", "run.json", "config.toml", "config.origin.json"):
        shutil.copy(calm.path / name, tmp_path / name)
    longer = replace(read_plan(RunDirectory(tmp_path)), rounds=70)
    (tmp_path / "plan.json").write_text(json.dumps(longer.to_data()))
    assert by_key(told("show", "--run", str(tmp_path)))["run.rounds"] == (70, "resume")


def test_what_a_launch_would_take_is_shown_without_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[run]\nalgo = "macpo"\n[learner]\ngamma = 0.9\n')
    found = by_key(told("show", "--config", str(file), "--set", "run.order=fixed"))
    assert found["run.algo"] == ("macpo", str(file))
    assert found["run.order"] == ("fixed", "--set")
    assert found["learner.gamma"] == (0.9, str(file))
    assert found["learner.radius"] == ("off", "algorithm")
    replaced = by_key(told("show", "--set", "run.kappa=1", "--set", "run.algo=mappo-l"))
    assert replaced["run.kappa"] == (7, "algorithm"), "who asked for 1 did not decide it"
    wrong = CliRunner().invoke(main, ["config", "show", "--set", "run.kapa=1"])
    assert wrong.exit_code == 2
    assert "did you mean 'run.kappa'" in wrong.stderr


def test_differences_and_whether_they_decide_the_numbers(calm: Any, tmp_path: Path) -> None:
    same, other = tmp_path / "same.toml", tmp_path / "other.toml"
    text = (calm.path / "config.toml").read_text()
    same.write_text(text.replace("rounds = 40", "rounds = 7"))
    other.write_text(text.replace("clip = 0.2", "clip = 0.1"))
    found = told("diff", str(calm.path), str(same))
    assert found["same_numbers"]
    assert found["differences"] == [{"key": "run.rounds", "one": 40, "other": 7}]
    found = told("diff", str(calm.path), str(other))
    assert not found["same_numbers"]
    assert found["differences"] == [{"key": "learner.clip", "one": 0.2, "other": 0.1}]
    words = CliRunner().invoke(main, ["config", "diff", str(calm.path), str(calm.path)]).stdout
    assert words == "no difference\n"


def test_a_missing_file_of_origins_is_named(calm: Any, tmp_path: Path) -> None:
    for name in ("plan.json", "run.json", "config.toml"):
        shutil.copy(calm.path / name, tmp_path / name)
    answer = CliRunner().invoke(main, ["config", "show", "--run", str(tmp_path)])
    assert answer.exit_code == 3
    assert "config.origin.json cannot be read" in answer.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_asks_scalmarl(shell: str) -> None:
    answer = CliRunner().invoke(main, ["completion", shell])
    assert answer.exit_code == 0, answer.output
    assert f"_SCALMARL_COMPLETE={shell}_complete" in answer.stdout


def test_a_shell_is_told_the_commands() -> None:
    words = {"COMP_WORDS": "scalmarl ex", "COMP_CWORD": "1", "_SCALMARL_COMPLETE": "bash_complete"}
    script = "import sys; sys.argv[0] = 'scalmarl'; from scalmarl.launch.entry import main; main()"
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, **words}, timeout=60,
        check=False,
    )  # fmt: skip
    assert answer.stdout.split() == ["plain,explain"]
