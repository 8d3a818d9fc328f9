"""The walker, built in memory with MjSpec. Source: the fifth version of Gymnasium's (compared with it in the tests)."""

from __future__ import annotations

import mujoco

from scalmarl.sim_server.model_parts import INTEGRATORS, add_floor, empty_world, set_coefficient
from scalmarl.sim_server.planar_parts import TIMESTEP, add_planar_leg, add_planar_motors, add_planar_torso
from scalmarl.sim_server.walker_task import JOINTS

GEAR = 100.0
FRICTION = (0.7, 0.1, 0.1)
"""Of the floor; of the walker the first is 0.9, and 1.9 of its feet."""


def build_model(physics: str = "fast") -> mujoco.MjModel:
    """The compiled model: ``nq = nv = 9``, ``nu = 6``; joints ``rootx, rootz, rooty``, then those of the right leg
    (``thigh, leg, foot``) and of the left (``thigh_left`` and so on), with actuators of their names."""
    spec = empty_world(TIMESTEP, INTEGRATORS[physics])
    joint, geom = spec.default.joint, spec.default.geom
    joint.armature = 0.01
    set_coefficient(joint, "damping", 0.1)
    geom.condim = 3
    geom.conaffinity = 0
    geom.friction = FRICTION
    add_floor(spec, 40.0, conaffinity=1)
    torso = add_planar_torso(spec, 0.9)
    for side in ("", "_left"):
        add_planar_leg(torso, side, reach=0.2, foot_at=-0.1, foot=0.1, friction=(0.9, 1.9))
    add_planar_motors(spec, JOINTS, GEAR)
    return spec.compile()
