"""``safe-hopper``: one hopper behind a moving box, its joints shared out among agents, described without MuJoCo."""

from __future__ import annotations

import itertools

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

JOINTS: Joints = ("thigh", "leg", "foot")
"""From the torso down, in the order of the model."""
TOUCHING = tuple(itertools.pairwise(JOINTS))
"""The joints that act on each body between the torso and the foot."""
PARTITIONS: dict[str, tuple[Joints, ...]] = {"3x1": tuple((joint,) for joint in JOINTS)}
BOX_START = 3.0
"""Where the box starts (m)."""
NEAR = 1.0
"""Distance of hopper and box below which it costs (m)."""
GAP_LIMIT = 5.0


def box_entries(legacy: bool) -> tuple[str, ...]:
    """What is told of the box; ``legacy`` lacks the sharp input at the edge where it begins to cost."""
    return (
        f"gap to the box (m), clipped at {GAP_LIMIT:g}",
        *(() if legacy else (f"tanh(2 (gap - {NEAR:g}))",)),
        "box: velocity (m/s)",
        "box: acceleration (m/s^2)",
    )


def entries(joints: Joints, legacy: bool) -> tuple[str, ...]:
    """What an agent that owns these joints is told."""
    return (*joint_entries(joints), *TORSO_ENTRIES, *box_entries(legacy), PRESENCE)


def describe(choice: Choice) -> TaskSpec:
    """See ``tasks.describe``."""
    owners, legacy = PARTITIONS[choice.partition], choice.cost == "legacy"
    return task_of(
        FAMILY,
        choice,
        owners=owners,
        blocks=tuple(entries(joints, legacy) for joints in owners),
        parameters={},
        control_dt=CONTROL_DT,
        cost="box",
        edges=quotient_edges(owners, edges_of_bodies(TOUCHING)),
        standing_still=standing_still(choice.horizon, FALLS_AT, SLIDES),
        initial_std=PUBLISHED_STD,
        nonlocal_facts=(
            *nonlocal_facts(choice.reward, choice.cost),
            "the box is one body that no agent moves: its velocity and acceleration show in every block",
        ),
        notes=(f"zero action falls after about {FALLS_AT} steps",),
    )


FALLS_AT, SLIDES = 142, -0.04
"""Of zero action: when it falls on average, and how far it gets (m); 40 copies, seed 0."""

FAMILY = Family(
    name="safe-hopper",
    summary="one hopper, its joints shared out among agents, hops behind a moving box",
    source="Hopper of Safe MAMuJoCo; the robot is Gymnasium's hopper",
    partitions=tuple(PARTITIONS),
    agents_of=fixed_partitions("safe-hopper", PARTITIONS),
    partition_for=first_with(PARTITIONS),
    rewards=("team", "local"),
    costs=("team", "local", "legacy", VELOCITY),
    limit=25.0,
    horizon=1000,
    describe=describe,
)
