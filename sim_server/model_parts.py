"""What the models of all tasks do in the same way: the empty world, scalar coefficients, motors."""

from __future__ import annotations

from typing import Any

import mujoco


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
