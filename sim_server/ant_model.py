"""The ant in its corridor, built in memory with MjSpec.

Source: Gymnasium's ant, the robot of Safe MAMuJoCo's Ant (compared with it in the tests). Its differences are those of
``ant_parts``.
"""

from __future__ import annotations

import mujoco

from scalmarl.sim_server.ant_parts import GEAR, START_HEIGHT, add_leg, new_spec
from scalmarl.sim_server.ant_task import JOINTS, LEGS
from scalmarl.sim_server.corridor import Corridor
from scalmarl.sim_server.model_parts import add_floor, add_free_root, add_motor, add_walls

TIMESTEP = 0.01
SUBSTEPS = 5
TORSO_RADIUS = 0.25
_SIGNS = {1: (1.0, 1.0), 2: (-1.0, 1.0), 3: (-1.0, -1.0), 4: (1.0, -1.0)}


def build_model(corridor: Corridor, physics: str = "fast") -> mujoco.MjModel:
    """The compiled model: ``nq = 15``, ``nv = 14``, ``nu = 8``. Joints and actuators are ``hip_L, ankle_L`` for legs
    L = 1 to 4, in that order; bodies ``torso``, then ``leg_L, thigh_L, foot_L``."""
    spec = new_spec(TIMESTEP, physics)
    add_floor(spec, 400 * corridor.scale, conaffinity=1)
    add_walls(spec, corridor, behind=20.0)
    torso = add_free_root(spec, "torso", START_HEIGHT)
    torso.add_geom(name="torso_geom", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[TORSO_RADIUS, 0, 0])
    for leg in LEGS:
        x, y = _SIGNS[leg]
        place = (0.2 * x, 0.2 * y, 0.0)
        # The hinge lies across the leg, so that the knee bends down.
        add_leg(torso, str(leg), place, place, (-x * y, 1.0, 0.0), (30, 70) if x > 0 else (-70, -30))
    for joint in JOINTS:
        add_motor(spec, joint, GEAR)
    return spec.compile()
