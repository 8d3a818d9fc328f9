"""``scalmarl env``: what it lists is what it shows and what a launch takes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def document(answer: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    assert found["schema"] == 1
    return found


def test_list_names_every_partition_with_its_figures(scalmarl: Run) -> None:
    tasks = document(scalmarl("env", "list", "--json"))["tasks"]
    by_name = {task["task"]: task for task in tasks}
    assert {"safe-manyant:8x1", "safe-ant:2x4d", "safe-halfcheetah:3x2", "cheetahs"} <= set(by_name)
    ant = by_name["safe-ant:8x1"]
    assert (ant["agents"], ant["graph"], ant["action"], ant["limit"]) == (8, "10 edges, diameter 3", [1] * 8, 5.0)
    assert ant["cost_modes"] == ["team", "local", "legacy"]
    assert all(task["source"] and task["cost"] and task["observation"] for task in tasks)
    words = scalmarl("env", "list").stdout
    for task in tasks:
        assert task["task"].partition(":")[2] in words
    assert max(len(line) for line in words.splitlines()) <= 110


def test_show_says_all_of_it(scalmarl: Run, tmp_path: Path) -> None:
    words = scalmarl("env", "show", "safe-halfcheetah:6x1", "--no-picture", cwd=tmp_path).stdout
    for needed in ("path 0-1-2-5-4-3", "not local", "standing still", "tanh(2 (gap - 9))", "bfoot_0", "limit 25"):
        assert needed in words
    assert not list(tmp_path.iterdir())
    found = document(scalmarl("env", "show", "safe-halfcheetah:6x1", "--cost", "legacy", "--json"))
    assert (found["cost_mode"], found["block_sizes"]) == ("legacy", [11] * 6)


def test_a_picture_is_a_png_or_the_lack_of_one_is_explained(scalmarl: Run, tmp_path: Path) -> None:
    answer = scalmarl("env", "show", "safe-ant:4x2", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    picture = tmp_path / "safe-ant-4x2.png"
    if not picture.exists():
        why = answer.stdout.splitlines()[-1]
        assert why.startswith("picture: none, no graphics library works here")
        pytest.skip(why)
    image = pytest.importorskip("PIL.Image", reason="Pillow comes with the extra 'plot'").open(picture)
    assert image.size == (960, 540)
    assert len(image.getcolors(maxcolors=2**20)) > 100, "it shows something"


def test_rollout_gives_whole_episodes(scalmarl: Run) -> None:
    command = ("env", "rollout", "cheetahs", "--agents", "3", "--policy", "zero", "--episodes", "2", "--horizon", "60")
    found = document(scalmarl(*command, "--seed", "4", "--json"))
    assert (found["task"], found["policy"], found["seed"]) == ("cheetahs", "zero", 4)
    assert [episode["length"] for episode in found["episodes"]] == [60, 60]
    for episode in found["episodes"]:
        assert episode["truncated"]
        assert not episode["terminated"]
        assert len(episode["return_agent"]) == len(episode["cost_agent"]) == 3
    assert found == document(scalmarl(*command, "--seed", "4", "--json"))
    assert "truncated" in scalmarl(*command).stdout


@pytest.mark.parametrize(
    ("arguments", "what", "cure"),
    [
        (("show", "safe-ant:4x3"), "no partition '4x3'", "did you mean 4x2?"),
        (("show", "safe-ants"), "unknown task 'safe-ants'", "did you mean safe-ant?"),
        (("rollout", "cheetahs", "--cost", "legacy"), "no cost mode 'legacy'", "valid: local, team"),
        (("rollout", "safe-ant:4x2", "--agents", "3"), "has 4 agents, not 3", "leave --agents out"),
        (("show", "safe-ant", "--picture", "nowhere/x.png"), "nowhere is no directory", "--picture"),
        (("rollout", "safe-ant", "--episodes", "0"), "0 is not in the range", ""),
    ],
)
def test_bad_input(arguments: tuple[str, ...], what: str, cure: str, scalmarl: Run) -> None:
    answer = scalmarl("env", *arguments)
    assert answer.returncode == 2
    assert what in answer.stderr
    assert cure in answer.stderr
    assert "Traceback" not in answer.stderr
