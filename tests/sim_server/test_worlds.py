"""What every task's world promises, whatever its scene: bits, scatter of actions and observations, sums, snapshots."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from scalmarl.sim_server.making import SavedWorld
from scalmarl.sim_server.tasks import FAMILIES, describe
from scalmarl.sim_server.world import World

Array = NDArray[Any]
STATE = mujoco.mjtState.mjSTATE_INTEGRATION
ONE_OF_EACH = [
    "safe-manyant:3x1", "safe-ant:8x1", "safe-halfcheetah:3x2", "safe-coupled-halfcheetah:6x2", "cheetahs",
    "formation:ring",
    "safe-hopper:3x1", "safe-walker2d:6x1", "safe-humanoid:17x1", "safe-swimmer:2x2",
]  # fmt: skip
UNSTEADY = ("safe-hopper", "safe-walker2d", "safe-humanoid")
"""Robots that fall at once under strong noise."""
PARTITIONS = [
    f"{family.name}:{partition}".removesuffix(":") for family in FAMILIES.values() for partition in family.partitions
]


def world_of(task: str, copies: int = 4, groups: int = 1, seed: int = 0, threads: int = 1, **options: Any) -> World:
    agents = 3 if task == "cheetahs" else None
    spec = describe(task, agents, **options)
    return World(spec, copies=copies, groups=groups, seed=seed, threads=threads)


def actions_of(world: World, steps: int, copies: int, seed: int = 0, spread: float = 0.4) -> list[list[Array]]:
    """``[T][A]`` of ``[E, action size]``."""
    draw = np.random.default_rng(seed)
    sizes = world.spec.action_sizes
    return [[(spread * draw.normal(size=(copies, size))).astype("f4") for size in sizes] for _ in range(steps)]


def move_what_is_nobodys(data: mujoco.MjData, task: str, elapsed: float) -> None:
    """The bomb's control and the hopper's box, ``elapsed`` seconds after the start."""
    if "cheetah" in task:
        data.actuator("bomb").ctrl[0] = 0.02 * np.sin(elapsed / 3) ** 2 - 0.004
    if "hopper" in task:
        data.mocap_pos[0, 0] = 3.0 + elapsed + np.sin(elapsed)


def seen(world: World, groups: int = 1) -> list[Array]:
    """What every agent is sent, all copies."""
    return [np.concatenate([world.observation(a, g) for g in range(groups)]) for a in range(world.spec.agents)]


def run(world: World, actions: Sequence[Sequence[Array]], groups: int = 1) -> Iterator[list[Array]]:
    for now in actions:
        size = len(now[0]) // groups
        for group in range(groups):
            world.step(group, [mine[group * size : (group + 1) * size] for mine in now])
        yield seen(world, groups)


def bits(observations: Sequence[Array]) -> bytes:
    return b"".join(values.tobytes() for values in observations)


# ---- against a plain loop ----


@pytest.mark.parametrize("physics", ["fast", "parity"])
@pytest.mark.parametrize("task", ONE_OF_EACH)
def test_a_copy_is_what_a_plain_loop_of_mj_step_makes_of_it_to_the_bit(task: str, physics: str) -> None:
    world = world_of(task, 3, groups=3, physics=physics, horizon=10_000)
    model, spec = world.scene.model, world.spec
    loops = []
    for copy in range(3):
        data = mujoco.MjData(model)
        mujoco.mj_setState(model, data, world.batch.state[copy].copy(), STATE)
        loops.append(data)
    unsteady = task.startswith(UNSTEADY)
    actions = actions_of(world, 20 if unsteady else 40, 3, spread=0.1 if unsteady else 0.4)
    names = [name for own in spec.action_entries for name in own]
    for step, now in enumerate(actions):
        joint = np.concatenate(now, axis=1)
        for copy, data in enumerate(loops):
            for name, value in zip(names, joint[copy]):
                data.actuator(name).ctrl[0] = value
            move_what_is_nobodys(data, task, step * spec.control_dt if "cheetah" in task else data.time)
            for _ in range(world.scene.substeps):
                mujoco.mj_step(model, data)
    for _ in run(world, actions, groups=3):
        pass
    assert not world.episodes.over.any()
    for copy, data in enumerate(loops):
        move_what_is_nobodys(data, task, len(actions) * spec.control_dt if "cheetah" in task else data.time)
        state = np.empty(mujoco.mj_stateSize(model, STATE))
        mujoco.mj_getState(model, data, state, STATE)
        assert world.batch.state[copy].tobytes() == state.tobytes()


# ---- scatter ----


@pytest.mark.parametrize("task", PARTITIONS)
def test_an_agents_action_reaches_its_own_motors_and_no_other(task: str) -> None:
    world = world_of(task, 1)
    model, spec = world.scene.model, world.spec
    control = world.batch.bind("ctrl")
    for agent, motors in enumerate(spec.action_entries):
        zero = [np.zeros((1, size), np.float32) for size in spec.action_sizes]
        world.step(0, zero)
        idle = control[0].copy()
        zero[agent][0] = np.arange(1, len(motors) + 1) / 16
        world.step(0, zero)
        moved = {model.actuator(int(n)).name: control[0, n] for n in np.flatnonzero(control[0] != idle)}
        moved.pop("bomb", None)
        assert moved == {motor: (n + 1) / 16 for n, motor in enumerate(motors)}


@pytest.mark.parametrize("task", PARTITIONS)
def test_an_agent_reads_its_own_joints_written_as_arange(task: str) -> None:
    """Write n / 64 into every coordinate n of position and speed, look, and read back each agent's entries by name."""
    world = world_of(task, 2)
    model = world.scene.model
    position, speed = world.batch.bind("qpos"), world.batch.bind("qvel")
    position[1] = np.arange(model.nq) / 64
    speed[1] = -np.arange(model.nv) / 64
    if model.joint(0).type[0] == mujoco.mjtJoint.mjJNT_FREE:
        position[1, 3:7] = [1, 0, 0, 0]
    world.episodes.truncated[:] = False
    sent = world._look(slice(0, 2))
    read = 0
    for agent, entries in enumerate(world.spec.block_entries):
        block = sent[1, world._places[agent]]
        for column, entry in enumerate(entries):
            for ending, values in (
                (" position (rad)", position), (" speed (rad/s)", speed), (" speed (m/s)", speed),
            ):  # fmt: skip
                if not entry.endswith(ending) or entry.startswith("tendon"):
                    continue
                name = entry.removesuffix(ending)
                if name.startswith("segment "):
                    segment, _, joint = name.removeprefix("segment ").partition(": ")
                    name = f"{joint}_{segment}"
                where = model.joint(name).qposadr[0] if values is position else model.joint(name).dofadr[0]
                assert block[column] == np.float32(values[1, where]), entry
                read += 1
    # A robot of the formation is not told where it is in the world.
    each = 1 if task.startswith("formation") else 2
    assert read == each * sum(world.spec.action_sizes), "every agent reads each of its own joints once"


# ---- rewards, costs, flags ----


@pytest.mark.parametrize("physics", ["fast", "parity"])
@pytest.mark.parametrize("task", PARTITIONS)
def test_local_rewards_sum_to_the_team_reward(task: str, physics: str) -> None:
    local, team = (world_of(task, 3, reward=mode, physics=physics) for mode in ("local", "team"))
    for now in actions_of(local, 12, 3):
        local.step(0, now)
        team.step(0, now)
        np.testing.assert_allclose(local.rewards.sum(axis=1, keepdims=True) - team.rewards, 0.0, atol=1e-9)
        assert (team.rewards == team.rewards[:, :1]).all()
    assert np.abs(local.rewards).max() > 0.0


@pytest.mark.parametrize(
    ("task", "mode"),
    [
        (name, mode)
        for name in PARTITIONS
        for mode in FAMILIES[name.partition(":")[0]].costs
        if describe(name, cost=mode).shares_cost
    ],
)
def test_a_cost_that_is_not_local_is_the_same_for_everybody(task: str, mode: str) -> None:
    world = world_of(task, 8, cost=mode)
    for now in actions_of(world, 25, 8, spread=1.0):
        world.step(0, now)
        assert (world.costs == world.costs[:, :1]).all()
        assert np.isin(world.costs, [0.0, 1.0]).all()


@pytest.mark.parametrize("task", PARTITIONS)
def test_the_first_observation_has_no_reward_cost_or_flag_and_nobody_touches_a_wall(task: str) -> None:
    world = world_of(task, 8)
    for block in seen(world):
        assert not block[:, -4:].any()
        assert (block[:, -5] == 1.0).all()
    model = world.scene.model
    walls = {geom for geom in range(model.ngeom) if model.geom(geom).name.startswith(("wall", "bomb"))}
    for copy in range(8):
        data = world.batch.get_data(copy)
        mujoco.mj_forward(model, data)
        assert not walls & set(np.asarray(data.contact.geom).reshape(-1).tolist())


# ---- bits ----


@pytest.mark.parametrize("physics", ["fast", "parity"])
@pytest.mark.parametrize("task", ONE_OF_EACH)
def test_groups_and_threads_change_no_bit(task: str, physics: str) -> None:
    def story(groups: int, threads: int) -> tuple[bytes, bytes]:
        cost = "local" if "local" in FAMILIES[task.partition(":")[0]].costs else None
        world = world_of(task, 4, groups, threads=threads, physics=physics, cost=cost, horizon=9)
        told = b"".join(bits(now) for now in run(world, actions_of(world, 14, 4, spread=1.0), groups))
        return told, world.batch.state.tobytes()

    assert story(1, 1) == story(2, 1) == story(4, 2)


SOLVERS = [
    (solver, cone, iterations)
    for solver in (mujoco.mjtSolver.mjSOL_NEWTON, mujoco.mjtSolver.mjSOL_CG, mujoco.mjtSolver.mjSOL_PGS)
    for cone in (mujoco.mjtCone.mjCONE_PYRAMIDAL, mujoco.mjtCone.mjCONE_ELLIPTIC)
    for iterations in (100, 4)
]


def twin(task: str, solver: tuple[Any, Any, int] | None = None, **options: Any) -> World:
    world = world_of(task, 2, horizon=10_000, **options)
    if solver is not None:
        option = world.scene.model.opt
        option.solver, option.cone, option.iterations = solver
        world = _again(world)
    return world


def _again(world: World) -> World:
    """The same world on the model as it is now: a batch holds a copy of the one that it was made with."""
    model = world.scene.model
    world.batch = type(world.batch)(model, nsim=2, nthread=1, persistent=world.scene.persistent)
    world.scene.bind(world.batch)
    world._ctrl = world.batch.bind("ctrl")
    world._at_rest = world.batch.state[0].copy()
    world.episodes.number[:] = -1
    world._reset(np.arange(2))
    world._marks = world.scene.marks(slice(0, 2))
    world._sent = [world._look(slice(0, 2))]
    return world


@pytest.mark.parametrize("task", ONE_OF_EACH)
@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: f"{s[0].name[6:]}-{s[1].name[7:]}-{s[2]}")
def test_many_snapshots_restore_to_the_bit_under_every_solver(task: str, solver: tuple[Any, Any, int]) -> None:
    one, two = twin(task, solver), twin(task, solver)
    actions = actions_of(one, 60, 2)
    for at, now in enumerate(actions):
        if at % 3 == 0:
            SavedWorld(two).load(SavedWorld(one).save())
        one.step(0, now)
        two.step(0, now)
        assert bits(seen(one)) == bits(seen(two)), at
        assert one.batch.state.tobytes() == two.batch.state.tobytes(), at


@pytest.mark.parametrize("task", ONE_OF_EACH)
def test_a_snapshot_in_published_physics_restores_to_the_bit(task: str) -> None:
    one, two = twin(task, physics="parity"), twin(task, physics="parity")
    for at, now in enumerate(actions_of(one, 40, 2)):
        if at % 10 == 0:
            SavedWorld(two).load(SavedWorld(one).save())
        one.step(0, now)
        two.step(0, now)
        assert bits(seen(one)) == bits(seen(two)), at


ELSEWHERE = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from test_worlds import actions_of, bits, run, world_of
world = world_of(sys.argv[2], 3, threads=2)
told = b"".join(bits(now) for now in run(world, actions_of(world, 20, 3)))
print(hashlib.sha256(told).hexdigest())
"""


@pytest.mark.parametrize("task", ONE_OF_EACH)
def test_the_same_seed_gives_the_same_trajectory_in_another_process(task: str) -> None:
    import hashlib
    from pathlib import Path

    world = world_of(task, 3)
    told = b"".join(bits(now) for now in run(world, actions_of(world, 20, 3)))
    command = [sys.executable, "-c", ELSEWHERE, str(Path(__file__).parent), task]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert there == hashlib.sha256(told).hexdigest()
    other = world_of(task, 3, seed=1)
    assert bits(seen(other)) != bits(seen(world_of(task, 3)))
