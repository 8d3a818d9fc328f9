"""``safe-ant``: one ant in a corridor, its joints shared out among agents, described without MuJoCo."""

from __future__ import annotations

import itertools

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.task_family import (
    PRESENCE,
    PUBLISHED_STD,
    ROOT_ENTRIES,
    Choice,
    Family,
    Joints,
    first_with,
    fixed_partitions,
    joint_entries,
    quotient_edges,
    task_of,
)
from scalmarl.sim_server.velocity_cost import VELOCITY

CONTROL_DT = 0.05
HALF_WIDTH = 5.0
LEGS = (1, 2, 3, 4)
"""Front left (+, +), (-, +), (-, -), (+, -): the signs of a leg's place."""
JOINTS: Joints = tuple(f"{joint}_{leg}" for leg in LEGS for joint in ("hip", "ankle"))
JOINT_EDGES = (
    *((f"hip_{leg}", f"ankle_{leg}") for leg in LEGS),
    *itertools.combinations((f"hip_{leg}" for leg in LEGS), 2),
)


def _legs(*legs: int) -> Joints:
    return tuple(joint for joint in JOINTS if int(joint[-1]) in legs)


PARTITIONS: dict[str, tuple[Joints, ...]] = {
    "4x2": tuple(_legs(leg) for leg in LEGS),
    "2x4": (_legs(1, 2), _legs(3, 4)),
    "2x4d": (_legs(1, 3), _legs(2, 4)),
    "8x1": tuple((joint,) for joint in JOINTS),
}


def entries(joints: Joints) -> tuple[str, ...]:
    """What an agent that owns these joints is told."""
    return (
        *joint_entries(joints),
        *(f"contact force on the limb of {joint}, clipped at 1 (N)" for joint in joints),
        *ROOT_ENTRIES,
        PRESENCE,
    )


FEATURES = entries(JOINTS)


def describe(choice: Choice) -> TaskSpec:
    """See ``tasks.describe``."""
    owners = PARTITIONS[choice.partition]
    speed = (
        "every agent is given the team reward"
        if choice.reward == "team"
        else "the torso's speed is in every agent's reward, each with an equal share"
    )
    cost = (
        "a fall costs every agent 1"
        if choice.cost == "local"
        else "the cost is the torso's: one number, given to every agent"
    )
    return task_of(
        FAMILY,
        choice,
        owners=owners,
        blocks=tuple(entries(joints) for joints in owners),
        parameters={},
        control_dt=CONTROL_DT,
        cost="corridor",
        edges=quotient_edges(owners, JOINT_EDGES),
        standing_still=(STANDING_STILL * choice.horizon, 0.0, 0.0),
        initial_std=PUBLISHED_STD,
        nonlocal_facts=(
            "a fall of the body ends the episode for every agent",
            "the torso is one body: its height, tilt, heading, velocity and offset show in every block, whatever kappa",
            speed,
            cost,
        ),
        notes=(),
    )


STANDING_STILL = 0.994
"""A step: 1 for being alive, less its contact cost."""

FAMILY = Family(
    name="safe-ant",
    summary="one ant, its joints shared out among agents, walks along a folded corridor",
    source="Ant of Safe MAMuJoCo; the robot is Gymnasium's ant",
    partitions=tuple(PARTITIONS),
    agents_of=fixed_partitions("safe-ant", PARTITIONS),
    partition_for=first_with(PARTITIONS),
    rewards=("team", "local"),
    costs=("team", "local", "legacy", VELOCITY),
    limit=5.0,
    horizon=1000,
    describe=describe,
)
