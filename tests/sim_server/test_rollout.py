"""Whole episodes without learning, and the anchors that the tasks promise for standing still."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from scalmarl.sim_server.rollout import roll_out
from scalmarl.sim_server.task_family import PUBLISHED_STD
from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World


def mean(episodes: list[dict], name: str) -> float:
    return float(np.mean([episode[name] for episode in episodes]))


@pytest.mark.parametrize(
    ("task", "cost"),
    [
        ("safe-manyant:8x1", None), ("safe-manyant:2x3", None), ("safe-manyant:8x1", "legacy"), ("safe-ant:4x2", None),
        ("safe-halfcheetah:6x1", None), ("safe-halfcheetah:2x3", "legacy"), ("safe-halfcheetah:3x2", "local"),
        ("safe-coupled-halfcheetah:1p1", None),
        ("safe-coupled-halfcheetah:12x1", "legacy"), ("cheetahs", None),
        ("formation:path", None), ("formation:grid", "team"),
        ("safe-halfcheetah:2x3", "velocity"), ("safe-swimmer:2x1", None),
    ],
)  # fmt: skip
def test_standing_still_is_what_the_task_says(task: str, cost: str | None) -> None:
    spec = describe(task, cost=cost)
    episodes = roll_out(spec, "zero", 16, 0)
    assert all(episode["truncated"] and episode["length"] == spec.horizon for episode in episodes)
    assert mean(episodes, "return_team") == pytest.approx(spec.standing_still_return, abs=0.01 * spec.horizon)
    assert mean(episodes, "cost_team") == pytest.approx(spec.standing_still_cost, abs=4.0)
    assert mean(episodes, "distance") == pytest.approx(spec.standing_still_distance, abs=0.2)


@pytest.mark.parametrize(
    ("task", "cost"),
    [
        ("safe-hopper:3x1", None), ("safe-walker2d:2x3", None), ("safe-humanoid:9|8", None),
        ("safe-humanoid:17x1", "velocity"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("horizon", [30, 1000])
def test_a_robot_that_cannot_stand_still_falls_when_the_task_says(task: str, cost: str | None, horizon: int) -> None:
    spec = describe(task, cost=cost, horizon=horizon)
    episodes = roll_out(spec, "zero", 40, 0)
    assert all(episode["terminated"] for episode in episodes) == (horizon == 1000)
    assert mean(episodes, "return_team") == pytest.approx(spec.standing_still_return, rel=0.05)
    assert mean(episodes, "cost_team") == pytest.approx(spec.standing_still_cost, abs=1.0)
    assert mean(episodes, "distance") == pytest.approx(spec.standing_still_distance, abs=0.2)


def test_an_episode_is_a_function_of_seed_and_number() -> None:
    spec = describe("safe-ant:2x4", horizon=60)
    few, many = roll_out(spec, "zero", 3, 5), roll_out(spec, "zero", 6, 5)
    assert many[:3] == few
    assert roll_out(spec, "zero", 3, 6) != few
    assert len({episode["return_team"] for episode in many}) == 6


def test_figures_of_an_episode_add_up() -> None:
    spec = describe("safe-manyant:3x1", horizon=150)
    for episode in roll_out(spec, "random", 8, 0):
        assert episode["terminated"] != episode["truncated"]
        assert sum(episode["return_agent"]) == pytest.approx(episode["return_team"], abs=1e-9)
        assert max(episode["cost_agent"]) <= episode["cost_team"] <= sum(episode["cost_agent"])
        assert 1 <= episode["length"] <= 150


def test_the_random_policy_is_the_published_gaussian_and_not_clipped() -> None:
    """Its control penalty alone: 0.5 x 4 joints x 0.3655^2 a step of every agent."""
    spec = describe("safe-manyant:8x1", horizon=100)
    episodes = roll_out(spec, "random", 16, 0)
    expected = -0.5 * 32 * PUBLISHED_STD**2
    per_step = mean(episodes, "return_team") / 100
    # Alive bonus 1, contacts and a slide forward of a few centimetres a second beside it.
    assert per_step == pytest.approx(1.0 + expected, abs=0.4)


def test_rolling_out_needs_no_horizon_beyond_the_first_end() -> None:
    """One segment cannot stand: every episode ends by a fall within 40 steps."""
    episodes = roll_out(describe("safe-manyant:1x1"), "zero", 8, 0)
    assert all(episode["terminated"] and episode["length"] < 40 for episode in episodes)


def test_a_world_without_staggering_starts_all_at_age_0() -> None:
    spec = describe("cheetahs", 2, horizon=10)
    world = World(spec, copies=5, groups=1, seed=0, threads=1, staggered=False)
    assert world.episodes.age.tolist() == [0.0] * 5


def test_the_tool_answers_that_the_physics_broke_in_one_line() -> None:
    data = describe("cheetahs", 40).to_data()
    data["parameters"]["coupling"] = 1e12
    command = [sys.executable, "-m", "scalmarl.sim_server.rollout", "random", "2", "0"]
    done = subprocess.run(command, input=json.dumps(data), capture_output=True, text=True, check=True, timeout=60)
    why = json.loads(done.stdout)["broken"]
    assert why.startswith("cheetahs: the physics gave a number that is ")
    assert " steps after its reset, last action [" in why
    assert "\n" not in why
    assert len(why.partition("[")[2].split()) == 240
