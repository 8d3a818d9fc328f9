"""What the models of the ant tasks share: defaults, floor and walls, legs.

Walls are drawn and do not collide: the original ones stand loose on the floor, are knocked away by any touch, and
overlap a long body at reset. There is an accelerometer, without which a batch would not have contact forces.
"""

from __future__ import annotations

import mujoco
import numpy as np

from scalmarl.sim_server.corridor import Corridor
from scalmarl.sim_server.model_parts import empty_world, set_coefficient

START_HEIGHT = 0.75
GEAR = 150.0
LEG_RADIUS = 0.08
LEG_DENSITY = 5.0
DEGREES = np.pi / 180
INTEGRATORS = {
    "fast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
    "parity": mujoco.mjtIntegrator.mjINT_RK4,
}
Vector = tuple[float, float, float]


def new_spec(timestep: float, physics: str) -> mujoco.MjSpec:
    """An empty world with the ants' defaults."""
    spec = empty_world(timestep, INTEGRATORS[physics])
    joint, geom = spec.default.joint, spec.default.geom
    joint.armature = 1.0
    set_coefficient(joint, "damping", 1.0)
    geom.condim = 3
    geom.conaffinity = 0
    geom.density = LEG_DENSITY
    geom.friction = [1.0, 0.5, 0.5]
    geom.margin = 0.01
    return spec


def add_floor_and_walls(spec: mujoco.MjSpec, corridor: Corridor, behind: float) -> None:
    """The floor, and walls along the corridor from ``behind`` metres before its lead-in to 40 m after its last fold."""
    world, scale = spec.worldbody, corridor.scale
    world.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[400 * scale, 400 * scale, 40], conaffinity=1,
        rgba=[0.8, 0.9, 0.8, 1],
    )  # fmt: skip
    turns = corridor.corners[0]
    ends = np.array([-behind, *(turns[turns >= 0.0]), turns[-1] + 40 * scale])
    heights = corridor.centre_line(ends)
    for index in range(len(ends) - 1):
        x, y = (ends[index] + ends[index + 1]) / 2, (heights[index] + heights[index + 1]) / 2
        dx, dy = ends[index + 1] - ends[index], heights[index + 1] - heights[index]
        yaw = np.arctan2(dy, dx)
        for side in (-1, 1):
            world.add_geom(
                name=f"wall_{index}_{'right' if side < 0 else 'left'}", type=mujoco.mjtGeom.mjGEOM_BOX,
                size=[np.hypot(dx, dy) / 2, 0.01, 0.7], pos=[x, y + side * corridor.half_width * scale, 0.7],
                quat=[np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)], contype=0, conaffinity=0, rgba=[0.6, 0.6, 0.7, 0.4],
            )  # fmt: skip


def add_root(spec: mujoco.MjSpec, name: str) -> mujoco.MjsBody:
    """The free body that everything hangs on, with the accelerometer."""
    body = spec.worldbody.add_body(name=name, pos=[0, 0, START_HEIGHT])
    body.add_freejoint(name="root")
    body.add_site(name="head")
    spec.add_sensor(
        name="accelerometer",
        type=mujoco.mjtSensor.mjSENS_ACCELEROMETER,
        objtype=mujoco.mjtObj.mjOBJ_SITE,
        objname="head",
    )
    return body


def add_leg(
    torso: mujoco.MjsBody, name: str, root: Vector, thigh: Vector, axis: Vector, knee: tuple[float, float]
) -> None:
    """Bodies ``leg_NAME``, ``thigh_NAME``, ``foot_NAME`` with joints ``hip_NAME`` and ``ankle_NAME`` (``knee``: the
    ankle's range, degrees). A strut to ``root``, a thigh along ``thigh``, a foot twice as long."""
    leg = torso.add_body(name=f"leg_{name}")
    _capsule(leg, root)
    hip = leg.add_body(name=f"thigh_{name}", pos=root)
    hip.add_joint(
        name=f"hip_{name}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1], limited=True,
        range=[-30 * DEGREES, 30 * DEGREES],
    )  # fmt: skip
    _capsule(hip, thigh)
    ankle = hip.add_body(name=f"foot_{name}", pos=thigh)
    ankle.add_joint(
        name=f"ankle_{name}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=list(axis), limited=True,
        range=[knee[0] * DEGREES, knee[1] * DEGREES],
    )  # fmt: skip
    _capsule(ankle, (2 * thigh[0], 2 * thigh[1], 0.0))


def _capsule(body: mujoco.MjsBody, end: Vector) -> None:
    body.add_geom(
        name=f"{body.name}_geom", type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=[0, 0, 0, *end], size=[LEG_RADIUS, 0, 0]
    )
