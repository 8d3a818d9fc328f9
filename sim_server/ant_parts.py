"""What the models of the ant tasks share: defaults and legs."""

from __future__ import annotations

import mujoco
import numpy as np

from scalmarl.sim_server.model_parts import INTEGRATORS, empty_world, set_coefficient

START_HEIGHT = 0.75
GEAR = 150.0
LEG_RADIUS = 0.08
LEG_DENSITY = 5.0
DEGREES = np.pi / 180
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
