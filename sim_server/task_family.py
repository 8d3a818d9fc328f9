"""What a family of tasks is, and the pieces that every family's description is made of. Pure; no MuJoCo.

Every ``ValueError`` of the descriptions reads "what is wrong and where; how to mend it".
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.velocity_cost import VELOCITY, velocity_note

PHYSICS = ("fast", "parity")
"""``fast``: MuJoCo's ``implicitfast`` integrator; ``parity``: the integrator of the published task."""
REWARDS = ("local", "team")
PUBLISHED_STD = 0.3655
"""Deviation of the initial Gaussian policy of the published runs, 0.5 sigmoid(1)."""
PRESENCE = "presence"
"""The last entry of every block: 1 for an agent that takes part."""
ROOT_ENTRIES = (
    "height z (m)",
    *(f"up vector {axis}, world frame" for axis in "xyz"),
    *(f"linear velocity {axis} (m/s), world frame" for axis in "xyz"),
    *(f"angular velocity {axis} (rad/s), body frame" for axis in "xyz"),
    "progress x / 5 (m)",
    "offset from the corridor's centre line (m)",
    "cosine of heading",
    "sine of heading",
)
"""What is told of a robot's free root in a corridor."""

Joints = tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """A user's wish for a task of one family, every part of it known to be valid for the family."""

    partition: str
    agents: int
    reward: str
    cost: str
    limits: tuple[float, ...]
    physics: str
    horizon: int
    coupling: float | None


@dataclass(frozen=True)
class Family:
    """Tasks that differ only in who owns which part of the body.

    ``partitions`` are the usual ones, the default first; ``agents_of`` gives the number of agents of any valid
    partition (``None``: the user chooses it; ``ValueError``: no such partition), ``partition_for`` a partition for a
    number of agents (``None``: there is none; ``ValueError``: there are too many). The first of ``rewards`` and of
    ``costs`` is the default. ``takes_coupling``: the family has a coupling stiffness. ``any_number``: the usual
    partitions take any number of agents between these. ``spellings``: other ways to write a partition.
    """

    name: str
    summary: str
    source: str
    partitions: tuple[str, ...]
    agents_of: Callable[[str], int | None]
    partition_for: Callable[[int], str | None]
    rewards: tuple[str, ...]
    costs: tuple[str, ...]
    limit: float
    horizon: int
    describe: Callable[[Choice], TaskSpec]
    takes_coupling: bool = False
    spellings: Mapping[str, str] = field(default_factory=dict)
    any_number: tuple[int, int] | None = None


def task_of(
    family: Family,
    choice: Choice,
    *,
    owners: Sequence[Joints],
    blocks: Sequence[tuple[str, ...]],
    parameters: dict[str, Any],
    control_dt: float,
    cost: str,
    edges: tuple[tuple[int, int], ...],
    standing_still: tuple[float, float, float],
    initial_std: float,
    nonlocal_facts: tuple[str, ...],
    notes: tuple[str, ...],
    own_speeds: bool = False,
) -> TaskSpec:
    """The description of a choice. ``owners[i]`` are the motors of agent i, ``blocks[i]`` the entries of its block,
    ``cost`` the name of everybody's cost, ``standing_still`` the return, cost and distance of zero action;
    ``own_speeds``: a velocity cost is about each agent's own robot. Under the velocity cost, name and notes say so."""
    if choice.cost == VELOCITY:
        cost, notes = VELOCITY, (velocity_note(family.name, choice.partition), *notes)
    return TaskSpec(
        name=family.name,
        partition=choice.partition,
        agents=len(owners),
        parameters=parameters,
        physics=choice.physics,
        source=family.source,
        horizon=choice.horizon,
        control_dt=control_dt,
        block_sizes=tuple(len(block) for block in blocks),
        block_entries=tuple(blocks),
        action_sizes=tuple(len(motors) for motors in owners),
        action_entries=tuple(owners),
        action_choices=(0,) * len(owners),
        cost_names=((cost,),) * len(owners),
        cost_limits=tuple((limit,) for limit in choice.limits),
        edges=edges,
        reward_mode=choice.reward,
        cost_mode=choice.cost,
        standing_still_return=standing_still[0],
        standing_still_cost=standing_still[1],
        standing_still_distance=standing_still[2],
        initial_std=initial_std,
        nonlocal_facts=nonlocal_facts,
        notes=notes,
        own_costs=own_speeds and choice.cost == VELOCITY,
    )


def joint_entries(joints: Joints) -> tuple[str, ...]:
    """What is told of joints: their positions, then their speeds."""
    return (*(f"{joint} position (rad)" for joint in joints), *(f"{joint} speed (rad/s)" for joint in joints))


def nearest(name: str, valid: Sequence[str]) -> str:
    """The cure for a misspelt name."""
    near = difflib.get_close_matches(name, valid, 1, 0.3)
    return (f"did you mean {near[0]}? " if near else "") + f"valid: {', '.join(valid)}"


def quotient_edges(owners: Sequence[Joints], joint_edges: Iterable[tuple[str, str]]) -> tuple[tuple[int, int], ...]:
    """The agent graph of a partition: two agents are joined when an edge of the body joins two of their joints."""
    owner = {joint: agent for agent, joints in enumerate(owners) for joint in joints}
    pairs = {(min(owner[a], owner[b]), max(owner[a], owner[b])) for a, b in joint_edges}
    return tuple(sorted(pair for pair in pairs if pair[0] != pair[1]))


def edges_of_bodies(touching: Iterable[Joints]) -> tuple[tuple[str, str], ...]:
    """Edges between joints that act on the same rigid body; ``touching``: the joints that act on each body."""
    return tuple(pair for joints in touching for pair in itertools.combinations(joints, 2))


def fixed_partitions(name: str, table: dict[str, tuple[Joints, ...]]) -> Callable[[str], int]:
    """``agents_of`` of a family whose partitions are those of a table."""

    def agents_of(partition: str) -> int:
        if partition not in table:
            raise ValueError(f"{name} has no partition {partition!r}; {nearest(partition, tuple(table))}")
        return len(table[partition])

    return agents_of


def first_with(table: dict[str, tuple[Joints, ...]]) -> Callable[[int], str | None]:
    """``partition_for`` of a family whose partitions are those of a table."""
    return lambda agents: next((name for name, owners in table.items() if len(owners) == agents), None)
