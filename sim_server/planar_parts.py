"""What the models of hopper and walker share: a planar root, and legs of thigh, shin and foot."""

from __future__ import annotations

import mujoco
import numpy as np

from scalmarl.sim_server.model_parts import add_motor

START_HEIGHT = 1.25
DEGREES = np.pi / 180
TIMESTEP = 0.002
SUBSTEPS = 4
TORSO_RADIUS = 0.05
SHIN_RADIUS = 0.04
FOOT_RADIUS = 0.06


def add_planar_torso(spec: mujoco.MjSpec, friction: float) -> mujoco.MjsBody:
    """Body ``torso`` with joints ``rootx``, ``rootz`` (whose position is the torso's height) and ``rooty``."""
    torso = spec.worldbody.add_body(name="torso", pos=[0, 0, START_HEIGHT])
    for name, kind, axis, height in (
        ("rootx", mujoco.mjtJoint.mjJNT_SLIDE, [1, 0, 0], -START_HEIGHT),
        ("rootz", mujoco.mjtJoint.mjJNT_SLIDE, [0, 0, 1], -START_HEIGHT),
        ("rooty", mujoco.mjtJoint.mjJNT_HINGE, [0, 1, 0], 0.0),
    ):
        joint = torso.add_joint(name=name, type=kind, axis=axis, pos=[0, 0, height], limited=False, armature=0.0)
        joint.damping = np.zeros_like(joint.damping)
        joint.ref = START_HEIGHT if name == "rootz" else 0.0
    _add_capsule(torso, "torso", (0, 0, 0), TORSO_RADIUS, 0.2, friction)
    return torso


def add_planar_leg(
    torso: mujoco.MjsBody, side: str, *, reach: float, foot_at: float, foot: float, friction: tuple[float, float]
) -> None:
    """Bodies ``thighSIDE``, ``legSIDE``, ``footSIDE`` with joints and geoms of these names.

    ``reach``: how far the foot's body stands before the shin; ``foot_at``: the middle of its capsule in that body;
    ``foot``: half of its length; ``friction`` of the limbs and of the foot.
    """
    thigh = torso.add_body(name=f"thigh{side}", pos=[0, 0, -0.2])
    _add_hinge(thigh, (0, 0, 0), (-150, 0))
    _add_capsule(thigh, thigh.name, (0, 0, -0.225), TORSO_RADIUS, 0.225, friction[0])
    shin = thigh.add_body(name=f"leg{side}", pos=[0, 0, -0.7])
    _add_hinge(shin, (0, 0, 0.25), (-150, 0))
    _add_capsule(shin, shin.name, (0, 0, 0), SHIN_RADIUS, 0.25, friction[0])
    sole = shin.add_body(name=f"foot{side}", pos=[reach, 0, -0.35])
    _add_hinge(sole, (-reach, 0, 0.1), (-45, 45))
    _add_capsule(sole, sole.name, (foot_at, 0, 0.1), FOOT_RADIUS, foot, friction[1], lies=True)


def add_planar_motors(spec: mujoco.MjSpec, joints: tuple[str, ...], gear: float) -> None:
    """A motor of every joint's name."""
    for joint in joints:
        add_motor(spec, joint, gear)


def _add_hinge(body: mujoco.MjsBody, place: tuple[float, float, float], degrees: tuple[float, float]) -> None:
    body.add_joint(
        name=body.name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, -1, 0], pos=place, limited=True,
        range=[degrees[0] * DEGREES, degrees[1] * DEGREES],
    )  # fmt: skip


def _add_capsule(
    body: mujoco.MjsBody, name: str, centre: tuple[float, float, float], radius: float, half: float, friction: float,
    lies: bool = False,
) -> None:  # fmt: skip
    turned = np.sqrt(0.5)
    geom = body.add_geom(
        name=name, type=mujoco.mjtGeom.mjGEOM_CAPSULE, pos=centre, size=[radius, half, 0],
        quat=[turned, 0, -turned, 0] if lies else [1, 0, 0, 0],
    )  # fmt: skip
    geom.friction[0] = friction
