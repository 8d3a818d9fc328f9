"""``safe-manyant``: a rigid chain of ant segments in a corridor, described without MuJoCo."""

from __future__ import annotations

import re

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.corridor import PERIOD, scale_for
from scalmarl.sim_server.task_family import PRESENCE, REWARDS, Choice, Family, joint_entries, task_of
from scalmarl.sim_server.velocity_cost import VELOCITY

CONTROL_DT = 0.02
HALF_WIDTH = 4.5
INITIAL_STD = 0.25
"""At the original 0.37 the control penalty of the noise alone is twice the reward for being alive (8 segments)."""
LONGEST = 256
"""Segments: the longest chain that was built and seen to stand; the cost of a step grows with it."""
JOINTS = ("hip_1", "ankle_1", "hip_2", "ankle_2")
"""Of one segment; its actuators carry the same names."""

SEGMENT_ENTRIES = (
    *joint_entries(JOINTS),
    "height z (m)",
    *(f"up vector {axis}, world frame" for axis in "xyz"),
    *(f"linear velocity {axis} (m/s), world frame" for axis in "xyz"),
    *(f"angular velocity {axis} (rad/s), body frame" for axis in "xyz"),
    "progress x / 5 (m)",
    "offset from the corridor's centre line (m)",
    "contact force on foot 1, clipped at 1 (N)",
    "contact force on foot 2, clipped at 1 (N)",
    "cosine of heading",
    "sine of heading",
)
"""What an agent is told of each of its segments."""


def segments_of(partition: str) -> tuple[int, int]:
    """(agents A, segments of each S) of a partition ``AxS``."""
    match = re.fullmatch(r"([1-9]\d{0,40})x([1-9]\d{0,40})", partition, re.ASCII)
    if match is None:
        raise ValueError(
            f"safe-manyant has no partition {partition!r}; write AxS, A agents of S segments each, as in 8x1 or 3x2"
        )
    agents, segments = int(match[1]), int(match[2])
    if agents * segments > LONGEST:
        raise ValueError(
            f"safe-manyant with {agents} agents of {segments} segments is a chain of {agents * segments}; give fewer "
            f"agents or segments, the longest chain that was seen to stand has {LONGEST}"
        )
    return agents, segments


def _each_a_segment(agents: int) -> str:
    partition = f"{agents}x1"
    segments_of(partition)
    return partition


def features(body: int) -> tuple[str, ...]:
    """Names of all that blocks are made of, segment by segment."""
    return (*(f"segment {s}: {entry}" for s in range(body) for entry in SEGMENT_ENTRIES), PRESENCE)


def describe(choice: Choice) -> TaskSpec:
    """See ``tasks.describe``."""
    agents, segments = segments_of(choice.partition)
    body = agents * segments
    width, names = len(SEGMENT_ENTRIES) * segments, features(body)
    joints = tuple(f"{joint}_{segment}" for segment in range(body) for joint in JOINTS)
    own = len(JOINTS) * segments
    return task_of(
        FAMILY,
        choice,
        owners=tuple(joints[a * own : (a + 1) * own] for a in range(agents)),
        blocks=tuple((*names[a * width : (a + 1) * width], PRESENCE) for a in range(agents)),
        parameters={"segments": segments},
        control_dt=CONTROL_DT,
        cost="corridor",
        edges=tuple((agent, agent + 1) for agent in range(agents - 1)),
        standing_still=_standing_still(body, choice.horizon),
        initial_std=INITIAL_STD,
        nonlocal_facts=_nonlocal(agents, choice.reward, choice.cost),
        notes=_notes(body, choice.cost),
    )


def _standing_still(body: int, horizon: int) -> tuple[float, float, float]:
    """Team return, cost and distance of zero action over one horizon; tests/sim_server/test_rollout.py.

    Measured (32 copies, 1 to 32 segments, 1000 steps): while the legs unfold, in about the first 100 steps, the body
    slides forward by up to half a metre, which pays 50 per metre; after that it earns 1 a step less its contact cost.
    Within 3 % of the measured from 200 steps on. A single segment cannot stand on two legs: it falls at step 15.
    """
    if body == 1:
        return 17.8 * min(1.0, horizon / 15.0), 1.0 if horizon >= 15 else 0.0, 0.06
    slide = 0.5 * (1.0 - 1.5 / body) * min(1.0, horizon / 100.0)
    return slide / CONTROL_DT + horizon * (1.0 - 0.0026 - 0.0027 * body), 0.0, slide


def _nonlocal(agents: int, reward: str, cost: str) -> tuple[str, ...]:
    if agents == 1:
        return ()
    facts = [
        "a fall of the body ends the episode for every agent",
        "the spine is rigid: its tilt, heading, height and velocity show in every block, whatever kappa",
    ]
    if reward == "team":
        facts.append("every agent is given the team reward")
    else:
        facts.append("the head's speed is in every agent's reward, each with an equal share")
    if cost == "local":
        facts.append("a fall costs every agent 1")
    else:
        facts.append("every agent is given the head's cost")
    return tuple(facts)


def _notes(body: int, cost: str) -> tuple[str, ...]:
    if body == 1:
        return ("a single segment has two legs and cannot stand: an episode ends after about 15 steps",)
    scale = scale_for(body)
    if scale == 1.0 or cost == "legacy":
        return ()
    return (
        f"{body} segments are too long for the folds of the original corridor: period ({PERIOD * scale:g} m), "
        f"half-width ({HALF_WIDTH * scale:g} m) and the distance to a wall that costs are {scale:g} times as large",
    )


FAMILY = Family(
    name="safe-manyant",
    summary="a rigid chain of ant segments walks along a folded corridor",
    source="ManyAgent Ant of Safe MAMuJoCo and multiagent_mujoco",
    partitions=("8x1", "6x1", "2x3", "3x2", "2x4", "4x2"),
    agents_of=lambda partition: segments_of(partition)[0],
    partition_for=_each_a_segment,
    rewards=REWARDS,
    costs=("local", "team", "legacy", VELOCITY),
    limit=5.0,
    horizon=1000,
    describe=describe,
)
