"""The rigid chain of ant segments, built in memory with MjSpec: no XML file, so no two processes race for one.

Source: the ManyAgent Ant of multiagent_mujoco and Safe MAMuJoCo (masses, ranges and gears are checked in the tests).
What differs: ``implicitfast`` integration (3.4 times as fast as RK4 at the same step), walls that are drawn and do not
collide (the original ones overlap a long body at reset), an accelerometer on the head, without which MuJoCo would not
compute contact forces, and no automatic reset, which would hide a state that is not finite.
"""

from __future__ import annotations

import mujoco
import numpy as np

from scalmarl.sim_server.corridor import FOLDS, HALF_WIDTH, centre_line
from scalmarl.sim_server.tasks import JOINTS

TIMESTEP = 0.005
SUBSTEPS = 4
START_HEIGHT = 0.75
GEAR = 150.0
LEG_RADIUS = 0.08
SPINE_RADIUS = 0.1
LEG_DENSITY = 5.0
SPINE_DENSITY = 100.0
BODIES = ("torso", "leg_1", "thigh_1", "foot_1", "leg_2", "thigh_2", "foot_2")
"""Of one segment, in the order of the compiled model."""
_DEGREES = np.pi / 180
_Vector = tuple[float, float, float]


def build_model(segments: int, scale: float = 1.0) -> mujoco.MjModel:
    """The compiled model of ``n = segments``: ``nq = 7 + 4n``, ``nv = 6 + 4n``, ``nu = 4n``, ``nbody = 1 + 7n``.

    Joints and actuators carry the same names, ``hip_1_S, ankle_1_S, hip_2_S, ankle_2_S`` for segment S, in segment
    order; so do bodies (``torso_S``, then the legs). ``scale`` stretches the drawn corridor (``corridor.scale_for``).
    """
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
    _set_defaults(spec)
    _add_floor_and_walls(spec, segments, scale)
    body = spec.worldbody.add_body(name="torso_0", pos=[0, 0, START_HEIGHT])
    body.add_freejoint(name="root")
    body.add_site(name="head")
    for segment in range(segments):
        if segment > 0:
            body = body.add_body(name=f"torso_{segment}", pos=[-1, 0, 0])
            body.add_geom(
                name=f"spine_{segment}", type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=[1, 0, 0, 0, 0, 0],
                size=[SPINE_RADIUS, 0, 0], density=SPINE_DENSITY,
            )  # fmt: skip
        _add_legs(body, segment)
    for segment in range(segments):
        for joint in JOINTS:
            actuator = spec.add_actuator(name=f"{joint}_{segment}", target=f"{joint}_{segment}")
            actuator.trntype = mujoco.mjtTrn.mjTRN_JOINT
            actuator.gear[0] = GEAR
            actuator.ctrllimited = True
            actuator.ctrlrange = [-1, 1]
    spec.add_sensor(
        name="accelerometer",
        type=mujoco.mjtSensor.mjSENS_ACCELEROMETER,
        objtype=mujoco.mjtObj.mjOBJ_SITE,
        objname="head",
    )
    return spec.compile()


def _set_defaults(spec: mujoco.MjSpec) -> None:
    joint, geom = spec.default.joint, spec.default.geom
    joint.armature = 1.0
    joint.damping = 1.0 if np.isscalar(joint.damping) else [1.0, *([0.0] * (len(joint.damping) - 1))]
    geom.condim = 3
    geom.conaffinity = 0
    geom.density = LEG_DENSITY
    geom.friction = [1.0, 0.5, 0.5]
    geom.margin = 0.01


def _add_floor_and_walls(spec: mujoco.MjSpec, segments: int, scale: float) -> None:
    world = spec.worldbody
    world.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[400 * scale, 400 * scale, 40], conaffinity=1,
        rgba=[0.8, 0.9, 0.8, 1],
    )  # fmt: skip
    ends = np.array([-2.0 * segments - 20.0, *(fold * scale for fold in FOLDS), (FOLDS[-1] + 40) * scale])
    heights = centre_line(ends, scale)
    for index in range(len(ends) - 1):
        x, y = (ends[index] + ends[index + 1]) / 2, (heights[index] + heights[index + 1]) / 2
        dx, dy = ends[index + 1] - ends[index], heights[index + 1] - heights[index]
        yaw = np.arctan2(dy, dx)
        for side in (-1, 1):
            world.add_geom(
                name=f"wall_{index}_{'right' if side < 0 else 'left'}", type=mujoco.mjtGeom.mjGEOM_BOX,
                size=[np.hypot(dx, dy) / 2, 0.01, 0.7], pos=[x, y + side * HALF_WIDTH * scale, 0.7],
                quat=[np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)], contype=0, conaffinity=0, rgba=[0.6, 0.6, 0.7, 0.4],
            )  # fmt: skip


def _add_legs(torso: mujoco.MjsBody, segment: int) -> None:
    head = segment == 0
    forward = 0.2 if head else -0.2
    for number, side in ((1, 1.0), (2, -1.0)):
        root = (0.2 if head else 0.0, 0.2 * side, 0.0)
        thigh = (forward, 0.2 * side, 0.0)
        # Feet point away from the body; the hinge lies across them, so that the knee bends down.
        axis = (-side, 1.0, 0.0) if head else (side, 1.0, 0.0)
        knee = (30 * _DEGREES, 70 * _DEGREES) if head else (-70 * _DEGREES, -30 * _DEGREES)
        _add_leg(torso, f"{number}_{segment}", root, thigh, axis, knee)


def _add_leg(
    torso: mujoco.MjsBody, name: str, root: _Vector, thigh: _Vector, axis: _Vector, knee: tuple[float, float]
) -> None:
    leg = torso.add_body(name=f"leg_{name}")
    _capsule(leg, root)
    hip = leg.add_body(name=f"thigh_{name}", pos=root)
    hip.add_joint(
        name=f"hip_{name}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1], limited=True,
        range=[-30 * _DEGREES, 30 * _DEGREES],
    )  # fmt: skip
    _capsule(hip, thigh)
    ankle = hip.add_body(name=f"foot_{name}", pos=thigh)
    ankle.add_joint(
        name=f"ankle_{name}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=list(axis), limited=True, range=list(knee)
    )
    _capsule(ankle, (2 * thigh[0], 2 * thigh[1], 0.0))


def _capsule(body: mujoco.MjsBody, end: _Vector) -> None:
    body.add_geom(
        name=f"{body.name}_geom", type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=[0, 0, 0, *end], size=[LEG_RADIUS, 0, 0]
    )
