"""The rigid chain of ant segments, built in memory with MjSpec: no XML file, so no two processes race for one.

Source: the ManyAgent Ant of multiagent_mujoco and Safe MAMuJoCo (masses, ranges and gears are checked in the tests).
Its differences are those of ``ant_parts``.
"""

from __future__ import annotations

import mujoco

from scalmarl.sim_server.ant_parts import GEAR, START_HEIGHT, add_leg, new_spec
from scalmarl.sim_server.corridor import Corridor
from scalmarl.sim_server.manyant_task import JOINTS
from scalmarl.sim_server.model_parts import add_floor, add_free_root, add_motor, add_walls

TIMESTEP = 0.005
SUBSTEPS = 4
SPINE_RADIUS = 0.1
SPINE_DENSITY = 100.0
BODIES = ("torso", "leg_1", "thigh_1", "foot_1", "leg_2", "thigh_2", "foot_2")
"""Of one segment, in the order of the compiled model."""


def build_model(segments: int, corridor: Corridor, physics: str = "fast") -> mujoco.MjModel:
    """The compiled model of ``n = segments``: ``nq = 7 + 4n``, ``nv = 6 + 4n``, ``nu = 4n``, ``nbody = 1 + 7n``.

    Joints and actuators carry the same names, ``hip_1_S, ankle_1_S, hip_2_S, ankle_2_S`` for segment S, in segment
    order; so do bodies (``torso_S``, then the legs).
    """
    spec = new_spec(TIMESTEP, physics)
    add_floor(spec, 400 * corridor.scale, conaffinity=1)
    add_walls(spec, corridor, behind=2.0 * segments + 20.0)
    body = add_free_root(spec, "torso_0", START_HEIGHT)
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
            add_motor(spec, f"{joint}_{segment}", GEAR)
    return spec.compile()


def _add_legs(torso: mujoco.MjsBody, segment: int) -> None:
    head = segment == 0
    forward = 0.2 if head else -0.2
    for number, side in ((1, 1.0), (2, -1.0)):
        root = (0.2 if head else 0.0, 0.2 * side, 0.0)
        thigh = (forward, 0.2 * side, 0.0)
        # Feet point away from the body; the hinge lies across them, so that the knee bends down.
        axis = (-side, 1.0, 0.0) if head else (side, 1.0, 0.0)
        add_leg(torso, f"{number}_{segment}", root, thigh, axis, (30, 70) if head else (-70, -30))
