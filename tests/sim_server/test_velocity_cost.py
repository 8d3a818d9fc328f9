"""The velocity cost: its thresholds, what is said of them, and whose speed it is. The rule itself is held against
Gymnasium's speeds in ``test_published.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scalmarl.sim_server.tasks import FAMILIES, describe
from scalmarl.sim_server.velocity_cost import LENDERS, THRESHOLDS, threshold_of, velocity_note
from scalmarl.sim_server.world import World


def test_every_robot_that_moves_has_the_cost_and_a_threshold() -> None:
    # A formation's robots are nobody's published ones: there is no threshold to take or to borrow.
    walkers = {name for name in FAMILIES if name != "formation"}
    assert all("velocity" in FAMILIES[name].costs for name in walkers)
    assert walkers == set(THRESHOLDS) | set(LENDERS)
    for name, thresholds in THRESHOLDS.items():
        assert set(thresholds) <= set(FAMILIES[name].partitions)


@pytest.mark.parametrize(
    ("task", "partition", "limit", "words"),
    [
        ("safe-ant", "2x4", 2.522, "safety-gymnasium's threshold for the robot and partition"),
        ("safe-ant", "4x2", 2.418, "above 2.418 m/s"),
        ("safe-ant", "8x1", 2.522, "none for 8x1; this is its first for the robot, that of 2x4"),
        ("safe-halfcheetah", "3x2", 2.932, "none for 3x2"),
        ("safe-humanoid", "17x1", 0.58, "that of 9|8"),
        ("safe-walker2d", "6x1", 1.641, "that of 2x3"),
        ("safe-swimmer", "8x1", 0.04891, "above 0.04891 m/s"),
        ("safe-manyant", "8x1", 2.522, "no safe-manyant; this is its first threshold for safe-ant, that of 2x4"),
        ("cheetahs", "", 2.932, "first threshold for safe-halfcheetah, that of 6x1"),
        ("safe-coupled-halfcheetah", "1p1", 2.932, "no safe-coupled-halfcheetah"),
    ],
)
def test_thresholds_and_where_they_come_from(task: str, partition: str, limit: float, words: str) -> None:
    assert threshold_of(task, partition) == limit
    assert words in velocity_note(task, partition)
    spec = describe(f"{task}:{partition}".removesuffix(":"), cost="velocity")
    assert spec.notes[0] == velocity_note(task, partition)
    assert set(spec.cost_names) == {("velocity",)}


def test_without_the_cost_nothing_is_said_of_it() -> None:
    assert not any("m/s costs" in note for note in describe("safe-ant:8x1").notes)
    assert describe("safe-ant:8x1").cost_names[0] == ("corridor",)


@pytest.mark.parametrize(
    ("task", "cost", "shared"),
    [
        ("safe-ant", "velocity", True), ("safe-manyant", "velocity", True), ("safe-swimmer", "velocity", True),
        ("safe-halfcheetah", "velocity", True), ("cheetahs", "velocity", False),
        ("safe-coupled-halfcheetah", "velocity", False), ("cheetahs", "team", True), ("cheetahs", "local", False),
        ("safe-ant", "legacy", True),
    ],
)  # fmt: skip
def test_one_robots_speed_is_one_shared_cost_and_separate_robots_have_their_own(
    task: str, cost: str, shared: bool
) -> None:
    assert describe(task, cost=cost).shares_cost is shared


def thrown(task: str, speeds: dict[str, float], **options: Any) -> World:
    """A world whose joints of these names move at these speeds, and one idle step of it."""
    spec = describe(task, cost="velocity", **options)
    world = World(spec, copies=1, groups=1, seed=0, threads=1, staggered=False)
    velocity = world.batch.bind("qvel")
    velocity[0] = 0.0
    for joint, speed in speeds.items():
        velocity[0, world.scene.model.joint(joint).dofadr[0]] = speed
    world.step(0, [np.zeros((1, size), np.float32) for size in spec.action_sizes])
    return world


def test_each_cheetah_pays_for_its_own_speed_in_either_direction() -> None:
    speeds = {"rootx_0": 4.0, "rootx_1": 2.0, "rootx_2": -4.0}
    world = thrown("cheetahs", speeds, agents=3, coupling=0.0)
    assert world.costs[0].tolist() == [1.0, 0.0, 1.0]
    pair = thrown("safe-coupled-halfcheetah:12x1", {"rootx_0": 4.0})
    assert pair.costs[0].tolist() == [1.0] * 6 + [0.0] * 6


def test_a_fall_or_a_wall_is_no_speed() -> None:
    world = thrown("safe-ant:4x2", {})
    position = world.batch.bind("qpos")
    position[0, :3] = [0.0, 9.0, 1.5]
    world._marks = world.scene.marks(slice(0, 1))
    world.step(0, [np.zeros((1, 2), np.float32)] * 4)
    assert world.episodes.terminated[0]
    assert not world.costs.any()


def test_the_plane_counts_and_not_one_axis() -> None:
    """1.9 m/s along each axis is 2.7 m/s."""
    world = thrown("safe-manyant:3x1", {})
    for x, y, fast in ((2.5, 0.0, False), (0.0, -2.6, True), (1.9, 1.9, True), (1.7, 1.7, False)):
        moved = world.spec.control_dt * np.array([[x, y]])
        assert world.scene.too_fast(moved).tolist() == [[fast]]
