"""The planar chain of links in a fluid, built in memory with MjSpec: no XML file, so no two processes race for one.

Source: the ManyAgent Swimmer of multiagent_mujoco and Safe MAMuJoCo; with two joints it is Gymnasium's swimmer (both
compared in the tests). Nothing collides: the source says so in a way that MuJoCo no longer reads, and its links would
touch at every joint.
"""

from __future__ import annotations

import mujoco
import numpy as np

from scalmarl.sim_server.corridor import Corridor
from scalmarl.sim_server.model_parts import INTEGRATORS, add_floor, add_motor, add_walls, empty_world

TIMESTEP = 0.005
SUBSTEPS = 4
FLUID_DENSITY = 4000.0
VISCOSITY = 0.1
RADIUS = 0.1
GEAR = 150.0
WIDEST = 100 * np.pi / 180


def joint_signs(joints: int) -> tuple[int, ...]:
    """Which way each joint turns: as in the source, those between the first and the last alternate."""
    return tuple((-1) ** (joint + 1) if 0 < joint < joints - 1 else 1 for joint in range(joints))


def build_model(joints: int, corridor: Corridor, physics: str = "fast") -> mujoco.MjModel:
    """The compiled model of ``n = joints``: ``nq = nv = n + 3``, ``nu = n``. Joints ``slider_x, slider_y, turn`` half
    a metre behind the head's rear, then ``rot_0 .. rot_(n-1)`` with actuators of their names; links (bodies and
    geoms) ``link_0``, the head, to ``link_n``."""
    spec = empty_world(TIMESTEP, INTEGRATORS[physics])
    spec.option.density = FLUID_DENSITY
    spec.option.viscosity = VISCOSITY
    spec.default.joint.armature = 0.1
    geom = spec.default.geom
    geom.contype = geom.conaffinity = 0
    geom.condim = 1
    add_floor(spec, 400 * corridor.scale, pos=[0, 0, -RADIUS])
    add_walls(spec, corridor, behind=joints + 20.0)
    head = spec.worldbody.add_body(name="link_0")
    for name, kind, axis in (
        ("slider_x", mujoco.mjtJoint.mjJNT_SLIDE, [1, 0, 0]),
        ("slider_y", mujoco.mjtJoint.mjJNT_SLIDE, [0, 1, 0]),
        ("turn", mujoco.mjtJoint.mjJNT_HINGE, [0, 0, 1]),
    ):
        head.add_joint(name=name, type=kind, axis=axis)
    _add_link(head, (1.5, 0, 0), (0.5, 0, 0))
    body = head
    for joint, sign in enumerate(joint_signs(joints)):
        body = body.add_body(name=f"link_{joint + 1}", pos=[0.5 if joint == 0 else -1.0, 0, 0])
        body.add_joint(
            name=f"rot_{joint}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, sign], limited=True,
            range=[-WIDEST, WIDEST],
        )  # fmt: skip
        _add_link(body, (0, 0, 0), (-1, 0, 0))
    for joint in range(joints):
        add_motor(spec, f"rot_{joint}", GEAR)
    return spec.compile()


def _add_link(body: mujoco.MjsBody, begin: tuple[float, float, float], end: tuple[float, float, float]) -> None:
    body.add_geom(
        name=body.name, type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=[*begin, *end], size=[RADIUS, 0, 0], density=1000
    )
