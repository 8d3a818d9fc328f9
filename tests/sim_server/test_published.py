"""Our robots beside those of gymnasium-robotics, in published physics, on the same actions: positions, velocities and
rewards to 1e-9. A test-only dependency (extra ``worlds``); without it these tests skip.

The half cheetahs are compared one step at a time from equal states, since two chaotic systems that differ in the last
bit of a mass soon part company; freely they are compared for the first steps.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scalmarl.sim_server.cheetah_model import SUBSTEPS
from scalmarl.sim_server.humanoid_model import PUBLISHED_RANGE
from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World, make_scene

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    gymnasium = pytest.importorskip("gymnasium", reason="gymnasium is in the extra 'worlds'")
    pytest.importorskip("gymnasium_robotics", reason="gymnasium-robotics is in the extra 'worlds'")
    from gymnasium_robotics import mamujoco_v1
    from gymnasium_robotics.envs.multiagent_mujoco import coupled_half_cheetah, many_segment_ant, many_segment_swimmer

pytestmark = pytest.mark.filterwarnings("ignore")
Array = NDArray[Any]
CLOSE = 1e-9
SPREAD = 0.3655


def world_of(task: str, **options: Any) -> World:
    """One published team reward, one copy, no staggering."""
    spec = describe(task, physics="parity", reward="team", **options)
    return World(spec, copies=1, groups=1, seed=3, threads=1, staggered=False)


def published_names(model: Any) -> list[str]:
    """The joint that each of its controls drives."""
    return [model.joint(model.actuator(n).trnid[0]).name for n in range(model.nu)]


def compare(
    world: World,
    other: Any,
    steps: int,
    rename: Callable[[str], str],
    skipped: int = 0,
    resync: bool = False,
    unit: float = 1.0,
    spread: float = SPREAD,
) -> int:
    """Step both on the same actions, and say how far it went; ``skipped`` coordinates of ours (the bomb) are not of the
    published robot, ``unit`` is its control for an action of 1."""
    draw, spec = np.random.default_rng(1), world.spec
    position, speed = world.batch.bind("qpos"), world.batch.bind("qvel")
    other.set_state(position[0, skipped:].copy(), speed[0, skipped:].copy())
    names = published_names(other.model)
    for step in range(steps):
        actions = [(spread * draw.normal(size=(1, size))).astype("f4") for size in spec.action_sizes]
        by_name = {
            rename(name): float(actions[agent][0, n])
            for agent, own in enumerate(spec.action_entries)
            for n, name in enumerate(own)
        }
        if resync:
            other.set_state(position[0, skipped:].copy(), speed[0, skipped:].copy())
            other.data.qacc_warmstart[:] = world.batch.bind("qacc_warmstart")[0, skipped:]
        world.step(0, actions)
        _, reward, terminated, _, _ = other.step(unit * np.array([by_name[name] for name in names]))
        np.testing.assert_allclose(position[0, skipped:], other.data.qpos, rtol=0, atol=CLOSE, err_msg=f"step {step}")
        np.testing.assert_allclose(speed[0, skipped:], other.data.qvel, rtol=0, atol=CLOSE, err_msg=f"step {step}")
        assert world.rewards[0, 0] == pytest.approx(reward, abs=CLOSE), step
        assert bool(terminated) == bool(world.episodes.terminated[0]), step
        if terminated:
            return step + 1
    return steps


@pytest.mark.parametrize("partition", ["2x4", "2x4d", "4x2"])
def test_the_ant(partition: str) -> None:
    other = mamujoco_v1.parallel_env("Ant", partition).single_agent_env.unwrapped
    other.reset(seed=0)
    compare(world_of(f"safe-ant:{partition}"), other, 200, lambda name: name)


@pytest.mark.parametrize("resync", [False, True])
@pytest.mark.parametrize("partition", ["2x3", "6x1"])
def test_the_half_cheetah(partition: str, resync: bool) -> None:
    other = mamujoco_v1.parallel_env("HalfCheetah", partition).single_agent_env.unwrapped
    other.reset(seed=0)
    steps = 300 if resync else 50
    compare(world_of(f"safe-halfcheetah:{partition}"), other, steps, lambda name: name.removesuffix("_0"), 1, resync)


@pytest.mark.parametrize("resync", [False, True])
@pytest.mark.parametrize("partition", ["1p1", "12x1"])
def test_the_coupled_half_cheetahs(partition: str, resync: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published observation reads a dense tendon Jacobian, which MuJoCo no longer has; it is left out here."""
    monkeypatch.setattr(coupled_half_cheetah.CoupledHalfCheetahEnv, "_get_obs", lambda self: np.zeros(40))
    other = coupled_half_cheetah.CoupledHalfCheetahEnv()
    other.reset(seed=0)
    world = world_of(f"safe-coupled-halfcheetah:{partition}")
    compare(world, other, 300 if resync else 30, lambda name: name.replace("_", ""), 1, resync)


@pytest.mark.parametrize("partition", ["6x1", "2x3"])
def test_the_chain_of_ants_at_the_timing_of_gymnasium_robotics(
    partition: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Theirs steps 5 x 0.01 s, the original, and ours, 4 x 0.005 s."""
    spec = replace(describe(f"safe-manyant:{partition}", physics="parity", reward="team"), control_dt=0.05)
    scene = make_scene(spec)
    scene.model.opt.timestep, scene.substeps = 0.01, SUBSTEPS
    monkeypatch.setattr("scalmarl.sim_server.world.make_scene", lambda _: scene)
    world = World(spec, copies=1, groups=1, seed=3, threads=1, staggered=False)
    many_segment_ant.gen_asset(n_segs=6, asset_path=str(tmp_path / "ant.xml"))
    other = gymnasium.make("Ant-v5", xml_file=str(tmp_path / "ant.xml")).unwrapped
    other.reset(seed=0)
    compare(world, other, 100, lambda name: name.replace("_", "", 1))


# ---- Gymnasium's other robots ----


def same_build(ours: Any, theirs: Any, rename: Callable[[str], str], unit: float = 1.0) -> None:
    """Sizes, masses, inertias, ranges, damping, stiffness, armature and motors, joint by joint."""
    assert (ours.nq, ours.nv, ours.nu) == (theirs.nq, theirs.nv, theirs.nu)
    assert (ours.opt.timestep, ours.opt.solver) == (theirs.opt.timestep, theirs.opt.solver)
    assert (ours.opt.density, ours.opt.viscosity) == (theirs.opt.density, theirs.opt.viscosity)
    robot = [body for body in range(1, ours.nbody) if ours.body_mass[body] > 0.0]
    np.testing.assert_allclose(ours.body_mass[robot], theirs.body_mass[1:], atol=1e-12)
    np.testing.assert_allclose(ours.body_inertia[robot], theirs.body_inertia[1:], atol=1e-12)
    motors = {rename(ours.actuator(n).name): ours.actuator(n) for n in range(ours.nu)}
    for n, name in enumerate(published_names(theirs)):
        (mine,), (other,) = motors[name].ctrlrange[None], theirs.actuator(n).ctrlrange[None]
        np.testing.assert_allclose(motors[name].gear[0] * mine, theirs.actuator(n).gear[0] * other, rtol=1e-12)
        np.testing.assert_allclose(unit * mine, other)
    for n in range(ours.njnt):
        mine, other = ours.joint(n), theirs.joint(n)
        assert mine.type == other.type
        for field in ("range", "axis", "pos", "stiffness"):
            np.testing.assert_allclose(getattr(mine, field), getattr(other, field), atol=1e-12, err_msg=mine.name)
        for field in ("damping", "armature"):
            np.testing.assert_allclose(getattr(mine, field), getattr(other, field), atol=1e-12, err_msg=mine.name)


def robot_of(name: str, **options: Any) -> Any:
    other = gymnasium.make(name, **options).unwrapped
    other.reset(seed=0)
    return other


@pytest.mark.parametrize(("task", "name"), [("safe-hopper:3x1", "Hopper-v5"), ("safe-walker2d:6x1", "Walker2d-v5")])
def test_hopper_and_walker(task: str, name: str) -> None:
    """Until they fall, which ends both and is paid the same."""
    other, world = robot_of(name), world_of(task)
    same_build(world.scene.model, other.model, lambda joint: f"{joint}_joint")
    went = compare(world, other, 300, lambda joint: f"{joint}_joint", spread=0.1)
    assert world.episodes.terminated[0]
    assert went > 40


def test_the_humanoid() -> None:
    """The published reward counts the squares of its own controls, 0.4 times ours."""
    other, world = robot_of("Humanoid-v5"), world_of("safe-humanoid:9|8")
    same_build(world.scene.model, other.model, str, PUBLISHED_RANGE)
    went = compare(world, other, 300, str, unit=PUBLISHED_RANGE)
    assert world.episodes.terminated[0]
    assert went > 15


def swimmer_at_the_timing_of_gymnasium(task: str, monkeypatch: pytest.MonkeyPatch, **options: Any) -> World:
    """Theirs steps 4 x 0.01 s, the original, and ours, 4 x 0.005 s."""
    spec = replace(describe(task, physics="parity", reward="team", **options), control_dt=0.04)
    scene = make_scene(spec)
    scene.model.opt.timestep = 0.01
    monkeypatch.setattr("scalmarl.sim_server.world.make_scene", lambda _: scene)
    return World(spec, copies=1, groups=1, seed=3, threads=1, staggered=False)


def test_a_swimmer_of_two_joints_is_gymnasiums(monkeypatch: pytest.MonkeyPatch) -> None:
    other, world = robot_of("Swimmer-v5"), swimmer_at_the_timing_of_gymnasium("safe-swimmer:2x1", monkeypatch)
    rename = {"rot_0": "motor1_rot", "rot_1": "motor2_rot"}.__getitem__
    same_build(world.scene.model, other.model, rename)
    assert compare(world, other, 200, rename) == 200


@pytest.mark.parametrize("partition", ["8x1", "2x4"])
def test_a_long_swimmer_is_that_of_gymnasium_robotics(
    partition: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_segment_swimmer.gen_asset(n_segs=8, asset_path=str(tmp_path / "swimmer.xml"))
    other = robot_of("Swimmer-v5", xml_file=str(tmp_path / "swimmer.xml"))
    world = swimmer_at_the_timing_of_gymnasium(f"safe-swimmer:{partition}", monkeypatch)
    same_build(world.scene.model, other.model, lambda name: name.replace("_", ""))
    assert compare(world, other, 100, lambda name: name.replace("_", "")) == 100


@pytest.mark.parametrize(
    ("task", "name", "skipped", "limit"),
    [
        ("safe-ant:4x2", "Ant-v5", 0, 2.418), ("safe-ant:2x4", "Ant-v5", 0, 2.522),
        ("safe-halfcheetah:6x1", "HalfCheetah-v5", 1, 2.932), ("safe-hopper:3x1", "Hopper-v5", 0, 0.9613),
        ("safe-walker2d:2x3", "Walker2d-v5", 0, 1.641), ("safe-humanoid:9|8", "Humanoid-v5", 0, 0.58),
        ("safe-swimmer:2x1", "Swimmer-v5", 0, 0.04891),
    ],
)  # fmt: skip
def test_the_velocity_cost_is_that_of_safety_gymnasium(
    task: str, name: str, skipped: int, limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rule from Gymnasium's own speeds, for a robot that is thrown forward, hardly, and backward."""
    other, costs = robot_of(name), []
    for thrown in (1.6, 0.3, -1.6):
        if "swimmer" in task:
            world = swimmer_at_the_timing_of_gymnasium(task, monkeypatch, cost="velocity")
        else:
            world = world_of(task, cost="velocity")
        position, speed = world.batch.bind("qpos"), world.batch.bind("qvel")
        speed[0] = 0.0
        speed[0, skipped] = thrown * limit
        other.set_state(position[0, skipped:].copy(), speed[0, skipped:].copy())
        for _ in range(40):
            world.step(0, [np.zeros((1, size), np.float32) for size in world.spec.action_sizes])
            _, _, terminated, _, info = other.step(np.zeros(other.model.nu))
            velocity = info["x_velocity"]
            if "swimmer" not in task:
                velocity = np.hypot(velocity, info.get("y_velocity", 0.0))
            assert world.costs[0].tolist() == [float(velocity > limit)] * world.spec.agents
            costs.append(float(velocity > limit))
            if terminated:
                break
    assert set(costs) == {0.0, 1.0}
