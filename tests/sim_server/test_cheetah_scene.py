"""Cheetahs and the bomb: masses, the bomb's published course, edges of the cost, tendons, and who feels whom."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from scalmarl.sim_server.cheetah_model import LANE, build_model, lanes
from scalmarl.sim_server.cheetah_scene import bomb_control
from scalmarl.sim_server.cheetah_task import JOINTS, herd_of
from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World

Array = NDArray[Any]


def world_of(task: str, agents: int | None = None, copies: int = 1, **options: Any) -> World:
    spec = describe(task, agents, **options)
    return World(spec, copies=copies, groups=1, seed=0, threads=1, staggered=False)


def idle(world: World, copies: int = 1) -> None:
    world.step(0, [np.zeros((copies, size), np.float32) for size in world.spec.action_sizes])


# ---- the model ----


@pytest.mark.parametrize(
    ("task", "agents", "cheetahs", "mass"),
    [("safe-halfcheetah", None, 1, 14.0), ("safe-coupled-halfcheetah", None, 2, 7.0), ("cheetahs", 5, 5, 14.0)],
)
def test_sizes_and_masses(task: str, agents: int | None, cheetahs: int, mass: float) -> None:
    model = build_model(herd_of(describe(task, agents)))
    assert (model.nq, model.nv, model.nu) == (1 + 9 * cheetahs, 1 + 9 * cheetahs, 1 + 6 * cheetahs)
    for cheetah in range(cheetahs):
        root = model.body(f"torso_{cheetah}")
        assert model.body_subtreemass[root.id] == pytest.approx(mass, rel=1e-12)
        assert root.pos[1] == pytest.approx(LANE * (cheetah - (cheetahs - 1) / 2))
    assert model.ntendon == cheetahs - 1
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert build_model(herd_of(describe(task, agents)), "parity").opt.integrator == mujoco.mjtIntegrator.mjINT_EULER


def test_without_coupling_there_is_no_tendon() -> None:
    assert build_model(herd_of(describe("cheetahs", 4, coupling=0))).ntendon == 0
    stiff = build_model(herd_of(describe("cheetahs", 4, coupling=2.5)))
    assert (stiff.tendon_stiffness.reshape(3, -1)[:, 0] == 2.5).all()
    assert (stiff.tendon_range == [1.5, 3.5]).all()
    np.testing.assert_allclose(stiff.tendon_lengthspring[:, 0], LANE)


@pytest.mark.parametrize(("task", "collides"), [("safe-halfcheetah", True), ("cheetahs", False)])
def test_the_published_plate_collides_and_that_of_separate_cheetahs_does_not(task: str, collides: bool) -> None:
    model = build_model(herd_of(describe(task)))
    plate = model.geom("bomb").id
    assert bool(model.geom_conaffinity[plate]) == bool(model.geom_contype[plate]) == collides
    reach = model.geom_size[plate][1]
    assert reach >= max(abs(y) for y in lanes(model.ntendon + 1)) + 0.3


# ---- the bomb ----


@pytest.mark.parametrize(
    ("task", "agents"),
    [("safe-halfcheetah", None), ("safe-coupled-halfcheetah", None), ("cheetahs", 1), ("cheetahs", 256)],
)
def test_the_bomb_runs_its_published_course(task: str, agents: int | None) -> None:
    """Velocity 12 sin^2(t / 3) - 2.4, half a second late (0.1 v' + 0.2 v = 120 u), and 179.5 m after 50 s, however
    wide the plate is. Cheetahs that stand still at the start are never touched."""
    world = world_of(task, agents, horizon=10_000)
    position, speed = world.batch.bind("qpos"), world.batch.bind("qvel")
    world.batch.state[:] = world.batch.state
    position[0, 0] = speed[0, 0] = 0.0
    lag = 0.0
    for step in range(1000):
        idle(world)
        t = (step + 1) * 0.05
        # The steady state of a first-order lag of 0.5 s behind 600 u(t), integrated in closed form per control step.
        lag += (600.0 * bomb_control(np.array(t - 0.05)) - lag) * (1.0 - np.exp(-0.05 / 0.5))
        assert speed[0, 0] == pytest.approx(lag, abs=0.06)
    assert position[0, 0] + 10.0 == pytest.approx(179.5, abs=0.5)
    late = 12.0 * np.sin((50.0 - 0.5) / 3.0) ** 2 - 2.4
    assert speed[0, 0] == pytest.approx(late, abs=0.25)


@pytest.mark.parametrize(
    ("task", "agents", "cost", "first", "last"),
    [
        ("safe-halfcheetah", None, "team", 18, 51),
        ("safe-halfcheetah", None, "local", 11, 55),
        ("cheetahs", 1, "local", 18, 51),
        ("cheetahs", 1, "team", 18, 51),
        ("cheetahs", 256, "local", 18, 51),
    ],
)
def test_standing_still_costs_while_the_plate_comes_near(
    task: str, agents: int | None, cost: str, first: int, last: int
) -> None:
    world = world_of(task, agents, cost=cost)
    position, speed = world.batch.bind("qpos"), world.batch.bind("qvel")
    position[:] = speed[:] = 0.0
    costs = []
    for _ in range(120):
        idle(world)
        costs.append(world.costs[0].max())
    steps = np.flatnonzero(costs) + 1
    assert steps.tolist() == list(range(first, last + 1))
    for horizon, expected in ((first - 1, 0), (first + 4, 5), (last, len(steps)), (1000, len(steps))):
        assert describe(task, agents, cost=cost, horizon=horizon).standing_still_cost == expected


@pytest.mark.parametrize(
    ("task", "near"), [("safe-halfcheetah", 9.0), ("safe-coupled-halfcheetah", 5.0), ("cheetahs", 9.0)]
)
def test_edges_of_the_cost(task: str, near: float) -> None:
    """Placed ahead of and behind the plate, on either side of the edge."""
    world = world_of(task, copies=4, cost="team")
    position, speed = world.batch.bind("qpos"), world.batch.bind("qvel")
    for copy, gap in enumerate((near + 0.01, near - 0.01, -near + 0.01, -near - 0.01)):
        position[copy] = 0.0
        position[copy, 0] = gap - 10.0
    speed[:] = 0.0
    world.scene.refresh(slice(0, 4))
    assert world.scene._near(slice(0, 4))[:, 0].tolist() == [False, True, True, False]


def test_each_of_the_coupled_has_a_cost_of_its_own_and_the_published_rule_is_always_1() -> None:
    for mode, expected in (("local", [0, 0, 0, 1, 1, 1]), ("team", [1] * 6), ("legacy", [1] * 6)):
        world = world_of("safe-coupled-halfcheetah:6x2", cost=mode)
        position = world.batch.bind("qpos")
        position[0] = 0.0
        position[0, 0], position[0, 1], position[0, 10] = 0.0, 4.0, 6.0
        world.scene.refresh(slice(0, 1))
        near = np.broadcast_to(world.scene._near(slice(0, 1)), (1, 6))
        assert near[0].astype(int).tolist() == expected
    far = world_of("safe-coupled-halfcheetah:6x2", cost="legacy")
    far.batch.bind("qpos")[0] = 0.0
    idle(far)
    assert far.costs[0].tolist() == [1.0] * 6


def test_with_local_costs_the_front_leg_of_one_cheetah_is_nearer_than_its_back_leg() -> None:
    world = world_of("safe-halfcheetah:2x3", cost="local")
    position, speed = world.batch.bind("qpos"), world.batch.bind("qvel")
    position[0], speed[0] = 0.0, 0.0
    position[0, 0] = -1.0  # gap 9 m to the torso: the front leg is 0.5 m ahead of it
    idle(world)
    assert world.costs[0].tolist() == [0.0, 1.0]


# ---- observations ----


@pytest.mark.parametrize(("task", "agents"), [("cheetahs", 4), ("safe-coupled-halfcheetah", None)])
def test_features_are_those_of_mujocos_own_fields(task: str, agents: int | None) -> None:
    world = world_of(task, agents)
    draw = np.random.default_rng(0)
    for _ in range(15):
        world.step(0, [0.5 * draw.normal(size=(1, size)).astype("f4") for size in world.spec.action_sizes])
    model, data = world.scene.model, world.batch.get_data(0)
    mujoco.mj_forward(model, data)
    gap = data.geom("bomb").xpos[0]
    for agent, entries in enumerate(world.spec.block_entries):
        known = dict(zip(entries, world.observation(agent, 0)[0]))
        torso = data.body(f"torso_{agent}")
        distance = gap - torso.xpos[0]
        near = world.spec.parameters["near"]
        wanted = {
            f"cheetah {agent}: height z - 0.7 (m)": torso.xpos[2] - 0.7,
            f"cheetah {agent}: pitch (rad)": data.joint(f"rooty_{agent}").qpos[0],
            f"cheetah {agent}: velocity x (m/s)": data.joint(f"rootx_{agent}").qvel[0],
            f"cheetah {agent}: velocity z (m/s)": data.joint(f"rootz_{agent}").qvel[0],
            f"cheetah {agent}: pitch rate (rad/s)": data.joint(f"rooty_{agent}").qvel[0],
            f"cheetah {agent}: gap to the bomb (m) / 10, clipped at 5": np.clip(distance / 10, -5, 5),
            f"cheetah {agent}: tanh(2 (gap - {near:g}))": np.tanh(2 * (distance - near)),
            f"cheetah {agent}: tanh((gap - {near:g}) / 3)": np.tanh((distance - near) / 3),
            "bomb: velocity (m/s)": data.joint("bomb").qvel[0],
            "bomb: control": 0.02 * np.sin(15 * 0.05 / 3) ** 2 - 0.004,
            "presence": 1.0,
        }
        for link in range(model.ntendon):
            if link in (agent - 1, agent):
                wanted[f"tendon {link}-{link + 1}: length (m)"] = data.tendon(f"tendon_{link}").length[0]
                wanted[f"tendon {link}-{link + 1}: speed (m/s)"] = data.tendon(f"tendon_{link}").velocity[0]
        for joint in JOINTS:
            wanted[f"{joint}_{agent} position (rad)"] = data.joint(f"{joint}_{agent}").qpos[0]
            wanted[f"{joint}_{agent} speed (rad/s)"] = data.joint(f"{joint}_{agent}").qvel[0]
        assert known.keys() == wanted.keys()
        for entry, value in wanted.items():
            assert known[entry] == pytest.approx(value, abs=2e-6), entry


# ---- reward ----


def test_rewards_are_speed_less_effort() -> None:
    for task, agents, weight in (("cheetahs", 3, 1.0), ("safe-coupled-halfcheetah", None, 0.5)):
        world = world_of(task, agents)
        position = world.batch.bind("qpos")
        before = position[0, 1::9].copy()
        draw = np.random.default_rng(0)
        actions = [draw.normal(size=(1, 6)).astype("f4") for _ in range(world.spec.agents)]
        world.step(0, actions)
        for agent, action in enumerate(actions):
            speed = (position[0, 1 + 9 * agent] - before[agent]) / 0.05
            effort = float(np.square(action.astype(np.float64)).sum())
            assert world.rewards[0, agent] == pytest.approx(weight * (speed - 0.1 * effort), abs=1e-12)


# ---- who feels whom ----


def paths(world: World, pushed: int, steps: int) -> Array:
    """x of every cheetah after ``steps`` in which only one of them moves; ``[steps, C]``."""
    position, found = world.batch.bind("qpos"), []
    for step in range(steps):
        actions = [np.zeros((1, 6), np.float32) for _ in range(world.spec.agents)]
        actions[pushed][0] = np.sin(step / 3 + np.arange(6))
        world.step(0, actions)
        found.append(position[0, 1::9].copy())
    return np.array(found)


@pytest.mark.parametrize("physics", ["fast", "parity"])
def test_without_coupling_nobody_feels_anybody(physics: str) -> None:
    """To the bit, over episodes in which feet hit the ground all the time."""
    courses = []
    for sign in (1.0, -1.0):
        world = world_of("cheetahs", 5, copies=2, coupling=0, physics=physics)
        state, draw = world.batch.bind("qpos"), np.random.default_rng(1)
        course = []
        for _ in range(400):
            actions = [draw.normal(size=(2, 6)).astype(np.float32) for _ in range(5)]
            actions[2] *= sign
            world.step(0, actions)
            course.append(state.copy())
        courses.append(np.array(course))
    moved = np.abs(courses[0] - courses[1]).max(axis=(0, 1))
    of_cheetahs = moved[1:].reshape(5, 9).max(axis=1)
    assert of_cheetahs[2] > 0.1
    assert moved[0] == 0.0, "the plate runs its course whoever runs behind it"
    assert (np.delete(of_cheetahs, 2) == 0.0).all()


def test_influence_falls_with_hops_and_grows_with_the_coupling() -> None:
    reach = {}
    for coupling in (0.1, 10.0):
        calm, pushed = world_of("cheetahs", 5, coupling=coupling), world_of("cheetahs", 5, coupling=coupling)
        for _ in range(60):
            idle(calm)
        moved = paths(pushed, 0, 60)[-1] - calm.batch.bind("qpos")[0, 1::9]
        reach[coupling] = np.abs(moved)
        assert reach[coupling][1] < 0.2 * reach[coupling][0]
        assert reach[coupling][2] < 0.2 * reach[coupling][1]
        assert reach[coupling][1] > 1e-7
    assert (reach[10.0][1:3] > 10 * reach[0.1][1:3]).all()
