"""The hopper and the box ahead of it, built in memory with MjSpec.

Source: Gymnasium's hopper, the robot of Safe MAMuJoCo's Hopper (compared with it in the tests), and the latter's box,
which stands beside the hopper's lane. It is moved as a clock says and touches nothing.
"""

from __future__ import annotations

import mujoco

from scalmarl.sim_server.hopper_task import BOX_START, JOINTS
from scalmarl.sim_server.model_parts import INTEGRATORS, add_floor, empty_world, set_coefficient
from scalmarl.sim_server.planar_parts import TIMESTEP, add_planar_leg, add_planar_motors, add_planar_torso

GEAR = 200.0
BOX = "box"
BOX_PLACE = (BOX_START, 1.0, 0.5)
BOX_HALF_SIZE = 0.3


def build_model(physics: str = "fast") -> mujoco.MjModel:
    """The compiled model: ``nq = nv = 6``, ``nu = 3``; joints ``rootx, rootz, rooty, thigh, leg, foot``, the last three
    with actuators of their names; a body ``box`` that is no part of the physics (``nmocap = 1``)."""
    spec = empty_world(TIMESTEP, INTEGRATORS[physics])
    joint, geom = spec.default.joint, spec.default.geom
    joint.armature = 1.0
    set_coefficient(joint, "damping", 1.0)
    geom.condim = 1
    geom.margin = 0.001
    geom.solimp[:3] = [0.8, 0.8, 0.01]
    geom.solref = [0.02, 1.0]
    add_floor(spec, 40.0, condim=3)
    box = spec.worldbody.add_body(name=BOX, pos=BOX_PLACE, mocap=True)
    box.add_geom(
        name=BOX, type=mujoco.mjtGeom.mjGEOM_BOX, size=[BOX_HALF_SIZE] * 3, mass=0, contype=0, conaffinity=0,
        rgba=[0.8, 0.2, 0.2, 0.5],
    )  # fmt: skip
    torso = add_planar_torso(spec, 0.9)
    add_planar_leg(torso, "", reach=0.13, foot_at=-0.065, foot=0.195, friction=(0.9, 2.0))
    add_planar_motors(spec, JOINTS, GEAR)
    return spec.compile()
