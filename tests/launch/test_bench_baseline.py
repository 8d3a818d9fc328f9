"""The benches against a single process: what they compute from what they saw, and that their tools do the work."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scalmarl.launch.bench import baseline
from scalmarl.launch.config import LearnerConfig, resolve
from scalmarl.launch.errors import TimedOut
from scalmarl.launch.planning import make_plan
from scalmarl.launch.sim_tools import ask
from scalmarl.protocol.plan import Plan


def small_plan(**chosen: Any) -> Plan:
    task = {"world.task": "safe-halfcheetah:2x3", "world.envs": 4, "world.steps": 8}
    return make_plan(*resolve(None, (), {**task, **chosen})).plan


def given(*speeds: float) -> Iterator[dict[str, float]]:
    return iter([{"steps_per_s": speed, "sampling_share": 0.5} for speed in speeds])


def test_ratios_are_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = given(100.0, 400.0, 300.0), given(50.0, 10.0, 100.0, 20.0, 100.0, 30.0)
    monkeypatch.setattr(baseline, "_launch", lambda size, rounds: next(ours))
    asked: list[Plan] = []
    monkeypatch.setattr(baseline, "_centralised", lambda plan, *of: asked.append(plan) or next(theirs))
    said: list[str] = []
    result = baseline.loop(3, 1, 4, 16, 2, 1, 2, 3, said.append)
    same, default = result["rows"]
    assert same["ratios"] == [2.0, 4.0, 3.0]
    assert (same["ratio"], same["smallest"], same["largest"]) == (3.0, 2.0, 4.0)
    assert (default["ratio"], default["centralised_steps_per_s"]) == (10.0, 20.0)
    assert "ratio 3.00 (2.00 to 4.00)" in said[-2]
    assert [plan.task.physics for plan in asked[:2]] == ["fast", "parity"]
    # As published: everybody reads everything and is paid the team's reward; the same work as a launch by default.
    plan = asked[0]
    assert plan.task.reward_mode == "team"
    assert (plan.agents, plan.copies, plan.steps) == (3, 4, 16)
    defaults = LearnerConfig().model_dump()
    for name in ("hidden", "policy_epochs", "critic_epochs", "minibatches"):
        assert plan.learner[name] == defaults[name]


def test_the_tool_does_the_rounds_that_it_is_asked_for() -> None:
    plan = small_plan(**{"run.algo": "mappo-l"})
    took = json.loads(ask("mappo_l_loop", "2", "1", "2", about=told(plan), folder="launch.bench", within_s=120.0))
    assert [set(round) for round in took] == [{"sample_s", "update_s", "reward", "cost"}] * 2
    assert all(round["sample_s"] > 0.0 and round["update_s"] > 0.0 for round in took)


def test_sampling_alone_says_what_each_round_took(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from scalmarl.launch.bench.sampling_loop import main

    monkeypatch.setattr(sys, "stdin", io.StringIO(told(small_plan()).decode()))
    main(3)
    seconds = json.loads(capsys.readouterr().out)
    assert len(seconds) == 3
    assert all(took > 0.0 for took in seconds)


def told(plan: Plan) -> bytes:
    return json.dumps(plan.to_data()).encode()


def test_a_tool_that_takes_too_long_is_ended() -> None:
    with pytest.raises(TimedOut, match="not through after"):
        ask("sampling_loop", "1000000", about=told(small_plan()), folder="launch.bench", within_s=0.3)


def test_workers_must_divide_the_copies(scalmarl: Callable[..., Any]) -> None:
    said = scalmarl("bench", "loop", "--envs", "4", "--workers", "3")
    assert said.returncode == 2
    assert "do not split over 3 workers" in said.stderr


def test_the_command_line_does_not_load_what_it_measures() -> None:
    words = "import sys, scalmarl.launch.bench.command; sys.exit(bool({'torch', 'mujoco'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", words], env=os.environ, check=False).returncode == 0
