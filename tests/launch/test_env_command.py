"""``scalmarl env``: what it lists is what it shows and what a launch takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from scalmarl.launch import env_command
from scalmarl.launch.starting import task_slug
from scalmarl.sim_server.tasks import describe

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def document(answer: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    assert found["schema"] == 1
    return found


def test_list_names_every_partition_with_its_figures(scalmarl: Run) -> None:
    tasks = document(scalmarl("env", "list", "--json"))["tasks"]
    by_name = {task["task"]: task for task in tasks}
    assert {"safe-manyant:8x1", "safe-ant:2x4d", "safe-halfcheetah:3x2", "cheetahs", "formation:ring"} <= set(by_name)
    ant = by_name["safe-ant:8x1"]
    assert (ant["agents"], ant["graph"], ant["action"], ant["limit"]) == (8, "10 edges, diameter 3", [1] * 8, 5.0)
    assert ant["cost_modes"] == ["team", "local", "legacy", "velocity"]
    assert all(task["source"] and task["cost"] and task["observation"] for task in tasks)
    words = scalmarl("env", "list").stdout
    for task in tasks:
        assert task["task"].partition(":")[2] in words
    assert max(len(line) for line in words.splitlines()) <= 80


def test_show_says_all_of_it(scalmarl: Run, tmp_path: Path) -> None:
    words = scalmarl("env", "show", "safe-halfcheetah:6x1", "--no-picture", cwd=tmp_path).stdout
    for needed in ("path 0-1-2-5-4-3", "not local", "standing still", "tanh(2 (gap - 9))", "bfoot_0", "limit 25"):
        assert needed in words
    assert not list(tmp_path.iterdir())
    assert "\n  0 - 1 - 2 - 5 - 4 - 3\n" in words
    for index, motor in enumerate(("bfoot", "bshin", "bthigh", "ffoot", "fshin", "fthigh")):
        assert f"{index}  observes 13  moves {motor}_0" in words
    assert "agent 0 observes 13:" in words
    other = scalmarl("env", "show", "safe-halfcheetah:6x1", "--no-picture", "--agent", "4", cwd=tmp_path).stdout
    assert "agent 4 observes 13:\n    0  fshin_0 position (rad)" in other
    found = document(scalmarl("env", "show", "safe-halfcheetah:6x1", "--cost", "legacy", "--json"))
    assert (found["cost_mode"], found["block_sizes"]) == ("legacy", [11] * 6)


def test_a_picture_is_a_png_or_the_lack_of_one_is_explained(scalmarl: Run, tmp_path: Path) -> None:
    answer = scalmarl("env", "show", "safe-ant:4x2", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    picture = tmp_path / "safe-ant-4x2.png"
    if not picture.exists():
        why = answer.stdout.splitlines()[-1]
        assert why.startswith("picture: none, no graphics library works here")
        asked_for = scalmarl("env", "show", "safe-ant:4x2", "--picture", "x.png", cwd=tmp_path)
        assert asked_for.returncode == 4
        assert "no graphics library works here" in asked_for.stderr
        pytest.skip(why)
    image = pytest.importorskip("PIL.Image", reason="Pillow comes with the extra 'plot'").open(picture)
    assert image.size == (960, 540)
    assert len(image.getcolors(maxcolors=2**20)) > 100, "it shows something"


def test_a_file_is_replaced_only_by_its_name(scalmarl: Run, tmp_path: Path) -> None:
    mine = tmp_path / "cheetahs-3.png"
    mine.write_bytes(b"mine")
    answer = scalmarl("env", "show", "cheetahs", "--agents", "3", cwd=tmp_path)
    assert answer.returncode == 0
    assert "picture: none, cheetahs-3.png is there already" in answer.stdout
    assert mine.read_bytes() == b"mine"


def test_a_picture_without_a_graphics_library_is_an_error_only_when_asked_for(scalmarl: Run, tmp_path: Path) -> None:
    nowhere = {"MUJOCO_GL": "disabled"}
    unasked = scalmarl("env", "show", "cheetahs", cwd=tmp_path, env=nowhere)
    assert unasked.returncode == 0
    assert unasked.stdout.splitlines()[-1].startswith("picture: none, no graphics library works here")
    asked_for = scalmarl("env", "show", "cheetahs", "--picture", "x.png", cwd=tmp_path, env=nowhere)
    assert asked_for.returncode == 4
    assert "no graphics library works here" in asked_for.stderr
    assert not list(tmp_path.iterdir())


def test_rollout_gives_whole_episodes(scalmarl: Run) -> None:
    command = ("env", "rollout", "cheetahs", "--agents", "3", "--policy", "zero", "--episodes", "2", "--horizon", "60")
    found = document(scalmarl(*command, "--seed", "4", "--json"))
    assert (found["task"], found["policy"], found["seed"]) == ("cheetahs", "zero", 4)
    assert (found["agents"], found["reward"], found["cost"], found["physics"]) == (3, "local", "local", "fast")
    assert (found["horizon"], found["parameters"]["coupling"]) == (60, 0.1)
    assert [episode["length"] for episode in found["episodes"]] == [60, 60]
    for episode in found["episodes"]:
        assert episode["truncated"]
        assert not episode["terminated"]
        assert len(episode["return_agent"]) == len(episode["cost_agent"]) == 3
    assert found == document(scalmarl(*command, "--seed", "4", "--json"))
    assert "truncated" in scalmarl(*command).stdout


def test_a_rollout_dies_with_its_command_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scalmarl", "env", "rollout", "cheetahs", "--agents", "64", "--episodes", "512"]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(temporary)}
    ) as parent:
        deadline = time.monotonic() + 60
        while not (children := psutil.Process(parent.pid).children()):
            assert parent.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1.0)
        parent.kill()
    assert not psutil.wait_procs(children, timeout=20)[1]
    assert not list(temporary.iterdir())


def test_the_stiffest_coupling_is_sound(scalmarl: Run) -> None:
    command = ("env", "rollout", "cheetahs", "--agents", "4", "--coupling", "10000", "--episodes", "4", "--json")
    found = document(scalmarl(*command))
    assert found["parameters"]["coupling"] == 10_000.0
    assert all(abs(episode["distance"]) < 30.0 for episode in found["episodes"])


def test_broken_physics_is_told_with_what_may_help(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "cheetahs: the physics gave a number that is not finite; copy 0, 3 steps after its reset, last action [0. 1.]"
    monkeypatch.setattr(env_command, "ask", lambda *words, **choices: json.dumps({"broken": why}).encode())
    answer = CliRunner().invoke(env_command.env, ["rollout", "cheetahs"])
    assert answer.exit_code == 1
    words = " ".join(answer.output.split())
    assert why in words
    assert "a smaller --coupling or another --seed may pass" in words


@pytest.mark.parametrize(
    ("arguments", "what", "cure"),
    [
        (("show", "safe-ant:4x3"), "no partition '4x3'", "did you mean 4x2?"),
        (("show", "safe-ants"), "unknown task 'safe-ants'", "did you mean safe-ant?"),
        (("rollout", "cheetahs", "--cost", "legacy"), "no cost mode 'legacy'", "valid: local, team"),
        (("rollout", "safe-ant:4x2", "--agents", "3"), "has 4 agents, not 3", "leave --agents out"),
        (("show", "safe-ant", "--picture", "nowhere/x.png"), "nowhere is no directory", "--picture"),
        (("show", "safe-ant", "--picture", "x.jpg"), "does not end in .png", "--picture task.png"),
        (("show", "safe-ant", "--agent", "4"), "no agent 4", "--agent 0 to 3"),
        (("rollout", "safe-ant", "--episodes", "0"), "0 is not in the range", ""),
        (("rollout", "safe-ant", "--seed", str(2**63)), "is not in the range", ""),
        (("rollout", "safe-ant:"), "no partition after its colon", "leave the colon out"),
        (("rollout", "cheetahs", "--agents", "9" * 19), "9999999999999999999 agents", "at most 256"),
        (("rollout", "safe-manyant:99999999999999999x1"), "a chain of 99999999999999999", "fewer agents"),
        (("rollout", "cheetahs", "--coupling", "1e5"), "coupling of 100000 N/m", "from 0 to 10000"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], what: str, cure: str, scalmarl: Run) -> None:
    answer = scalmarl("env", *arguments)
    assert answer.returncode == 2
    assert what in answer.stderr
    assert cure in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_partitions_bar_is_a_dash_in_the_names_of_files(scalmarl: Run, tmp_path: Path) -> None:
    """The humanoid's partition is written 9|8, which neither a shell nor everybody's file system takes."""
    (tmp_path / "safe-humanoid-9-8.png").write_bytes(b"mine")
    for spelling in ("9|8", "9-8"):
        answer = scalmarl("env", "show", f"safe-humanoid:{spelling}", cwd=tmp_path)
        assert answer.returncode == 0
        assert "picture: none, safe-humanoid-9-8.png is there already" in answer.stdout
    assert task_slug(describe("safe-humanoid:9-8")) == "humanoid9-8"
    assert task_slug(describe("cheetahs", 3)) == "cheetahs3"
