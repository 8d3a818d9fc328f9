"""The swimmer: its links beside MuJoCo's own kinematics, its costs, its length, and that nothing of it collides."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from scalmarl.sim_server.corridor import Corridor
from scalmarl.sim_server.swimmer_model import build_model, joint_signs
from scalmarl.sim_server.swimmer_task import HALF_WIDTH, LONGEST
from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World


def world_of(task: str, copies: int = 1, **options: Any) -> World:
    return World(describe(task, **options), copies=copies, groups=1, seed=0, threads=1, staggered=False)


def idle(world: World) -> None:
    world.step(0, [np.zeros((len(world.costs), size), np.float32) for size in world.spec.action_sizes])


def straight(world: World, copy: int, x: float, y: float, yaw: float = 0.0) -> None:
    world.batch.bind("qpos")[copy] = 0.0
    world.batch.bind("qpos")[copy, :3] = [x, y, yaw]
    world.batch.bind("qvel")[copy] = 0.0


@pytest.mark.parametrize("joints", [1, 2, 5, 8])
def test_sizes_and_signs(joints: int) -> None:
    model = build_model(joints, Corridor(HALF_WIDTH))
    assert (model.nq, model.nv, model.nu) == (joints + 3, joints + 3, joints)
    each = 1000 * np.pi * 0.1**2 * (1.0 + 4.0 / 3.0 * 0.1)
    assert mujoco.mj_getTotalmass(model) == pytest.approx((joints + 1) * each, rel=1e-9)
    assert [int(model.joint(f"rot_{n}").axis[2]) for n in range(joints)] == list(joint_signs(joints))
    assert joint_signs(8) == (1, 1, -1, 1, -1, 1, -1, 1)


def test_nothing_collides_however_it_is_bent() -> None:
    model = build_model(8, Corridor(HALF_WIDTH))
    data = mujoco.MjData(model)
    for bend in (0.0, 1.7):
        data.qpos[3:] = bend
        mujoco.mj_forward(model, data)
        assert data.ncon == 0


@pytest.mark.parametrize("task", ["safe-swimmer:2x2", "safe-swimmer:1x1", "safe-swimmer:3x3"])
def test_links_are_where_mujoco_has_them(task: str) -> None:
    world = world_of(task, horizon=10_000)
    draw = np.random.default_rng(0)
    for _ in range(30):
        world.step(0, [draw.normal(size=(1, size)).astype("f4") for size in world.spec.action_sizes])
    model, data = world.scene.model, world.batch.get_data(0)
    mujoco.mj_forward(model, data)
    links, velocity = len(world.spec.block_entries), np.empty(6)
    for agent in range(links):
        known = dict(zip(world.spec.block_entries[agent], world.observation(agent, 0)[0]))
        own = sorted({int(entry.split(":")[0].removeprefix("link ")) for entry in known if entry.startswith("link ")})
        assert len(own) == world.spec.action_sizes[agent] + (agent == 0)
        for link in own:
            x, y, _ = data.geom(f"link_{link}").xpos
            axis = data.body(f"link_{link}").xmat.reshape(3, 3)[:, 0]
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_GEOM, model.geom(f"link_{link}").id, velocity, 0)
            wanted = {
                "cosine of heading": axis[0], "sine of heading": axis[1], "angular velocity (rad/s)": velocity[2],
                "velocity x of the middle (m/s)": velocity[3], "velocity y of the middle (m/s)": velocity[4],
                "progress x / 5 of the middle (m)": x / 5,
                "offset of the middle from the corridor's centre line (m)":
                    y - float(Corridor(HALF_WIDTH).centre_line(np.array([x]))[0]),
            }  # fmt: skip
            for entry, value in wanted.items():
                assert known[f"link {link}: {entry}"] == pytest.approx(value, abs=1e-5), (link, entry)


@pytest.mark.parametrize(("y", "team", "legacy"), [(0.0, 0, 0), (0.6, 0, 1), (2.4, 0, 1), (2.6, 1, 1), (4.2, 1, 0)])
def test_edges_of_the_origins_cost(y: float, team: int, legacy: int) -> None:
    """Walls at 4.3 m, as in the published model; its cost has them at 2.3 m, and ends 1.8 m beyond."""
    for mode, expected in (("team", team), ("legacy", legacy)):
        world = world_of("safe-swimmer:2x1", cost=mode)
        straight(world, 0, 0.0, y)
        idle(world)
        assert world.costs[0].tolist() == [expected] * 2, mode


def test_a_local_cost_is_that_of_an_agents_own_links() -> None:
    """At a yaw of 0.5 links are 0.48 m further up or down each: the head's middle at y = 0.48, the last at -1.44."""
    world = world_of("safe-swimmer:4x1", cost="local")
    straight(world, 0, -3.0, 2.3, 0.5)
    idle(world)
    assert world.costs[0].tolist() == [1.0, 0.0, 0.0, 0.0]
    straight(world, 0, -3.0, -1.6, 0.5)
    idle(world)
    assert world.costs[0].tolist() == [0.0, 0.0, 1.0, 1.0]


def test_the_longest_chain_starts_within_its_corridor_and_moves() -> None:
    world = world_of(f"safe-swimmer:{LONGEST}x1", 3)
    assert "times as large" in world.spec.notes[0]
    idle(world)
    assert not world.costs.any()
    assert np.abs(world.batch.bind("qvel")).max() < 10.0


def test_shares_of_the_reward_by_hand() -> None:
    world = world_of("safe-swimmer:2x2", reward="local", horizon=10_000)
    draw = np.random.default_rng(0)
    for _ in range(5):
        x = float(world.batch.bind("qpos")[0, 0])
        actions = [draw.normal(size=(1, 2)).astype("f4") for _ in range(2)]
        world.step(0, actions)
        speed = (float(world.batch.bind("qpos")[0, 0]) - x) / 0.02
        expected = [speed / 2 - 1e-4 * float(np.square(action.astype(np.float64)).sum()) for action in actions]
        np.testing.assert_allclose(world.rewards[0], expected, atol=1e-12)
