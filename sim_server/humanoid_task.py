"""``safe-humanoid``: one humanoid in a corridor, its joints shared out among agents, described without MuJoCo."""

from __future__ import annotations

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.task_family import (
    PRESENCE,
    PUBLISHED_STD,
    ROOT_ENTRIES,
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

CONTROL_DT = 0.015
HALF_WIDTH = 2.3
LIMBS: dict[str, tuple[str, Joints]] = {
    "lwaist": ("torso", ("abdomen_z", "abdomen_y")),
    "pelvis": ("lwaist", ("abdomen_x",)),
    "right_thigh": ("pelvis", ("right_hip_x", "right_hip_z", "right_hip_y")),
    "right_shin": ("right_thigh", ("right_knee",)),
    "left_thigh": ("pelvis", ("left_hip_x", "left_hip_z", "left_hip_y")),
    "left_shin": ("left_thigh", ("left_knee",)),
    "right_upper_arm": ("torso", ("right_shoulder1", "right_shoulder2")),
    "right_lower_arm": ("right_upper_arm", ("right_elbow",)),
    "left_upper_arm": ("torso", ("left_shoulder1", "left_shoulder2")),
    "left_lower_arm": ("left_upper_arm", ("left_elbow",)),
}
"""A body, the one that it hangs on, and the joints between the two; in the order of the model."""
JOINTS: Joints = tuple(joint for _, joints in LIMBS.values() for joint in joints)
LIMB_OF = {joint: limb for limb, (_, joints) in LIMBS.items() for joint in joints}
"""The limb that a joint moves."""


def _touching(body: str) -> Joints:
    above = LIMBS[body][1] if body in LIMBS else ()
    return (*above, *(joint for parent, joints in LIMBS.values() if parent == body for joint in joints))


JOINT_EDGES = edges_of_bodies(_touching(body) for body in ("torso", *LIMBS))


def _is_upper(joint: str) -> bool:
    return any(part in joint for part in ("abdomen", "shoulder", "elbow"))


PARTITIONS: dict[str, tuple[Joints, ...]] = {
    "9|8": (
        tuple(joint for joint in JOINTS if _is_upper(joint)),
        tuple(joint for joint in JOINTS if not _is_upper(joint)),
    ),
    "17x1": tuple((joint,) for joint in JOINTS),
}


def limbs_of(joints: Joints) -> tuple[str, ...]:
    """The limbs that joints move, each once."""
    return tuple(dict.fromkeys(LIMB_OF[joint] for joint in joints))


def entries(joints: Joints) -> tuple[str, ...]:
    """What an agent that owns these joints is told."""
    return (
        *joint_entries(joints),
        *(f"contact force on the {limb} (100 N), clipped at 10" for limb in limbs_of(joints)),
        *ROOT_ENTRIES,
        PRESENCE,
    )


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
        cost="corridor",
        edges=quotient_edges(owners, JOINT_EDGES),
        standing_still=(EARNED * min(choice.horizon, FALLS_AT), _standing_still_cost(choice), SLIDES),
        initial_std=PUBLISHED_STD,
        nonlocal_facts=_nonlocal(choice),
        notes=_notes(choice.partition),
    )


FALLS_AT, EARNED, SLIDES = 40, 4.92, 0.07
"""Of zero action: when it falls on average, what a step until then earns, how far it gets (m); 40 copies, seed 0."""


def _standing_still_cost(choice: Choice) -> float:
    return 0.0 if choice.cost == VELOCITY or choice.horizon < FALLS_AT else 1.0


def _nonlocal(choice: Choice) -> tuple[str, ...]:
    speed = (
        "every agent is given the team reward"
        if choice.reward == "team"
        else "the whole body's speed is in every agent's reward, each with an equal share, and contact costs are cut "
        "for all alike where their sum passes 10"
    )
    cost = {
        "local": "a fall costs every agent 1",
        VELOCITY: "the cost is the whole body's speed: one number, given to every agent",
    }.get(choice.cost, "the cost is the torso's: one number, given to every agent")
    return (
        "a fall of the body ends the episode for every agent",
        "the torso is one body: its height, tilt, heading, velocity and offset show in every block, whatever kappa",
        speed,
        cost,
    )


def _notes(partition: str) -> tuple[str, ...]:
    falls = f"zero action falls after about {FALLS_AT} steps"
    return (falls, "in a shell write 9|8 in quotes, or 9-8") if partition == "9|8" else (falls,)


FAMILY = Family(
    name="safe-humanoid",
    summary="one humanoid, its joints shared out among agents, walks along a narrow folded corridor",
    source="Humanoid of Safe MAMuJoCo; the robot is Gymnasium's humanoid",
    partitions=tuple(PARTITIONS),
    agents_of=fixed_partitions("safe-humanoid", PARTITIONS),
    partition_for=first_with(PARTITIONS),
    rewards=("team", "local"),
    costs=("team", "local", "legacy", VELOCITY),
    limit=5.0,
    horizon=1000,
    describe=describe,
    spellings={"9-8": "9|8"},
)
