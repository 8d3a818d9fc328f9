"""What the models of all tasks do in the same way: the empty world, floor and walls, roots, coefficients, motors.

Walls are drawn and do not collide: the original ones stand loose on the floor, are knocked away by any touch, and
overlap a long body at reset.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from scalmarl.sim_server.corridor import Corridor

INTEGRATORS = {
    "fast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
    "parity": mujoco.mjtIntegrator.mjINT_RK4,
}
"""Of every source but the half cheetah's."""


def empty_world(timestep: float, integrator: mujoco.mjtIntegrator) -> mujoco.MjSpec:
    """A specification in radians, without MuJoCo's automatic reset, which would hide a state that is not finite."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = timestep
    spec.option.integrator = integrator
    spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
    return spec


def set_coefficient(element: Any, name: str, value: float) -> None:
    """Set a joint's or tendon's constant stiffness or damping; its polynomial terms, if any, stay zero."""
    terms = getattr(element, name)
    setattr(element, name, [value, *([0.0] * (len(terms) - 1))] if hasattr(terms, "__len__") else value)


def add_motor(spec: mujoco.MjSpec, joint: str, gear: float) -> None:
    """A motor of the joint's name that takes controls from -1 to 1."""
    actuator = spec.add_actuator(name=joint, target=joint)
    actuator.trntype = mujoco.mjtTrn.mjTRN_JOINT
    actuator.gear[0] = gear
    actuator.ctrllimited = True
    actuator.ctrlrange = [-1, 1]


def add_floor(spec: mujoco.MjSpec, half_length: float, **more: Any) -> None:
    """A plane at height 0; what it collides with and how follows from the defaults and ``more``."""
    spec.worldbody.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[half_length, half_length, 40], rgba=[0.8, 0.9, 0.8, 1],
        **more,
    )  # fmt: skip


def add_walls(spec: mujoco.MjSpec, corridor: Corridor, behind: float) -> None:
    """Walls along the corridor from ``behind`` metres before its lead-in to 40 m after its last fold."""
    world, scale = spec.worldbody, corridor.scale
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


def add_free_root(spec: mujoco.MjSpec, name: str, height: float) -> mujoco.MjsBody:
    """The free body that everything hangs on, with an accelerometer, without which a batch would not have contact
    forces."""
    body = spec.worldbody.add_body(name=name, pos=[0, 0, height])
    body.add_freejoint(name="root")
    body.add_site(name="head")
    spec.add_sensor(
        name="accelerometer",
        type=mujoco.mjtSensor.mjSENS_ACCELEROMETER,
        objtype=mujoco.mjtObj.mjOBJ_SITE,
        objname="head",
    )
    return body
