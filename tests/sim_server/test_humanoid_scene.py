"""The humanoid: its graph beside the model's body tree, falls, costs, shares of contacts, and what it is told."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import mujoco
import networkx as nx
import numpy as np
import pytest

from scalmarl.sim_server.corridor import Corridor
from scalmarl.sim_server.humanoid_model import build_model
from scalmarl.sim_server.humanoid_task import HALF_WIDTH, JOINT_EDGES, JOINTS, LIMBS
from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World

ONE_EACH, HALVES = "safe-humanoid:17x1", "safe-humanoid:9|8"


def world_of(task: str, copies: int = 1, **options: Any) -> World:
    return World(describe(task, **options), copies=copies, groups=1, seed=0, threads=1, staggered=False)


def idle(world: World, steps: int = 1) -> None:
    for _ in range(steps):
        world.step(0, [np.zeros((len(world.costs), size), np.float32) for size in world.spec.action_sizes])


def test_joints_are_joined_when_they_act_on_the_same_body_of_the_model() -> None:
    model = build_model(Corridor(HALF_WIDTH))
    edges = set()
    for a, b in combinations(JOINTS, 2):
        one, other = (int(model.joint(joint).bodyid[0]) for joint in (a, b))
        bodies = [{body, int(model.body_parentid[body])} for body in (one, other)]
        if bodies[0] & bodies[1]:
            edges.add((a, b))
    assert {tuple(sorted(edge, key=JOINTS.index)) for edge in JOINT_EDGES} == edges
    graph = nx.Graph(JOINT_EDGES)
    hops = dict(nx.all_pairs_shortest_path_length(graph))
    assert hops["left_elbow"]["right_elbow"] == 3
    assert hops["left_knee"]["right_knee"] == 3
    assert hops["left_knee"]["left_elbow"] == 5
    assert max(max(row.values()) for row in hops.values()) == 5
    assert [model.joint(n).name for n in range(1, model.njnt)] == list(JOINTS)


def test_either_spelling_means_upper_and_lower_body() -> None:
    spec = describe("safe-humanoid:9-8")
    assert spec == describe(HALVES) == describe("safe-humanoid", 2)
    assert spec.action_sizes == (9, 8)
    assert all("hip" in joint or "knee" in joint for joint in spec.action_entries[1])
    assert spec.edges == ((0, 1),)
    assert "9-8" in spec.notes[-1]


@pytest.mark.parametrize(("height", "falls"), [(0.99, True), (1.01, False), (1.99, False), (2.01, True)])
@pytest.mark.parametrize("cost", ["team", "local", "legacy", "velocity"])
def test_edges_of_a_fall(height: float, falls: bool, cost: str) -> None:
    world = world_of(HALVES, 2, cost=cost)
    world.batch.bind("qpos")[1, 2] = height
    both = slice(0, 2)
    world.scene.refresh(both)
    outcome = world.scene.score(both, np.zeros((2, 2)), np.zeros((2, 2)))
    assert outcome.fallen is not None
    assert outcome.fallen.tolist() == [False, falls]
    assert (np.broadcast_to(outcome.costs, (2, 2)) == [[0.0], [falls and cost != "velocity"]]).all()
    np.testing.assert_allclose(outcome.rewards.sum(axis=1), [5.0, 0.0 if falls else 5.0], atol=0.01)


@pytest.mark.parametrize(("y", "team", "legacy"), [(0.0, 0, 0), (0.45, 0, 0), (0.55, 1, 1), (4.0, 1, 1), (4.2, 1, 0)])
def test_edges_of_the_torsos_cost(y: float, team: int, legacy: int) -> None:
    for mode, expected in (("team", team), ("legacy", legacy)):
        world = world_of(HALVES, cost=mode)
        world.batch.bind("qpos")[0, :2] = [0.0, y]
        idle(world)
        assert world.costs[0].tolist() == [expected] * 2, mode


def test_with_local_costs_the_limbs_on_the_walls_side_cost_first() -> None:
    """A man who stands 0.3 m to the left: his left arm is within reach of the wall, his legs are not."""
    world = world_of(ONE_EACH, cost="local")
    world.batch.bind("qpos")[0, :2] = [-3.0, 0.28]
    idle(world)
    costly = {own[0] for own, cost in zip(world.spec.action_entries, world.costs[0]) if cost}
    assert costly == {"left_shoulder1", "left_shoulder2", "left_elbow"}


def test_contacts_are_shared_and_cut_for_all_alike() -> None:
    """Each agent's part by hand; the parts sum to the published cost, cut at 10."""
    world = world_of(ONE_EACH, reward="local")
    model = world.scene.model
    bodies = [model.body(n).name for n in range(1, model.nbody)]
    draw, agents = np.random.default_rng(0), world.spec.agents
    for size in (30.0, 3000.0):
        forces = size * draw.normal(size=(len(bodies), 6))
        world.scene._forces = forces[None]
        costs = world.scene._contact_costs(slice(0, 1))[0]
        squares = dict(zip(bodies, 5e-7 * np.square(forces).sum(axis=1)))
        whole = sum(squares.values())
        assert (whole > 10) == (size > 100)
        assert costs.sum() == pytest.approx(min(whole, 10.0), abs=1e-9)
        cut = min(1.0, 10.0 / whole)
        for agent, (joint,) in enumerate(world.spec.action_entries):
            limb, joints = next((limb, joints) for limb, (_, joints) in LIMBS.items() if joint in joints)
            own = squares[limb] + (squares[limb.replace("shin", "foot")] if "shin" in limb else 0.0)
            assert costs[agent] == pytest.approx(cut * (own / len(joints) + squares["torso"] / agents), abs=1e-12)


def test_the_rewards_speed_is_that_of_the_centre_of_mass() -> None:
    world = world_of(HALVES)
    model = world.scene.model
    data = world.batch.get_data(0)
    mujoco.mj_forward(model, data)
    mark = world.scene.marks(slice(0, 1))[0]
    np.testing.assert_allclose(mark, data.subtree_com[model.body("torso").id][:2], atol=1e-12)


def test_what_is_told_is_mujocos_own() -> None:
    world = world_of(ONE_EACH)
    idle(world, 35)
    forces = world.batch.bind("cfrc_ext")[0].copy()
    model, data = world.scene.model, world.batch.get_data(0)
    mujoco.mj_forward(model, data)
    x, y, z = data.body("torso").xpos
    rotation = data.body("torso").xmat.reshape(3, 3)
    felt = 0.0
    for agent, (joint,) in enumerate(world.spec.action_entries):
        known = dict(zip(world.spec.block_entries[agent], world.observation(agent, 0)[0]))
        limb = model.body(int(model.joint(joint).bodyid[0])).name
        body = model.body(limb.replace("shin", "foot")).id
        force = np.linalg.norm(forces[body, 3:])
        wanted = {
            f"{joint} position (rad)": data.joint(joint).qpos[0], f"{joint} speed (rad/s)": data.joint(joint).qvel[0],
            f"contact force on the {limb} (100 N), clipped at 10": min(force / 100, 10), "height z (m)": z,
            "up vector x, world frame": rotation[0, 2], "linear velocity z (m/s), world frame": data.qvel[2],
            "progress x / 5 (m)": x / 5, "presence": 1.0,
            "offset from the corridor's centre line (m)": y - Corridor(HALF_WIDTH).centre_line(np.array([x]))[0],
        }  # fmt: skip
        felt = max(felt, force)
        assert set(wanted) <= set(known)
        for entry, value in wanted.items():
            assert known[entry] == pytest.approx(value, abs=1e-5), entry
    assert felt > 10.0, "it stands on something"
