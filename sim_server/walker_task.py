"""``safe-walker2d``: one planar walker, its joints shared out among agents, described without MuJoCo."""

from __future__ import annotations

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.planar_task import CONTROL_DT, TORSO_ENTRIES, nonlocal_facts, standing_still
from scalmarl.sim_server.task_family import (
    PRESENCE,
    PUBLISHED_STD,
    Choice,
    Family,
    Joints,
    edges_of_bodies,
    first_with,
    fixed_partitions,
    joint_entries,
    quotient_edges,
    task_of,
)
from scalmarl.sim_server.velocity_cost import VELOCITY

RIGHT: Joints = ("thigh", "leg", "foot")
LEFT: Joints = ("thigh_left", "leg_left", "foot_left")
JOINTS: Joints = (*RIGHT, *LEFT)
"""In the order of the model."""
TOUCHING = (("thigh", "thigh_left"), RIGHT[:2], RIGHT[1:], LEFT[:2], LEFT[1:])
"""The joints that act on each body: the torso, the thighs, the shins."""
PARTITIONS: dict[str, tuple[Joints, ...]] = {
    "2x3": (RIGHT, LEFT),
    "6x1": tuple((joint,) for joint in JOINTS),
}


def entries(joints: Joints) -> tuple[str, ...]:
    """What an agent that owns these joints is told."""
    return (*joint_entries(joints), *TORSO_ENTRIES, PRESENCE)


FEATURES = entries(JOINTS)


def describe(choice: Choice) -> TaskSpec:
    """See ``tasks.describe``."""
    owners = PARTITIONS[choice.partition]
    return task_of(
        FAMILY,
        choice,
        owners=owners,
        blocks=tuple(entries(joints) for joints in owners),
        parameters={},
        control_dt=CONTROL_DT,
        cost=VELOCITY,
        edges=quotient_edges(owners, edges_of_bodies(TOUCHING)),
        standing_still=standing_still(choice.horizon, FALLS_AT, SLIDES),
        initial_std=PUBLISHED_STD,
        nonlocal_facts=nonlocal_facts(choice.reward, choice.cost),
        notes=(f"zero action falls after about {FALLS_AT} steps",),
    )


FALLS_AT, SLIDES = 119, -0.18
"""Of zero action: when it falls on average, and how far it gets (m); 40 copies, seed 0."""

FAMILY = Family(
    name="safe-walker2d",
    summary="one planar walker, its joints shared out among agents, walks no faster than a threshold",
    source="Walker2d of safety-gymnasium's velocity tasks; the robot is Gymnasium's walker",
    partitions=tuple(PARTITIONS),
    agents_of=fixed_partitions("safe-walker2d", PARTITIONS),
    partition_for=first_with(PARTITIONS),
    rewards=("team", "local"),
    costs=(VELOCITY,),
    limit=25.0,
    horizon=1000,
    describe=describe,
)
