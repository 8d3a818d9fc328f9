"""Every family of tasks under real launches: learnt from, killed, and its bytes those of the formula."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SIZE = ("--kappa", "1", "--envs", "4", "--steps", "24", "--rounds", "3")
QUICK = ("formation:ring", "safe-hopper:3x1")
"""The default suite learns the others' scenes without processes."""
TASKS = (
    *QUICK, "safe-walker2d:6x1", "safe-humanoid:9|8", "safe-swimmer:3x1", "safe-ant:4x2", "safe-halfcheetah:6x1",
    "safe-coupled-halfcheetah:1p1", "cheetahs", "safe-manyant:3x2",
)  # fmt: skip


def killed_twice(task: tuple[str, ...], start: Any, scalmarl: Run) -> Any:
    """An undisturbed run, which another with the same digest and two deaths was beside."""
    name = "".join(filter(str.isalnum, "".join(task)))
    calm = start(f"calm-{name}", *SIZE, *task)
    assert calm.end() == 0, calm.words
    plant = [
        {"do": "kill", "process": "sim", "round": 1, "place": "after need action", "step": 7},
        {"do": "kill", "process": "agent/1", "round": 2, "place": "after put turn"},
    ]
    hit = start(f"hit-{name}", *SIZE, *task, plant=plant)
    assert hit.end() == 0, hit.words
    assert [event["process"] for event in hit.events() if event["event"] == "death"] == ["sim", "agent/1"]
    digests = [scalmarl("digest", "--run", str(run.path), "--json").stdout for run in (calm, hit)]
    assert digests[0] == digests[1]
    return calm


@pytest.mark.parametrize("task", [pytest.param(x, marks=[] if x in QUICK else pytest.mark.chaos) for x in TASKS])
@pytest.mark.parametrize("cost", ["the task's", pytest.param("velocity", marks=pytest.mark.chaos)])
def test_a_task_is_learnt_from_and_its_processes_may_die(task: str, cost: str, start: Any, scalmarl: Run) -> None:
    if task.startswith("formation") and cost == "velocity":
        pytest.skip("there is no threshold for it")
    chosen = () if cost == "the task's" else ("--cost", cost)
    calm = killed_twice(("--task", task, *chosen), start, scalmarl)
    lines = [json.loads(line) for line in (calm.path / "metrics.jsonl").read_text().splitlines()]
    assert all(kl > 0 for kl in lines[-1]["kl_agent"]), "every policy moves"
    traffic = json.loads(scalmarl("traffic", "--run", str(calm.path), "--json").stdout)
    assert all(n["per_round_bytes"] == n["predicted_bytes"] for n in traffic["neighbourhoods"])


@pytest.mark.chaos
@pytest.mark.skipif(find_spec("gymnasium_robotics") is None, reason="MaMuJoCo needs the extra 'worlds'")
def test_mamujoco_is_learnt_from_and_its_faults_are_said(start: Any, scalmarl: Run) -> None:
    calm = killed_twice(("--world", "mamujoco:Ant-2x4d"), start, scalmarl)
    said = " ".join(calm.words.split())
    assert "a speed above 2.522 m/s costs" in said
    assert "MaMuJoCo's 2x4d parts the legs into front and back" in said, "its known fault"
