"""Formation: the model, what is told against MuJoCo's own fields, and edges of the cost."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from scalmarl.sim_server.formation_model import DRAG, MASS, THRUST, build_model
from scalmarl.sim_server.formation_sensing import MARGIN, RADIUS, SIGHT
from scalmarl.sim_server.formation_shape import places
from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World

Array = NDArray[Any]
SHAPES = ("path", "ring", "grid")


def world_of(partition: str, agents: int | None = None, copies: int = 1, **options: Any) -> World:
    spec = describe(f"formation:{partition}", agents, **options)
    return World(spec, copies=copies, groups=1, seed=0, threads=1, staggered=False)


def idle(world: World) -> None:
    world.step(0, [np.zeros((len(world.rewards), 2), np.float32) for _ in range(world.spec.agents)])


def put(world: World, agent: int, x: float, y: float, copy: int = 0) -> None:
    """At a place in the corridor, at rest."""
    home = places(world.spec.partition, world.spec.agents)[agent]
    world.batch.bind("qpos")[copy, 2 * agent : 2 * agent + 2] = x - home[0], y - home[1]
    world.batch.bind("qvel")[copy, 2 * agent : 2 * agent + 2] = 0.0


def told(world: World, agent: int, copy: int = 0) -> dict[str, float]:
    return dict(zip(world.spec.block_entries[agent], world.observation(agent, 0)[copy]))


# ---- the model ----


@pytest.mark.parametrize(
    ("partition", "agents"), [("path", 5), ("ring", 6), ("grid", 10), ("3x3", None), ("path", 256)]
)
def test_sizes_masses_and_places(partition: str, agents: int | None) -> None:
    spec = describe(f"formation:{partition}", agents)
    model = build_model(spec)
    assert model.nq == model.nv == model.nu == 2 * spec.agents
    assert model.nM == 3 * spec.agents, "two axes each, and nobody's motion has a share in another's"
    assert model.ntendon == 0
    for agent, place in enumerate(places(partition, spec.agents)):
        body = model.body(f"robot_{agent}")
        assert tuple(body.pos[:2]) == place
        assert body.mass[0] == MASS
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    other = build_model(describe(f"formation:{partition}", agents, physics="parity"))
    assert other.opt.integrator == mujoco.mjtIntegrator.mjINT_EULER


def test_a_robot_alone_follows_its_equation_of_motion() -> None:
    """10 v' + 20 v = 30 u, so v = 1.5 u (1 - exp(-2 t))."""
    world = world_of("path", 2)
    put(world, 0, 4.0, 0.0)
    put(world, 1, -4.0, 0.0)
    for step in range(1, 31):
        world.step(0, [np.array([[1.0, 0.0]], np.float32), np.array([[-2.0, 0.0]], np.float32)])
        speed = THRUST / DRAG * (1 - np.exp(-DRAG / MASS * 0.05 * step))
        # One physics step of 5 ms late, as a first-order method is.
        assert world.batch.bind("qvel")[0].tolist() == pytest.approx([speed, 0.0, -speed, 0.0], abs=0.006)


@pytest.mark.parametrize(
    ("place", "wall"), [((0.0, 0.8), "wall_left_0"), ((8.0, -0.8), "wall_right_1"), ((4.0, 1.4), "wall_left")]
)
def test_where_a_gap_to_a_wall_is_negative_mujoco_has_a_contact_of_that_depth(
    place: tuple[float, float], wall: str
) -> None:
    world = world_of("path", 2)
    put(world, 0, *place)
    world.scene.refresh(slice(0, 1))
    gap = world.scene._walls[:, 0, 0].min()
    assert gap < 0
    data = world.batch.get_data(0)
    mujoco.mj_forward(world.scene.model, data)
    depths = {
        world.scene.model.geom(int(geom)).name: distance
        for pair, distance in zip(data.contact.geom, data.contact.dist)
        for geom in pair
    }
    assert depths.keys() == {"robot_0", wall}
    assert depths[wall] == pytest.approx(gap, abs=1e-9)


@pytest.mark.parametrize("way", [-1.0, 1.0])
def test_the_corridor_is_longer_than_anybody_can_go(way: float) -> None:
    world = world_of("path", 2, horizon=80)
    for _ in range(80):
        world.step(0, [np.array([[way, 0.0]], np.float32)] * 2)
    ends = [place[0] + off for place, off in zip(places("path", 2), world.batch.bind("qpos")[0, 0::2])]
    wall = world.scene.model.geom("wall_left")
    assert wall.pos[0] - wall.size[0] + 8 < min(ends)
    assert max(ends) < wall.pos[0] + wall.size[0] - 8


def test_two_robots_that_meet_push_each_other_and_walls_hold() -> None:
    world = world_of("path", 2, horizon=10_000)
    put(world, 0, 4.0, 0.01)
    put(world, 1, 3.5, 0.0)
    for _ in range(200):
        world.step(0, [np.array([[-1.0, 0.0]], np.float32), np.array([[1.0, 0.0]], np.float32)])
        assert world.scene._gap.min() > -0.01
    for _ in range(200):
        world.step(0, [np.array([[1.0, 1.0]], np.float32)] * 2)
        assert min(world.scene._walls.min(), world.scene._gap.min()) > -0.02


# ---- what is told ----


@pytest.mark.parametrize(("partition", "agents"), [("path", 4), ("ring", 5), ("grid", 6)])
def test_features_are_those_of_mujocos_own_fields(partition: str, agents: int) -> None:
    world = world_of(partition, agents)
    draw = np.random.default_rng(0)
    for _ in range(60):
        world.step(0, [draw.normal(size=(1, 2)).astype("f4") for _ in range(agents)])
    model, data = world.scene.model, world.batch.get_data(0)
    mujoco.mj_forward(model, data)
    home = [np.array(place) for place in places(partition, agents)]
    place = [data.body(f"robot_{agent}").xpos[:2] for agent in range(agents)]
    speed = [np.array([data.joint(f"{axis}_{agent}").qvel[0] for axis in "xy"]) for agent in range(agents)]
    seen = 0
    for agent in range(agents):
        balls = [agent, *(other for other in range(agents) if other != agent)]
        gap, toward = min(
            (np.linalg.norm(place[other] - place[agent]) - 0.4, tuple(place[other] - place[agent]))
            for other in balls[1:]
        )
        seen += gap < SIGHT
        gap = min(gap, SIGHT)
        close = np.array(toward) / np.linalg.norm(toward) * (1 - gap / SIGHT)
        wanted = {
            f"x_{agent} speed (m/s)": speed[agent][0],
            f"y_{agent} speed (m/s)": speed[agent][1],
            f"robot {agent}: cosine of its place between narrowings, 2 pi x / 8": np.cos(
                2 * np.pi * place[agent][0] / 8
            ),
            f"robot {agent}: sine of its place between narrowings, 2 pi x / 8": np.sin(2 * np.pi * place[agent][0] / 8),
            f"robot {agent}: nearest robot within 1.5 m: ahead, 1 at no gap, 0 at 1.5 m": close[0],
            f"robot {agent}: nearest robot within 1.5 m: to the left, 1 at no gap, 0 at 1.5 m": close[1],
            f"robot {agent}: tanh(4 (gap to the nearest robot - 0.25))": np.tanh(4 * (gap - MARGIN)),
            "presence": 1.0,
        }
        for side in ("left", "right"):
            walls = [geom for geom in range(model.ngeom) if model.geom(geom).name.startswith(f"wall_{side}")]
            ball = model.geom(f"robot_{agent}").id
            room = min(mujoco.mj_geomDistance(model, data, ball, wall, 100.0, None) for wall in walls)
            wanted[f"robot {agent}: gap to the {side} wall, at most 1.5 (m)"] = min(room, SIGHT)
            wanted[f"robot {agent}: tanh(4 (gap to the {side} wall - 0.25))"] = np.tanh(4 * (room - MARGIN))
        for pair in world.spec.edges:
            if agent in pair:
                other = sum(pair) - agent
                off = place[other] - place[agent] - (home[other] - home[agent])
                closing = speed[other] - speed[agent]
                for axis in range(2):
                    wanted[f"robot {other} from robot {agent}: off its place, {'xy'[axis]} (m)"] = off[axis]
                    wanted[f"robot {other} from robot {agent}: velocity {'xy'[axis]} (m/s)"] = closing[axis]
        known = told(world, agent)
        assert known.keys() == wanted.keys()
        for entry, value in wanted.items():
            assert known[entry] == pytest.approx(value, abs=5e-6), entry
    assert seen or partition == "path"


# ---- reward and cost ----


def test_rewards_are_speed_less_disorder_less_effort() -> None:
    world = world_of("ring", 5)
    position = world.batch.bind("qpos")
    draw = np.random.default_rng(0)
    for _ in range(10):
        before = position[0].copy()
        actions = [draw.normal(size=(1, 2)).astype("f4") for _ in range(5)]
        world.step(0, actions)
        for agent, action in enumerate(actions):
            own = position[0, 2 * agent : 2 * agent + 2]
            squares = [
                float(np.square(position[0, 2 * other : 2 * other + 2] - own).sum())
                for other in ((agent - 1) % 5, (agent + 1) % 5)
            ]
            disorder = np.mean([square / (1 + square) for square in squares])
            speed = (own[0] - before[2 * agent]) / 0.05
            effort = float(np.square(action.astype(np.float64)).sum())
            assert world.rewards[0, agent] == pytest.approx(speed - disorder - 0.1 * effort, abs=1e-12)


@pytest.mark.parametrize("beyond", [1e-6, -1e-6])
@pytest.mark.parametrize("what", ["robot", "wall", "narrowing"])
def test_edges_of_the_cost(what: str, beyond: float) -> None:
    """Just outside and just inside of 0.25 m: to another robot, to a straight wall, to a buttress."""
    world = world_of("path", 3, cost="local")
    put(world, 0, 4.0, 0.0)
    put(world, 1, 12.0, 0.0)
    put(world, 2, -12.0, 0.0)
    if what == "robot":
        put(world, 1, 4.0 + 2 * RADIUS + MARGIN + beyond, 0.0)
    elif what == "wall":
        put(world, 0, 4.0, 1.5 - RADIUS - MARGIN - beyond)
    else:
        put(world, 0, 0.0, 0.7 - RADIUS - MARGIN - beyond)
    scene = world.scene
    scene.refresh(slice(0, 1))
    costs = scene.score(slice(0, 1), np.zeros((1, 3)), np.zeros((1, 3))).costs[0]
    near = float(beyond < 0)
    assert costs.tolist() == [near, near if what == "robot" else 0.0, 0.0]


def test_a_team_cost_is_anybodys() -> None:
    world = world_of("path", 3, cost="team")
    put(world, 2, 0.0, 0.4)
    idle(world)
    assert world.costs[0].tolist() == [1.0] * 3


@pytest.mark.parametrize("agents", [2, 3, 8, 31, 256])
@pytest.mark.parametrize("partition", SHAPES)
def test_standing_still_costs_nothing_at_any_number(partition: str, agents: int) -> None:
    """All of the drift is over within 40 steps, four times what it takes a robot to stop."""
    if partition == "ring" and agents < 3:
        return
    world = world_of(partition, agents, copies=4)
    for _ in range(40):
        idle(world)
        assert not world.costs.any()
    assert np.abs(world.batch.bind("qvel")).max() < 0.01
