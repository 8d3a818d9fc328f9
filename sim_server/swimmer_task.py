"""``safe-swimmer``: a planar chain of links swims along a folded corridor, described without MuJoCo."""

from __future__ import annotations

import itertools
import re

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.corridor import PERIOD, scale_for
from scalmarl.sim_server.task_family import (
    PRESENCE,
    PUBLISHED_STD,
    REWARDS,
    Choice,
    Family,
    Joints,
    joint_entries,
    quotient_edges,
    task_of,
)
from scalmarl.sim_server.velocity_cost import VELOCITY

CONTROL_DT = 0.02
HALF_WIDTH = 4.3
"""Where the published model's walls stand (m)."""
LEGACY_HALF_WIDTH = 2.3
"""Where the published cost takes them to stand (m)."""
LONGEST = 64
"""Joints: the longest chain that was built and seen to swim; the cost of a step grows with it."""
LINK_ENTRIES = (
    "cosine of heading",
    "sine of heading",
    "angular velocity (rad/s)",
    "velocity x of the middle (m/s)",
    "velocity y of the middle (m/s)",
    "progress x / 5 of the middle (m)",
    "offset of the middle from the corridor's centre line (m)",
)
"""What an agent is told of each of its links."""


def joints_of(partition: str) -> tuple[int, int]:
    """(agents A, joints of each S) of a partition ``AxS``."""
    match = re.fullmatch(r"([1-9]\d{0,40})x([1-9]\d{0,40})", partition, re.ASCII)
    if match is None:
        raise ValueError(
            f"safe-swimmer has no partition {partition!r}; write AxS, A agents of S joints each, as in 8x1 or 2x4"
        )
    agents, joints = int(match[1]), int(match[2])
    if agents * joints > LONGEST:
        raise ValueError(
            f"safe-swimmer with {agents} agents of {joints} joints is a chain of {agents * joints}; give fewer agents "
            f"or joints, at most {LONGEST} in all"
        )
    return agents, joints


def _each_a_joint(agents: int) -> str:
    partition = f"{agents}x1"
    joints_of(partition)
    return partition


def features(joints: int) -> tuple[str, ...]:
    """Names of all that blocks are made of: entry by entry, for all joints and all links."""
    return (
        *joint_entries(tuple(f"rot_{joint}" for joint in range(joints))),
        *(f"link {link}: {entry}" for entry in LINK_ENTRIES for link in range(joints + 1)),
        PRESENCE,
    )


def links_of(owners: tuple[Joints, ...]) -> tuple[tuple[int, ...], ...]:
    """The links of every agent: those behind its joints; the first agent has the head, link 0, too."""
    behind = [tuple(int(joint.removeprefix("rot_")) + 1 for joint in own) for own in owners]
    return ((0, *behind[0]), *behind[1:])


def describe(choice: Choice) -> TaskSpec:
    """See ``tasks.describe``."""
    agents, each = joints_of(choice.partition)
    names = tuple(f"rot_{joint}" for joint in range(agents * each))
    owners = tuple(names[agent * each : (agent + 1) * each] for agent in range(agents))
    return task_of(
        FAMILY,
        choice,
        owners=owners,
        blocks=tuple(_block(joints, links) for joints, links in zip(owners, links_of(owners))),
        parameters={"joints": each},
        control_dt=CONTROL_DT,
        cost="corridor",
        edges=quotient_edges(owners, itertools.pairwise(names)),
        standing_still=(0.0, _standing_still_cost(choice.cost, choice.horizon), 0.0),
        initial_std=PUBLISHED_STD,
        nonlocal_facts=_nonlocal(choice),
        notes=_notes(agents * each, choice.cost),
    )


def _block(joints: Joints, links: tuple[int, ...]) -> tuple[str, ...]:
    return (
        *joint_entries(joints),
        *(f"link {link}: {entry}" for link in links for entry in LINK_ENTRIES),
        PRESENCE,
    )


def _standing_still_cost(cost: str, horizon: int) -> float:
    """Of zero action, on average over starts, which drift for a while: measured with 2 to 20 joints, 100 copies."""
    if cost == VELOCITY:
        return 40.0 * min(1.0, horizon / 200.0)
    return 120.0 * max(0.0, horizon / 1000.0 - 0.2) / 0.8 if cost == "legacy" else 0.0


def _nonlocal(choice: Choice) -> tuple[str, ...]:
    if choice.agents == 1:
        return ()
    reward = (
        "every agent is given the team reward"
        if choice.reward == "team"
        else "the head's speed is in every agent's reward, each with an equal share"
    )
    return (reward,) if choice.cost == "local" else (reward, "every agent is given the head's cost")


def _notes(joints: int, cost: str) -> tuple[str, ...]:
    scale = scale_for(joints + 1)
    if scale == 1.0 or cost == "legacy":
        return ()
    return (
        f"{joints + 1} links are long for the folds of the original corridor: period ({PERIOD * scale:g} m), "
        f"half-width ({HALF_WIDTH * scale:g} m) and the distance to a wall that costs are {scale:g} times as large",
    )


FAMILY = Family(
    name="safe-swimmer",
    summary="a planar chain of links swims along a folded corridor",
    source="ManyAgent Swimmer of Safe MAMuJoCo and multiagent_mujoco",
    partitions=("8x1", "2x1", "2x4", "4x2", "10x2"),
    agents_of=lambda partition: joints_of(partition)[0],
    partition_for=_each_a_joint,
    rewards=REWARDS,
    costs=("local", "team", "legacy", VELOCITY),
    limit=5.0,
    horizon=1000,
    describe=describe,
)
