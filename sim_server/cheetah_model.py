"""Half cheetahs in lanes behind a moving plate, the bomb, built in memory with MjSpec.

Source: Gymnasium's half cheetah, and the plate and the tendon of Safe MAMuJoCo's (Coupled) HalfCheetah (compared with
them in the tests). The side walls of the source, which nothing ever touches, are drawn only.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import mujoco
import numpy as np

from scalmarl.sim_server.cheetah_task import JOINTS, Herd
from scalmarl.sim_server.model_parts import add_motor, empty_world, set_coefficient

TIMESTEP = 0.01
SUBSTEPS = 5
TORSO_HEIGHT = 0.7
LANE = 2.0
"""Distance between neighbouring cheetahs, and so the rest length of a tendon (m)."""
TENDON_RANGE = (1.5, 3.5)
BOMB_START = 10.0
"""Where the plate's middle starts (m)."""
BOMB_GEAR = 120.0
BOMB_DAMPING = 0.2
BOMB_ARMATURE = 0.1
BOMB_DENSITY = 1e-4
BOMB_HALF_SIZE = (0.1, 2.3, 1.3)
PUBLISHED_MASS = 14.0
"""The source scales all bodies, the plate too, so that its cheetahs weigh this together (kg)."""
WALL = 4.0
"""Side walls stand so far beside the middle lane (m)."""
RADIUS = 0.046
DENSITY = 1000.0
INTEGRATORS = {
    "fast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
    "parity": mujoco.mjtIntegrator.mjINT_EULER,
}


class _Limb(NamedTuple):
    """A body with its hinge, capsule and motor; angles in rad, ``turn`` about y, lengths in m."""

    parent: str
    place: tuple[float, float, float]
    range: tuple[float, float]
    damping: float
    stiffness: float
    centre: tuple[float, float, float]
    turn: float
    half_length: float
    gear: float


_LIMBS = {
    "bthigh": _Limb("torso", (-0.5, 0, 0), (-0.52, 1.05), 6, 240, (0.1, 0, -0.13), -3.8, 0.145, 120),
    "bshin": _Limb("bthigh", (0.16, 0, -0.25), (-0.785, 0.785), 4.5, 180, (-0.14, 0, -0.07), -2.03, 0.15, 90),
    "bfoot": _Limb("bshin", (-0.28, 0, -0.14), (-0.4, 0.785), 3, 120, (0.03, 0, -0.097), -0.27, 0.094, 60),
    "fthigh": _Limb("torso", (0.5, 0, 0), (-1, 0.7), 4.5, 180, (-0.07, 0, -0.12), 0.52, 0.133, 120),
    "fshin": _Limb("fthigh", (-0.14, 0, -0.24), (-1.2, 0.87), 3, 120, (0.065, 0, -0.09), -0.6, 0.106, 60),
    "ffoot": _Limb("fshin", (0.13, 0, -0.18), (-0.5, 0.5), 1.5, 60, (0.045, 0, -0.07), -0.6, 0.07, 30),
}


def lanes(cheetahs: int) -> tuple[float, ...]:
    """y of every cheetah (m)."""
    return tuple(LANE * cheetah - LANE * (cheetahs - 1) / 2 for cheetah in range(cheetahs))


def build_model(herd: Herd, physics: str = "fast") -> mujoco.MjModel:
    """The compiled model of C cheetahs: ``nq = nv = 1 + 9 C``, ``nu = 1 + 6 C``; the bomb comes first.

    Cheetah c has joints ``rootx_c, rootz_c, rooty_c``, then ``bthigh_c`` and so on, with actuators of these names, and
    geoms ``JOINT_c`` on its limbs.
    """
    spec = _new_spec(physics)
    if herd.separate:
        # The solver decides for all bodies at once whether it starts from the last solution: a cheetah would feel
        # in its last digits what one without any tie to it does.
        spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_WARMSTART)
    _add_bomb(spec, herd)
    for cheetah, y in enumerate(lanes(herd.cheetahs)):
        _add_cheetah(spec, cheetah, y, DENSITY * herd.mass / _mass())
    for cheetah in range(herd.cheetahs if herd.coupling else 0):
        if cheetah > 0:
            _add_tendon(spec, cheetah - 1, herd.coupling)
    _add_scenery(spec, herd)
    return spec.compile()


@lru_cache(maxsize=1)
def _mass() -> float:
    """Mass of a cheetah of the default density; the source scales it to a given total."""
    spec = _new_spec("fast")
    _add_cheetah(spec, 0, 0.0, DENSITY)
    return float(mujoco.mj_getTotalmass(spec.compile()))


def _new_spec(physics: str) -> mujoco.MjSpec:
    spec = empty_world(TIMESTEP, INTEGRATORS[physics])
    joint, geom = spec.default.joint, spec.default.geom
    joint.armature = 0.1
    joint.limited = True
    joint.solimp_limit[:3] = [0.0, 0.8, 0.03]
    joint.solref_limit = [0.02, 1.0]
    geom.conaffinity = 0
    geom.condim = 3
    geom.friction = [0.4, 0.1, 0.1]
    geom.solimp[:3] = [0.0, 0.8, 0.01]
    geom.solref = [0.02, 1.0]
    return spec


def _add_root(torso: mujoco.MjsBody, cheetah: int) -> None:
    for name, kind, axis in (
        ("rootx", mujoco.mjtJoint.mjJNT_SLIDE, [1, 0, 0]),
        ("rootz", mujoco.mjtJoint.mjJNT_SLIDE, [0, 0, 1]),
        ("rooty", mujoco.mjtJoint.mjJNT_HINGE, [0, 1, 0]),
    ):
        torso.add_joint(name=f"{name}_{cheetah}", type=kind, axis=axis, limited=False, armature=0.0)


def _add_cheetah(spec: mujoco.MjSpec, cheetah: int, y: float, density: float) -> None:
    torso = spec.worldbody.add_body(name=f"torso_{cheetah}", pos=[0, y, TORSO_HEIGHT])
    torso.add_site(name=f"torso_{cheetah}", size=[0.1, 0.1, 0.1], group=3)
    _add_root(torso, cheetah)
    torso.add_geom(
        name=f"torso_{cheetah}", type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=[-0.5, 0, 0, 0.5, 0, 0],
        size=[RADIUS, 0, 0], density=density,
    )  # fmt: skip
    _add_capsule(torso, f"head_{cheetah}", (0.6, 0, 0.1), 0.87, 0.15, density)
    bodies = {"torso": torso}
    for name in JOINTS:
        limb = _LIMBS[name]
        body = bodies[limb.parent].add_body(name=f"{name}_{cheetah}", pos=limb.place)
        joint = body.add_joint(
            name=f"{name}_{cheetah}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 1, 0], range=limb.range
        )
        set_coefficient(joint, "damping", limb.damping)
        set_coefficient(joint, "stiffness", limb.stiffness)
        _add_capsule(body, f"{name}_{cheetah}", limb.centre, limb.turn, limb.half_length, density)
        bodies[name] = body
        add_motor(spec, f"{name}_{cheetah}", limb.gear)


def _add_capsule(
    body: mujoco.MjsBody, name: str, centre: tuple[float, float, float], turn: float, half: float, density: float
) -> None:
    body.add_geom(
        name=name, type=mujoco.mjtGeom.mjGEOM_CAPSULE, pos=centre, quat=[np.cos(turn / 2), 0, np.sin(turn / 2), 0],
        size=[RADIUS, half, 0], density=density,
    )  # fmt: skip


def _bomb_mass() -> float:
    """That of the published plate (kg), however wide ours is: its course does not depend on who runs behind it."""
    return BOMB_DENSITY * 8 * float(np.prod(BOMB_HALF_SIZE)) * PUBLISHED_MASS / _mass()


def _add_bomb(spec: mujoco.MjSpec, herd: Herd) -> None:
    bomb = spec.worldbody.add_body(name="bomb", pos=[BOMB_START / 2, 0, TORSO_HEIGHT])
    joint = bomb.add_joint(
        name="bomb", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[1, 0, 0], range=[-5000, 5000], armature=BOMB_ARMATURE
    )
    set_coefficient(joint, "damping", BOMB_DAMPING)
    thickness, half_width, half_height = BOMB_HALF_SIZE
    touches = int(not herd.separate)
    bomb.add_geom(
        name="bomb", type=mujoco.mjtGeom.mjGEOM_BOX, pos=[BOMB_START / 2, 0, TORSO_HEIGHT],
        size=[thickness, max(half_width, LANE * herd.cheetahs / 2 + 0.3), half_height],
        mass=_bomb_mass(), contype=touches, conaffinity=touches,
        rgba=[0.8, 0.2, 0.2, 0.5],
    )  # fmt: skip
    add_motor(spec, "bomb", BOMB_GEAR)


def _add_tendon(spec: mujoco.MjSpec, link: int, stiffness: float) -> None:
    tendon = spec.add_tendon(name=f"tendon_{link}", limited=True, range=TENDON_RANGE, width=0.03)
    set_coefficient(tendon, "stiffness", stiffness)
    for cheetah in (link, link + 1):
        tendon.wrap_site(f"torso_{cheetah}")


def _add_scenery(spec: mujoco.MjSpec, herd: Herd) -> None:
    """The floor, and side walls that are drawn only."""
    world, beyond = spec.worldbody, LANE * (herd.cheetahs - 1) / 2
    world.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[400, 40 + beyond, 40], conaffinity=1,
        rgba=[0.8, 0.9, 0.8, 1],
    )  # fmt: skip
    for number, x in enumerate((0.0, 50.0, 100.0, 150.0)):
        for side in (-1, 1):
            world.add_geom(
                name=f"wall_{number}_{'right' if side < 0 else 'left'}", type=mujoco.mjtGeom.mjGEOM_BOX,
                size=[24.8, 0.1, 1], pos=[x, side * max(WALL, beyond + 3.0), 1], contype=0, conaffinity=0,
                rgba=[0.6, 0.6, 0.7, 0.3],
            )  # fmt: skip
