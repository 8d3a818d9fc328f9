"""Whatever a user gets wrong: what, where, how to mend it, a non-zero exit, and nothing lost or begun."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scalmarl.launch.cli import main

Run = Callable[..., "subprocess.CompletedProcess[str]"]

WRONG: dict[str, tuple[tuple[str, ...], int, str, str]] = {
    "unknown task": (("--task", "safe-manyants"), 2, "unknown task 'safe-manyants'", "did you mean safe-manyant"),
    "negative kappa": (("--kappa", "-1"), 2, "run.kappa (flag)", "greater than or equal to 0"),
    "no agents": (("--agents", "0"), 2, "run.agents (flag)", "greater than or equal to 1"),
    "unknown algorithm": (("--algo", "scal-mapo-l"), 2, "'scal-mapo-l' (--algo)", "scal-mappo-l"),
    "typo in a key": (("--set", "learner.clipp=0.1"), 2, "learner.clipp (--set)", "did you mean 'learner.clip'"),
    "wrong type": (("--set", "learner.clip=wide"), 2, "learner.clip (--set)", "not 'wide'"),
    "too much memory": (("--envs", "100000", "--steps", "100000"), 4, "GiB free", "lower --envs"),
    "more copies than streams": (("--envs", "70000", "--steps", "1", "--agents", "1"), 2, "random stream", "65,536"),
    "unknown graph": (("--graph", "circle"), 2, "unknown graph 'circle'", "ring"),
    "a name too long for a file": (("--graph", 300 * "x"), 2, "unknown graph 'xxx", "ring"),
    "a path too long for a file": (("--graph", f"./{300 * 'x'}.edges"), 2, "cannot be read", "networkx"),
    "grid that does not fit": (("--graph", "grid:3x3"), 2, "grid:3x3 does not hold 8 agents", "ROWSxCOLUMNS"),
    "limits of the wrong length": (
        ("--set", "world.limit=[1.0, 2.0]"),
        2,
        "2 cost limits for 8 agents",
        "one per agent",
    ),
    "too few samples": (("--envs", "1", "--steps", "2"), 2, "too few", "raise --envs"),
    "groups that do not divide": (("--set", "world.groups=3"), 2, "do not split into 3 groups", "multiple of 3"),
    "unreadable link": (("--link", "1-2:lost=2%"), 2, "'lost=2%' is no option", "did you mean loss=2%?"),
    "link that there is not": (("--link", "0-7:loss=2%"), 2, "agent/0 has no link to agent/7", "kappa 2"),
    "no such configuration file": (("--config", "nowhere.toml"), 2, "nowhere.toml", "TOML"),
    "an address without tcp": (
        ("--set", "processes.address=127.0.0.2"),
        2,
        "processes.transport is ipc",
        "transport=tcp",
    ),
    "no such namespace": (
        ("--set", "processes.transport=tcp", "--set", "processes.namespace=scalmarl-nowhere"),
        4,
        "no network namespace 'scalmarl-nowhere' for agent/0",
        "ip netns add",
    ),
    "no such flag": (("--agent", "3"), 2, "No such option", "--agents"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_launch_says_so_and_starts_nothing(name: str, refused: Callable[[Any], None]) -> None:
    refused(WRONG[name])


@pytest.mark.parametrize(
    ("text", "what"),
    [("0 1\n1 2\n", "agent 3 is missing"), ("0 1\n1 2\n2 3\n3 2\n", "line 4"), ("3\n3\n0 1\n1 2\n", "named twice")],
)
def test_a_wrong_graph_file_is_named_with_its_line(text: str, what: str, scalmarl: Run, tmp_path: Path) -> None:
    (tmp_path / "edges.txt").write_text(text)
    answer = scalmarl("launch", "--agents", "4", "--graph", str(tmp_path / "edges.txt"), "--run", str(tmp_path / "run"))
    assert answer.returncode == 2
    assert "edges.txt" in answer.stderr
    assert what in answer.stderr


def test_more_visible_agents_than_the_graph_joins_are_refused(scalmarl: Run, tmp_path: Path) -> None:
    (tmp_path / "pairs.edges").write_text("0 1\n2 3\n")
    answer = scalmarl(
        "launch", "--agents", "4", "--graph", str(tmp_path / "pairs.edges"), "--kappa", "3", "--kappa-unit", "visible",
        "--run", str(tmp_path / "run"),
    )  # fmt: skip
    assert answer.returncode == 2
    assert "3 visible agents of 4 (--kappa, --kappa-unit visible) cannot be: at most 2" in answer.stderr
    assert "choose 1..2, or join the parts of the graph (--graph)" in answer.stderr
    assert not (tmp_path / "run").exists()


def test_an_existing_directory_is_left_alone(scalmarl: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    answer = scalmarl("launch", "--run", str(tmp_path))
    assert answer.returncode == 2
    assert "exists already" in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("command", ["ps", "digest", "traffic", "stop", "events"])
def test_a_run_that_is_not_there_is_exit_code_3(command: str, scalmarl: Run, tmp_path: Path) -> None:
    answer = scalmarl(command, "--run", str(tmp_path / "nowhere"))
    assert answer.returncode == 3
    assert "hint:" in answer.stderr


def test_commands_for_a_live_run_refuse_a_finished_one(calm: Any, scalmarl: Run) -> None:
    for command in (("kill", "1"), ("restart", "1"), ("stop",)):
        answer = scalmarl(*command, "--run", str(calm.path))
        assert answer.returncode == 3, answer.stderr
        assert "resume" in answer.stderr


def test_json_errors_are_json(scalmarl: Run, tmp_path: Path) -> None:
    import json

    answer = scalmarl("ps", "--json", "--run", str(tmp_path / "nowhere"))
    assert json.loads(answer.stdout)["error"]["code"] == 3


def test_doctor_finds_this_machine_fit(scalmarl: Run) -> None:
    answer = scalmarl("doctor")
    assert answer.returncode == 0, answer.stdout
    assert "import torch" in answer.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("chaos", "--kill-every", "2s", "--seed", "-1"),
        ("bench", "recovery", "--runs", "0"),
        ("bench", "recovery", "--strikes", "20"),
        ("bench", "machinery", "--rounds", "1"),
        ("bench", "absence", "--agents", "1", "--missing", "0"),
        ("verify", "nowhere", "--rounds", "0"),
        ("verify", "nowhere", "--keep", "."),
    ],
    ids=" ".join,
)
def test_a_wrong_number_or_directory_is_told_before_anything_starts(command: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(main, command)
    assert answer.exit_code == 2, answer.output
    assert command[-2] in answer.output or "--agents" in answer.output
