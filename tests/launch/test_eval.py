"""``scalmarl eval`` beside a rollout written by hand from the round files, and its words when it cannot."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scalmarl.launch.eval_command import figures
from scalmarl.launch.run_statistics import over_episodes
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World

from .plain_policy import PlainPolicy

Run = Callable[..., "subprocess.CompletedProcess[str]"]
ROUND, SEED, EPISODES = 40, 77, 3


def played_by_hand(run: Path) -> dict[str, Any]:
    """Team return and cost of each episode ``[E]``, and every agent's ``[E, A]``."""
    spec = TaskSpec.from_data(json.loads((run / "plan.json").read_text())["task"])
    policies = [PlainPolicy(run, agent, ROUND) for agent in range(spec.agents)]
    world = World(spec, copies=EPISODES, groups=1, seed=SEED, threads=1, staggered=False)
    rewards, costs, worst = np.zeros((EPISODES, 3)), np.zeros((EPISODES, 3)), np.zeros(EPISODES)
    for _ in range(spec.horizon):
        blocks = [world.observation(agent, 0)[:, :width] for agent, width in enumerate(spec.block_sizes)]
        world.step(0, [policy.act(blocks) for policy in policies])  # type: ignore[arg-type]
        rewards += world.rewards
        costs += world.costs
        worst += world.costs.max(axis=1)
    return {"return_agent": rewards, "cost_agent": costs, "return_team": rewards.sum(axis=1), "cost_team": worst}


@pytest.fixture(scope="module")
def evaluated(calm: Any, scalmarl: Run) -> dict[str, Any]:
    answer = scalmarl("eval", str(calm.path), "--episodes", str(EPISODES), "--seed", str(SEED), "--json")
    assert answer.returncode == 0, answer.stderr
    document: dict[str, Any] = json.loads(answer.stdout)
    return document


def test_eval_is_what_the_round_files_do_by_hand(evaluated: dict[str, Any], calm: Any) -> None:
    by_hand = played_by_hand(calm.path)
    assert len(evaluated["episodes"]) == EPISODES
    for name, wanted in by_hand.items():
        found = np.array([episode[name] for episode in evaluated["episodes"]])
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    assert evaluated["team"]["return"]["mean"] == pytest.approx(by_hand["return_team"].mean(), rel=1e-6)


def test_the_document_says_what_was_played(evaluated: dict[str, Any]) -> None:
    for name, wanted in {
        "schema": 1, "task": "safe-manyant:3x1", "round": ROUND, "absent": [], "seed": SEED, "deterministic": True,
    }.items():  # fmt: skip
        assert evaluated[name] == wanted
    assert [about["agent"] for about in evaluated["agents"]] == [0, 1, 2]
    assert all(about["cost_limit"] == [5.0] for about in evaluated["agents"])


def test_a_round_that_is_not_there_names_those_that_are(calm: Any, scalmarl: Run) -> None:
    answer = scalmarl("eval", str(calm.path), "--round", "33")
    assert answer.returncode == 2
    assert "has no files of round 33" in answer.stderr
    assert "--round one of: 0, 10, 20, 30, 37, 38, 39, 40" in answer.stderr


def test_no_run_is_code_3(scalmarl: Run, tmp_path: Path) -> None:
    answer = scalmarl("eval", str(tmp_path), "--json")
    assert answer.returncode == 3
    assert "is no run directory" in json.loads(answer.stdout)["error"]["message"]


# ---- figures ----


def test_violations_are_counted_per_agent_and_for_the_team() -> None:
    task = describe("safe-manyant:2x1", None)
    assert task.cost_limits == ((5.0,), (5.0,))
    costs = [[6.0, 0.0], [5.0, 5.0], [0.0, 7.0], [0.0, 0.0]]
    played = [
        {
            "return_team": 2.0 * number, "return_agent": [float(number)] * 2, "cost_team": max(own), "cost_agent": own,
            "length": 10, "distance": None, "terminated": False, "truncated": True,
        }
        for number, own in enumerate(costs)
    ]  # fmt: skip
    found = figures(task, played)
    assert [about["violation_rate"]["mean"] for about in found["agents"]] == [0.25, 0.25]
    assert found["team"]["violation_rate"]["mean"] == 0.5
    assert [about["cost"][0]["mean"] for about in found["agents"]] == [11 / 4, 3.0]
    assert found["team"]["return"]["mean"] == 3.0
    assert found["team"]["distance"] is None


def test_intervals_of_a_share_are_those_of_the_binomial_distribution() -> None:
    from scipy.stats import binom

    n, hits = 40, 10
    row = [1.0] * hits + [0.0] * (n - hits)
    constant, share = over_episodes([[7.0] * n, row])
    assert constant == {"mean": 7.0, "low": 7.0, "high": 7.0}
    assert share["mean"] == 0.25
    for name, quantile in (("low", 0.025), ("high", 0.975)):
        assert abs(share[name] - binom.ppf(quantile, n, 0.25) / n) <= 1.0 / n  # type: ignore[operator]
    assert over_episodes([[1.0, 2.0]]) == [{"mean": 1.5, "low": None, "high": None}]
