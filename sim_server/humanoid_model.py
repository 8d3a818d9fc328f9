"""The humanoid in its corridor, built in memory with MjSpec.

Source: Gymnasium's humanoid, the robot of Safe MAMuJoCo's Humanoid (compared with it in the tests). Its motors take
-0.4 to 0.4; ours take -1 to 1, as all motors here and as the published suite's agents act, and turn as strongly. Its
two tendons, which have neither stiffness nor limits, are left out.
"""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np

from scalmarl.sim_server.corridor import Corridor
from scalmarl.sim_server.humanoid_task import JOINTS
from scalmarl.sim_server.model_parts import (
    INTEGRATORS,
    add_floor,
    add_free_root,
    add_motor,
    add_walls,
    empty_world,
    set_coefficient,
)

TIMESTEP = 0.003
SUBSTEPS = 5
START_HEIGHT = 1.4
PUBLISHED_RANGE = 0.4
"""The largest control of the source's motors."""
DEGREES = np.pi / 180
Vector = tuple[float, float, float]


class _Hinge(NamedTuple):
    """A joint of the right side or the middle: axis, range (degrees), armature, stiffness, damping, place, gear."""

    axis: Vector
    range: tuple[float, float]
    armature: float
    stiffness: float
    damping: float
    place: Vector
    gear: float


_HINGES = {
    "abdomen_z": _Hinge((0, 0, 1), (-45, 45), 0.02, 20, 5, (0, 0, 0.065), 100),
    "abdomen_y": _Hinge((0, 1, 0), (-75, 30), 0.02, 10, 5, (0, 0, 0.065), 100),
    "abdomen_x": _Hinge((1, 0, 0), (-35, 35), 0.02, 10, 5, (0, 0, 0.1), 100),
    "right_hip_x": _Hinge((1, 0, 0), (-25, 5), 0.01, 10, 5, (0, 0, 0), 100),
    "right_hip_z": _Hinge((0, 0, 1), (-60, 35), 0.01, 10, 5, (0, 0, 0), 100),
    "right_hip_y": _Hinge((0, 1, 0), (-110, 20), 0.008, 20, 5, (0, 0, 0), 300),
    "right_knee": _Hinge((0, -1, 0), (-160, -2), 0.006, 0, 1, (0, 0, 0.02), 200),
    "left_hip_x": _Hinge((-1, 0, 0), (-25, 5), 0.01, 10, 5, (0, 0, 0), 100),
    "left_hip_z": _Hinge((0, 0, -1), (-60, 35), 0.01, 10, 5, (0, 0, 0), 100),
    "left_hip_y": _Hinge((0, 1, 0), (-110, 20), 0.01, 20, 5, (0, 0, 0), 300),
    "left_knee": _Hinge((0, -1, 0), (-160, -2), 0.006, 1, 1, (0, 0, 0.02), 200),
    "right_shoulder1": _Hinge((2, 1, 1), (-85, 60), 0.0068, 1, 1, (0, 0, 0), 25),
    "right_shoulder2": _Hinge((0, -1, 1), (-85, 60), 0.0051, 1, 1, (0, 0, 0), 25),
    "right_elbow": _Hinge((0, -1, 1), (-90, 50), 0.0028, 0, 1, (0, 0, 0), 25),
    "left_shoulder1": _Hinge((2, -1, 1), (-60, 85), 0.0068, 1, 1, (0, 0, 0), 25),
    "left_shoulder2": _Hinge((0, 1, 1), (-60, 85), 0.0051, 1, 1, (0, 0, 0), 25),
    "left_elbow": _Hinge((0, -1, -1), (-90, 50), 0.0028, 0, 1, (0, 0, 0), 25),
}
"""The sides differ, as in the source: the left hip's armature, the left knee's stiffness."""
_TILT = (1.0, 0.0, -0.002, 0.0)
"""How waist and pelvis are turned."""


def build_model(corridor: Corridor, physics: str = "fast") -> mujoco.MjModel:
    """The compiled model: ``nq = 24``, ``nv = 23``, ``nu = 17``; joints and actuators ``humanoid_task.JOINTS``, in this
    order; bodies ``torso``, those of ``humanoid_task.LIMBS``, and ``right_foot`` and ``left_foot`` on the shins."""
    spec = empty_world(TIMESTEP, INTEGRATORS[physics])
    spec.option.solver = mujoco.mjtSolver.mjSOL_PGS
    spec.option.iterations = 50
    joint, geom = spec.default.joint, spec.default.geom
    joint.limited = True
    geom.condim = 1
    geom.margin = 0.001
    add_floor(spec, 400.0, condim=3, friction=[1, 0.1, 0.1])
    add_walls(spec, corridor, behind=20.0)
    torso = add_free_root(spec, "torso", START_HEIGHT)
    _add_capsule(torso, "torso", (0, -0.07, 0), (0, 0.07, 0), 0.07)
    _add_ball(torso, "head", (0, 0, 0.19), 0.09)
    _add_capsule(torso, "upper_waist", (-0.01, -0.06, -0.12), (-0.01, 0.06, -0.12), 0.06)
    pelvis = _add_middle(torso)
    for side, sign in (("right", -1.0), ("left", 1.0)):
        _add_leg(pelvis, side, sign)
    for side, sign in (("right", -1.0), ("left", 1.0)):
        _add_arm(torso, side, sign)
    for name in JOINTS:
        add_motor(spec, name, PUBLISHED_RANGE * _HINGES[name].gear)
    return spec.compile()


def _add_middle(torso: mujoco.MjsBody) -> mujoco.MjsBody:
    """Waist and pelvis; returns the latter."""
    waist = torso.add_body(name="lwaist", pos=[-0.01, 0, -0.26], quat=_TILT)
    _add_hinges(waist, "abdomen_z", "abdomen_y")
    _add_capsule(waist, "lwaist", (0, -0.06, 0), (0, 0.06, 0), 0.06)
    pelvis = waist.add_body(name="pelvis", pos=[0, 0, -0.165], quat=_TILT)
    _add_hinges(pelvis, "abdomen_x")
    _add_capsule(pelvis, "pelvis", (-0.02, -0.07, 0), (-0.02, 0.07, 0), 0.09)
    return pelvis


def _add_leg(pelvis: mujoco.MjsBody, side: str, sign: float) -> None:
    inward = -0.01 * sign
    thigh = pelvis.add_body(name=f"{side}_thigh", pos=[0, 0.1 * sign, -0.04])
    _add_hinges(thigh, f"{side}_hip_x", f"{side}_hip_z", f"{side}_hip_y")
    _add_capsule(thigh, thigh.name, (0, 0, 0), (0, inward, -0.34), 0.06)
    shin = thigh.add_body(name=f"{side}_shin", pos=[0, inward, -0.403])
    _add_hinges(shin, f"{side}_knee")
    _add_capsule(shin, shin.name, (0, 0, 0), (0, 0, -0.3), 0.049)
    foot = shin.add_body(name=f"{side}_foot", pos=[0, 0, -0.45])
    _add_ball(foot, foot.name, (0, 0, 0.1), 0.075)


def _add_arm(torso: mujoco.MjsBody, side: str, sign: float) -> None:
    upper = torso.add_body(name=f"{side}_upper_arm", pos=[0, 0.17 * sign, 0.06])
    _add_hinges(upper, f"{side}_shoulder1", f"{side}_shoulder2")
    _add_capsule(upper, upper.name, (0, 0, 0), (0.16, 0.16 * sign, -0.16), 0.04)
    lower = upper.add_body(name=f"{side}_lower_arm", pos=[0.18, 0.18 * sign, -0.18])
    _add_hinges(lower, f"{side}_elbow")
    _add_capsule(lower, lower.name, (0.01, -0.01 * sign, 0.01), (0.17, -0.17 * sign, 0.17), 0.031)
    _add_ball(lower, f"{side}_hand", (0.18, -0.18 * sign, 0.18), 0.04)


def _add_hinges(body: mujoco.MjsBody, *names: str) -> None:
    for name in names:
        hinge = _HINGES[name]
        joint = body.add_joint(
            name=name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=list(hinge.axis), pos=hinge.place,
            range=[hinge.range[0] * DEGREES, hinge.range[1] * DEGREES], armature=hinge.armature,
        )  # fmt: skip
        set_coefficient(joint, "stiffness", hinge.stiffness)
        set_coefficient(joint, "damping", hinge.damping)


def _add_capsule(body: mujoco.MjsBody, name: str, begin: Vector, end: Vector, radius: float) -> None:
    body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=[*begin, *end], size=[radius, 0, 0])


def _add_ball(body: mujoco.MjsBody, name: str, centre: Vector, radius: float) -> None:
    body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_SPHERE, pos=centre, size=[radius, 0, 0])
