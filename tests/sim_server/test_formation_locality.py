"""Formation: who is out of range is not felt, to the bit; who is tied by a tether is."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from scalmarl.sim_server.formation_model import build_model
from scalmarl.sim_server.formation_shape import places
from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World

Array = NDArray[Any]


def world_of(partition: str, agents: int | None = None, copies: int = 1, **options: Any) -> World:
    spec = describe(f"formation:{partition}", agents, **options)
    return World(spec, copies=copies, groups=1, seed=0, threads=1, staggered=False)


def put(world: World, agent: int, x: float, y: float, copy: int = 0) -> None:
    """At a place in the corridor, at rest."""
    home = places(world.spec.partition, world.spec.agents)[agent]
    world.batch.bind("qpos")[copy, 2 * agent : 2 * agent + 2] = x - home[0], y - home[1]
    world.batch.bind("qvel")[copy, 2 * agent : 2 * agent + 2] = 0.0


# ---- who feels whom ----


def crowd(pushed: int | None, physics: str, steps: int = 400) -> tuple[Array, Array, Array]:
    """Six robots on a path. Robots 0 and 1 wrestle with each other and a buttress all the time; robot 5 is elsewhere,
    and does something else if it is ``pushed``. ``[T, ...]`` of blocks, rewards, costs of agent 0 and 1."""
    world = world_of("path", 6, horizon=10_000, physics=physics)
    for agent, place in enumerate([(0.0, 0.45), (0.05, -0.1), (-9.0, 0.0), (-15.0, 0.0), (-21.0, 0.0), (-33.0, 0.0)]):
        put(world, agent, *place)
    draw, wild = np.random.default_rng(1), np.random.default_rng(2)
    blocks, rewards, costs = [], [], []
    for step in range(steps):
        actions = [0.3 * draw.normal(size=(1, 2)) for _ in range(6)]
        actions[0] += [np.sin(step / 9), 1.0]
        actions[1] += [np.sin(step / 9), 1.0]
        if pushed is not None:
            actions[pushed] = actions[pushed] + [[0.0, 1.5]] + wild.normal(size=(1, 2))
        world.step(0, [action.astype("f4") for action in actions])
        blocks.append(np.concatenate([world.observation(agent, 0)[0, :-4] for agent in (0, 1)]))
        rewards.append(world.rewards[0, :2].copy())
        costs.append(world.costs[0, :2].copy())
    far = world.batch.bind("qpos")[0, 10:].copy()
    return np.array([*blocks]), np.array([*rewards, *costs]), far


@pytest.mark.parametrize("physics", ["fast", "parity"])
def test_who_is_out_of_range_changes_no_bit_of_block_reward_or_cost(physics: str) -> None:
    """Robot 5 is no neighbour of 0 and 1, out of their sight, and pushed against a wall; they push one another, so that
    the solver of contacts works for both parties at once."""
    (blocks, scores, calm), (other_blocks, other_scores, moved) = (crowd(who, physics) for who in (None, 5))
    assert np.abs(calm - moved).max() > 0.2
    assert scores[len(scores) // 2 :].any(axis=1).all(), "they are too near one another or the wall all the time"
    assert blocks.tobytes() == other_blocks.tobytes()
    assert scores.tobytes() == other_scores.tobytes()
    assert describe("formation").nonlocal_facts == ()


def test_who_is_a_neighbour_or_within_range_is_told_of() -> None:
    """The control of the test above: in its measure, a neighbour in the graph and a stranger in sight do show."""
    for place in ((-33.0, 0.0), (0.9, 0.2)):
        world = world_of("path", 6)
        for agent, x in enumerate((0.0, -6.0, -12.0, -18.0, -24.0)):
            put(world, agent, x, 0.0)
        before = []
        for shift in (0.0, 0.1):
            put(world, 5, place[0] + shift, place[1])
            before.append(world._look(slice(0, 1))[0, world._places[0]].tobytes())
        assert (before[0] != before[1]) == (place[0] > 0)
    world = world_of("path", 6)
    one = world._look(slice(0, 1))[0, world._places[0]].tobytes()
    put(world, 1, -33.0, 0.0)
    assert world._look(slice(0, 1))[0, world._places[0]].tobytes() != one


# ---- tethers ----


def test_a_tether_is_slack_up_to_its_length_and_a_spring_beyond() -> None:
    model = build_model(describe("formation:grid", 6, coupling=40.0))
    assert model.ntendon == len(describe("formation:grid", 6).edges)
    data = mujoco.MjData(model)
    data.joint("x_0").qpos[0] = 0.5
    mujoco.mj_forward(model, data)
    behind, beside = data.tendon("tether_0_2"), data.tendon("tether_0_1")
    assert behind.length[0] == pytest.approx(2.5)
    assert beside.length[0] == pytest.approx(np.hypot(0.5, 1.0))
    sideways = 40.0 * (np.hypot(0.5, 1.0) - 1.0) / np.hypot(0.5, 1.0)
    assert data.joint("x_0").qfrc_passive[0] == pytest.approx(-40.0 * 0.5 - 0.5 * sideways)
    data.joint("x_0").qpos[0] = 0.0
    data.joint("x_2").qpos[0] = 0.3
    mujoco.mj_forward(model, data)
    assert data.joint("x_0").qfrc_passive[0] == 0.0, "a rope does not push"


def test_influence_runs_along_tethers_falls_with_hops_and_grows_with_the_stiffness() -> None:
    reach = {}
    for coupling in (0.0, 1.0, 10.0):
        ends = []
        for pull in (0.0, 1.0):
            world = world_of("path", 5, coupling=coupling)
            world.batch.bind("qpos")[:] = world.batch.bind("qvel")[:] = 0.0
            for _ in range(60):
                actions = [np.zeros((1, 2), np.float32) for _ in range(5)]
                actions[0][0, 0] = pull
                world.step(0, actions)
            ends.append(world.batch.bind("qpos")[0, 0::2].copy())
        reach[coupling] = np.abs(ends[1] - ends[0])
    assert reach[0.0][0] > 1.0
    assert not reach[0.0][1:].any()
    for coupling in (1.0, 10.0):
        assert (reach[coupling][1:4] < 0.8 * reach[coupling][:3]).all()
        assert reach[coupling][2] > 1e-6
    assert (reach[10.0][1:3] > 2 * reach[1.0][1:3]).all()


@pytest.mark.parametrize("physics", ["fast", "parity"])
def test_the_stiffest_tether_stays_sound(physics: str) -> None:
    """On a grid, where a robot hangs on four; the bound of ``--coupling``, and wild actions."""
    world = world_of("grid", 16, coupling=1e4, physics=physics)
    draw = np.random.default_rng(0)
    for _ in range(200):
        world.step(0, [2 * draw.normal(size=(1, 2)).astype("f4") for _ in range(16)])
    assert np.abs(world.batch.bind("qvel")).max() < 5.0
