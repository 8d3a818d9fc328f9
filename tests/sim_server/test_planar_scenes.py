"""Hopper and walker: falls, shares of the reward, the hopper's box, and what they are told."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from scalmarl.sim_server.hopper_scene import box_place
from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World

Array = NDArray[Any]
HOPPER, WALKER = "safe-hopper:3x1", "safe-walker2d:6x1"


def world_of(task: str, copies: int = 1, **options: Any) -> World:
    return World(describe(task, **options), copies=copies, groups=1, seed=0, threads=1, staggered=False)


def idle(world: World, steps: int = 1) -> None:
    copies = len(world.costs)
    for _ in range(steps):
        world.step(0, [np.zeros((copies, size), np.float32) for size in world.spec.action_sizes])


@pytest.mark.parametrize(("task", "mass", "integrator"), [(HOPPER, 15.820013406, "RK4"), (WALKER, 23.677136633, "RK4")])
def test_masses_and_integrators(task: str, mass: float, integrator: str) -> None:
    fast, parity = (world_of(task, physics=physics).scene.model for physics in ("fast", "parity"))
    assert mujoco.mj_getTotalmass(fast) == pytest.approx(mass, abs=1e-8)
    assert fast.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert parity.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4


@pytest.mark.parametrize(
    ("task", "coordinate", "value", "falls"),
    [
        (HOPPER, 1, 0.69, True), (HOPPER, 1, 0.71, False), (HOPPER, 2, 0.21, True), (HOPPER, 2, -0.19, False),
        (HOPPER, 5, 101.0, True), (WALKER, 1, 0.79, True), (WALKER, 1, 0.81, False), (WALKER, 1, 2.01, True),
        (WALKER, 2, -1.01, True), (WALKER, 2, 0.99, False), (WALKER, 5, 101.0, False),
    ],
)  # fmt: skip
def test_edges_of_a_fall_and_what_a_fallen_robot_earns(task: str, coordinate: int, value: float, falls: bool) -> None:
    world = world_of(task, 2)
    world.batch.bind("qpos")[1, coordinate] = value
    both = slice(0, 2)
    world.scene.refresh(both)
    outcome = world.scene.score(both, np.zeros((2, world.spec.agents)), np.full((2, 1), 0.008))
    assert outcome.fallen is not None
    assert outcome.fallen.tolist() == [False, falls]
    np.testing.assert_allclose(outcome.rewards.sum(axis=1), [2.0, 1.0 if falls else 2.0], atol=1e-12)


def test_a_hopper_survives_its_first_steps() -> None:
    """The published one is done at its first, since it takes the box's coordinates for its own."""
    world = world_of(HOPPER, 8)
    for _ in range(60):
        idle(world)
        assert not world.episodes.over.any()


def test_shares_of_the_reward_by_hand() -> None:
    world = world_of(HOPPER, reward="local", horizon=10_000)
    draw = np.random.default_rng(0)
    for _ in range(8):
        x = float(world.batch.bind("qpos")[0, 0])
        actions = [draw.normal(size=(1, 1)).astype("f4") for _ in range(3)]
        world.step(0, actions)
        speed = (float(world.batch.bind("qpos")[0, 0]) - x) / 0.008
        expected = [(speed + 1.0) / 3 - 1e-3 * float(action[0, 0]) ** 2 for action in actions]
        np.testing.assert_allclose(world.rewards[0], expected, atol=1e-12)


def test_the_box_is_where_its_clock_says() -> None:
    """x = 3 + t + sin t (Safe MAMuJoCo), at the time of the state, also after a reset and in the picture."""
    world = world_of(HOPPER, 2, horizon=30)
    elapsed = 0
    for _ in range(40):
        idle(world)
        elapsed = 0 if world.episodes.length[0] == 0 else elapsed + 1
        assert elapsed == int(world.episodes.length[0])
        box = 3.0 + 0.008 * elapsed + np.sin(0.008 * elapsed)
        assert box_place(np.array([0.008 * elapsed]))[0] == box
        gap = box - float(world.batch.bind("qpos")[0, 0])
        known = dict(zip(world.spec.block_entries[1], world.observation(1, 0)[0]))
        assert known["gap to the box (m), clipped at 5"] == pytest.approx(gap, abs=1e-5)
        assert known["tanh(2 (gap - 1))"] == pytest.approx(np.tanh(2 * (gap - 1)), abs=1e-5)
        assert known["box: velocity (m/s)"] == pytest.approx(1 + np.cos(0.008 * elapsed), abs=1e-5)
        assert known["box: acceleration (m/s^2)"] == pytest.approx(-np.sin(0.008 * elapsed), abs=1e-5)
        assert world.batch.bind("mocap_pos")[0, 0, 0] == pytest.approx(box, abs=1e-9)
    assert elapsed < 30


@pytest.mark.parametrize(
    ("gap", "team", "legacy"), [(3.0, 0, 0), (1.05, 0, 0), (0.95, 1, 1), (0.0, 1, 1), (-0.95, 1, 1), (-1.05, 1, 0)]
)
def test_edges_of_the_boxs_cost(gap: float, team: int, legacy: int) -> None:
    """In the published rule a hopper that has passed the box is free again."""
    for mode, expected in (("team", team), ("legacy", legacy)):
        world = world_of(HOPPER, cost=mode)
        world.batch.bind("qpos")[0, 0] = 3.0 - gap
        idle(world)
        assert world.costs[0].tolist() == [expected] * 3, mode


def test_with_local_costs_the_limb_that_is_ahead_costs() -> None:
    """The foot's middle is 0.065 m before its ankle, which stands below the torso."""
    world = world_of(HOPPER, cost="local")
    world.batch.bind("qpos")[0] = [1.9, 1.25, 0.0, 0.0, 0.0, 0.0]
    idle(world)
    box = float(box_place(np.array([0.008]))[0])
    model, data = world.scene.model, world.batch.get_data(0)
    mujoco.mj_forward(model, data)
    middles = [float(data.geom(limb).xpos[0]) for limb in ("thigh", "leg", "foot")]
    assert middles[2] > middles[0] + 0.05
    world.batch.bind("qpos")[0, 0] += box - 0.98 - middles[2]
    idle(world)
    assert world.costs[0].tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("task", [HOPPER, WALKER])
def test_what_is_told_is_mujocos_own(task: str) -> None:
    world = world_of(task)
    idle(world, 9)
    qpos, qvel = world.batch.bind("qpos")[0], world.batch.bind("qvel")[0]
    wanted = {
        "height z (m)": qpos[1], "pitch (rad)": qpos[2], "velocity x (m/s)": qvel[0], "velocity z (m/s)": qvel[1],
        "pitch rate (rad/s)": qvel[2], "presence": 1.0,
    }  # fmt: skip
    data = world.batch.get_data(0)
    mujoco.mj_forward(world.scene.model, data)
    assert data.body("torso").xpos[2] == pytest.approx(qpos[1], abs=1e-12)
    for agent, (joint,) in enumerate(world.spec.action_entries):
        known = dict(zip(world.spec.block_entries[agent], world.observation(agent, 0)[0]))
        wanted |= {f"{joint} position (rad)": data.joint(joint).qpos[0], f"{joint} speed (rad/s)": qvel[3 + agent]}
        for entry in known.keys() & wanted.keys():
            assert known[entry] == pytest.approx(wanted[entry], abs=1e-5), entry
        assert len(known.keys() & wanted.keys()) == 8
