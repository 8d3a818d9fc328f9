"""The ant: its model beside the published sizes, edges of its costs, falls, and what it is told."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from scalmarl.sim_server.ant_model import build_model
from scalmarl.sim_server.ant_task import HALF_WIDTH, JOINTS
from scalmarl.sim_server.corridor import Corridor
from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World

Array = NDArray[Any]


def world_of(task: str = "safe-ant:4x2", copies: int = 1, **options: Any) -> World:
    return World(describe(task, **options), copies=copies, groups=1, seed=0, threads=1, staggered=False)


def idle(world: World, copies: int = 1) -> None:
    world.step(0, [np.zeros((copies, size), np.float32) for size in world.spec.action_sizes])


def placed(world: World, copy: int, x: float, y: float, z: float = 0.6) -> None:
    position, speed = world.batch.bind("qpos"), world.batch.bind("qvel")
    position[copy, :7] = [x, y, z, 1.0, 0.0, 0.0, 0.0]
    position[copy, 7:] = [0, 1, 0, -1, 0, -1, 0, 1]
    speed[copy] = 0.0


def test_sizes_and_integrators() -> None:
    model = build_model(Corridor(HALF_WIDTH))
    assert (model.nq, model.nv, model.nu) == (15, 14, 8)
    assert [model.actuator(n).name for n in range(8)] == list(JOINTS)
    assert mujoco.mj_getTotalmass(model) == pytest.approx(0.9108800827, abs=1e-9)
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert build_model(Corridor(HALF_WIDTH), "parity").opt.integrator == mujoco.mjtIntegrator.mjINT_RK4


@pytest.mark.parametrize(
    ("y", "team", "legacy"),
    [(0.0, 0, 0), (3.1, 0, 0), (3.3, 1, 1), (5.0, 1, 1), (6.7, 1, 1), (7.0, 1, 0), (-3.3, 1, 1), (-7.0, 1, 0)],
)
def test_edges_of_the_torsos_cost(y: float, team: int, legacy: int) -> None:
    """Half-width 5 m: it costs from 3.2 m on, and in the published rule no more beyond 6.8 m."""
    for mode, expected in (("team", team), ("legacy", legacy)):
        world = world_of(cost=mode)
        placed(world, 0, 0.0, y)
        idle(world)
        assert world.costs[0].tolist() == [expected] * 4, mode


def test_with_local_costs_the_legs_on_the_walls_side_cost_first() -> None:
    """Legs 1 and 2 stand on the left: their feet are about 0.7 m nearer to the wall than the torso."""
    world = world_of(cost="local")
    placed(world, 0, -1.0, 2.7)
    idle(world)
    assert world.costs[0].tolist() == [1.0, 1.0, 0.0, 0.0]
    feet = world_of("safe-ant:8x1", cost="local")
    placed(feet, 0, -1.0, 2.7)
    idle(feet)
    assert feet.costs[0].tolist() == [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0], "ankles of legs 1 and 2"


@pytest.mark.parametrize("cost", ["team", "local", "legacy"])
@pytest.mark.parametrize("height", [1.01, 0.19])
def test_a_fall_terminates_and_costs_everybody_1(height: float, cost: str) -> None:
    world = world_of(copies=2, cost=cost)
    placed(world, 0, 0.0, 0.0, 0.21)
    placed(world, 1, 0.0, 0.0, height)
    world.batch.forward()
    both = slice(0, 2)
    world.scene.refresh(both)
    outcome = world.scene.score(both, np.zeros((2, 4)), np.zeros((2, 1)))
    assert outcome.fallen is not None
    assert outcome.fallen.tolist() == [False, True]
    assert (np.broadcast_to(outcome.costs, (2, 4)) == [[0.0], [1.0]]).all()


def test_upside_down_terminates() -> None:
    world = world_of()
    placed(world, 0, 0.0, 0.0)
    world.batch.bind("qpos")[0, 3:7] = [0.0, 1.0, 0.0, 0.0]
    idle(world)
    assert world.episodes.terminated[0]


def test_what_is_told_is_mujocos_own() -> None:
    world = world_of("safe-ant:4x2")
    draw = np.random.default_rng(0)
    for _ in range(12):
        world.step(0, [0.3 * draw.normal(size=(1, 2)).astype("f4") for _ in range(4)])
    forces = world.batch.bind("cfrc_ext")[0].copy()
    model, data = world.scene.model, world.batch.get_data(0)
    mujoco.mj_forward(model, data)
    x, y, z = data.body("torso").xpos
    rotation = data.body("torso").xmat.reshape(3, 3)
    flat = rotation[:2, 0] / np.linalg.norm(rotation[:2, 0])
    for agent, (hip, ankle) in enumerate(world.spec.action_entries):
        known = dict(zip(world.spec.block_entries[agent], world.observation(agent, 0)[0]))
        thigh, foot = (model.body(f"{limb}_{agent + 1}").id for limb in ("thigh", "foot"))
        wanted = {
            f"{hip} position (rad)": data.joint(hip).qpos[0], f"{ankle} speed (rad/s)": data.joint(ankle).qvel[0],
            f"contact force on the limb of {hip}, clipped at 1 (N)": min(np.linalg.norm(forces[thigh, 3:]), 1.0),
            f"contact force on the limb of {ankle}, clipped at 1 (N)": min(np.linalg.norm(forces[foot, 3:]), 1.0),
            "height z (m)": z, "up vector x, world frame": rotation[0, 2], "up vector z, world frame": rotation[2, 2],
            "linear velocity y (m/s), world frame": data.qvel[1],
            "angular velocity z (rad/s), body frame": data.qvel[5], "progress x / 5 (m)": x / 5,
            "offset from the corridor's centre line (m)": y - Corridor(HALF_WIDTH).centre_line(np.array([x]))[0],
            "cosine of heading": flat[0], "sine of heading": flat[1], "presence": 1.0,
        }  # fmt: skip
        for entry, value in wanted.items():
            assert known[entry] == pytest.approx(value, abs=1e-5), entry


def test_agents_pay_for_their_own_contacts_and_share_the_torsos() -> None:
    """Each agent's reward by hand from MuJoCo's forces."""
    world = world_of("safe-ant:4x2", reward="local", horizon=10_000)
    draw = np.random.default_rng(0)
    felt_something = False
    for _ in range(20):
        x = float(world.batch.bind("qpos")[0, 0])
        actions = [0.3 * draw.normal(size=(1, 2)).astype("f4") for _ in range(4)]
        world.step(0, actions)
        speed = (float(world.batch.bind("qpos")[0, 0]) - x) / 0.05
        squares = np.square(np.clip(world.batch.bind("cfrc_ext")[0], -1, 1)).sum(axis=1)
        felt_something |= squares[2:].any()
        for agent, action in enumerate(actions):
            own = [world.scene.model.body(f"{part}_{agent + 1}").id for part in ("leg", "thigh", "foot")]
            contact = squares[own].sum() + squares[world.scene.model.body("torso").id] / 4
            effort = float(np.square(action.astype(np.float64)).sum())
            expected = (speed + 1.0) / 4 - 0.5 * effort - 0.0005 * contact
            assert world.rewards[0, agent] == pytest.approx(expected, abs=1e-12)
    assert felt_something
