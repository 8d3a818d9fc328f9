"""Balls that hover in a corridor with narrowings, built in memory with MjSpec.

Each robot is a tree of its own with two degrees of freedom, so the mass matrix is diagonal and the cost of a step is
linear in their number. They feel one another by contact, and by tethers where there are any.
"""

from __future__ import annotations

import math

import mujoco

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.formation_sensing import BAY, BUTTRESS, RADIUS, half_width
from scalmarl.sim_server.formation_shape import FRONT, LANE, abreast, places
from scalmarl.sim_server.formation_task import COASTING_S
from scalmarl.sim_server.model_parts import add_motor, empty_world, set_coefficient

TIMESTEP = 0.005
"""s; a tether of 100,000 N/m on every side of a robot still is stable."""
SUBSTEPS = 10
MASS = 10.0
"""kg; all of it in the middle of the ball, which does not turn."""
DRAG = MASS / COASTING_S
"""N s/m."""
THRUST = 30.0
"""N along each axis; with the drag, 1.5 m/s at most."""
TOP_SPEED = THRUST / DRAG
HEIGHT = 0.3
FRICTION = (0.5, 0.005, 0.0001)
INTEGRATORS = {
    "fast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
    "parity": mujoco.mjtIntegrator.mjINT_EULER,
}
THICKNESS = 0.2
"""Of a wall, as drawn and as felt (m)."""


def build_model(spec: TaskSpec) -> mujoco.MjModel:
    """The compiled model of N robots: ``nq = nv = nu = 2 N``. Robot i has joints ``x_i, y_i``, zero in its place in the
    formation, motors of these names, and a geom ``robot_i``; walls are named ``wall_*``."""
    model = empty_world(TIMESTEP, INTEGRATORS[spec.physics])
    # The solver decides for all bodies at once whether it starts from the last solution: a robot would feel in its last
    # digits what one without any tie to it does.
    model.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_WARMSTART)
    home = places(spec.partition, spec.agents)
    for agent, (x, y) in enumerate(home):
        _add_robot(model, agent, x, y)
    coupling = float(spec.parameters["coupling"])
    for one, other in spec.edges if coupling else ():
        _add_tether(model, one, other, math.dist(home[one], home[other]), coupling)
    # As far as anybody may come in an episode, either way.
    reach = TOP_SPEED * spec.horizon * spec.control_dt + 2 * BAY
    half = half_width(abreast(spec.partition, spec.agents), LANE)
    _add_walls(model, half, min(x for x, _ in home) - reach, FRONT + reach)
    return model.compile()


def _add_robot(model: mujoco.MjSpec, agent: int, x: float, y: float) -> None:
    body = model.worldbody.add_body(name=f"robot_{agent}", pos=[x, y, HEIGHT])
    for name, axis in (("x", [1, 0, 0]), ("y", [0, 1, 0])):
        joint = body.add_joint(name=f"{name}_{agent}", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis)
        set_coefficient(joint, "damping", DRAG)
        add_motor(model, f"{name}_{agent}", THRUST)
    body.add_geom(
        name=f"robot_{agent}", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[RADIUS, 0, 0], mass=MASS, friction=FRICTION
    )
    body.add_site(name=f"robot_{agent}", size=[0.05, 0.05, 0.05], group=3)


def _add_tether(model: mujoco.MjSpec, one: int, other: int, rest: float, stiffness: float) -> None:
    """A rope: slack up to its rest length, a spring beyond."""
    tether = model.add_tendon(name=f"tether_{one}_{other}", width=0.02, springlength=[0.0, rest])
    set_coefficient(tether, "stiffness", stiffness)
    for agent in (one, other):
        tether.wrap_site(f"robot_{agent}")


def _add_walls(model: mujoco.MjSpec, half: float, behind: float, ahead: float) -> None:
    """Two straight walls, their buttresses, and a floor that is drawn only. What does not move collides with robots,
    not with one another."""
    world, middle, long = model.worldbody, (behind + ahead) / 2, (ahead - behind) / 2
    world.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, pos=[middle, 0, 0], size=[long + 20, half + 20, 40],
        contype=0, conaffinity=0, rgba=[0.8, 0.9, 0.8, 1],
    )  # fmt: skip
    paint = {"conaffinity": 0, "friction": FRICTION, "rgba": [0.6, 0.6, 0.7, 0.5]}
    for side, name in ((1, "left"), (-1, "right")):
        world.add_geom(
            name=f"wall_{name}", type=mujoco.mjtGeom.mjGEOM_BOX, pos=[middle, side * (half + THICKNESS / 2), HEIGHT],
            size=[long, THICKNESS / 2, HEIGHT], **paint,
        )  # fmt: skip
        for number in range(math.ceil(behind / BAY), math.floor(ahead / BAY) + 1):
            world.add_geom(
                name=f"wall_{name}_{number}", type=mujoco.mjtGeom.mjGEOM_CYLINDER,
                pos=[number * BAY, side * half, HEIGHT], size=[BUTTRESS, HEIGHT, 0], **paint,
            )  # fmt: skip
