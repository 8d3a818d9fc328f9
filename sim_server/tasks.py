"""The tasks by name, described without MuJoCo: sizes, graph, costs, limits, and what is not local.

Every ``ValueError`` of this file reads "what is wrong and where; how to mend it".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server import (
    ant_task,
    cheetah_task,
    formation_task,
    hopper_task,
    humanoid_task,
    manyant_task,
    swimmer_task,
    walker_task,
)
from scalmarl.sim_server.foreign_names import may_be_foreign
from scalmarl.sim_server.task_family import PHYSICS, Choice, Family, nearest

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        manyant_task.FAMILY,
        ant_task.FAMILY,
        *cheetah_task.FAMILIES.values(),
        hopper_task.FAMILY,
        walker_task.FAMILY,
        humanoid_task.FAMILY,
        swimmer_task.FAMILY,
        formation_task.FAMILY,
    )
}
TASKS = tuple(FAMILIES)
DEFAULT_AGENTS = 8
STIFFEST = 1e4
"""N/m; the physics stays sound to ten times as much."""


def is_foreign(task: str) -> bool:
    """Whether a name means a world from outside and none of these tasks."""
    return task.partition(":")[0] not in FAMILIES and may_be_foreign(task)


def describe(
    task: str,
    agents: int | None = None,
    *,
    reward: str | None = None,
    cost: str | None = None,
    limit: float | Sequence[float] | None = None,
    physics: str = "fast",
    horizon: int | None = None,
    coupling: float | None = None,
) -> TaskSpec:
    """A task by ``NAME`` or ``NAME:PARTITION``; the partition sets the number of agents.

    ``agents`` must agree with the partition; without one it chooses it (none of both: the family's default).
    ``reward`` and ``cost`` are modes of the family, ``limit`` is the cost allowed per episode, one number or one per
    agent; each ``None`` is the family's default. ``physics``: ``fast`` or ``parity``. ``horizon`` is in control steps.
    ``coupling`` is the stiffness of the tendons between robots (N/m), 0 for none. Raises ``ValueError``.
    """
    name, colon, partition = task.partition(":")
    if name not in FAMILIES:
        raise ValueError(f"unknown task {name!r}; {nearest(name, TASKS)}, or --world module:function for your own")
    family = FAMILIES[name]
    if colon and not partition:
        raise ValueError(f"{task!r} names no partition after its colon; leave the colon out, or name one")
    for value, what in ((agents, "agents"), (horizon, "control steps per episode")):
        if value is not None and value < 1:
            raise ValueError(f"{name} with {value} {what}; give at least 1")
    for mode, modes, what in (
        (reward, family.rewards, "reward mode"),
        (cost, family.costs, "cost mode"),
        (physics, PHYSICS, "physics"),
    ):
        if mode is not None and mode not in modes:
            raise ValueError(f"{name} has no {what} {mode!r}; {nearest(mode, modes)}")
    if coupling is not None and not family.takes_coupling:
        takers = ", ".join(other.name for other in FAMILIES.values() if other.takes_coupling)
        raise ValueError(f"{name} has nothing to couple; leave the coupling out, or choose {takers}")
    if coupling is not None and not 0 <= coupling <= STIFFEST:
        raise ValueError(f"a coupling of {coupling:g} N/m; give a number from 0 to {STIFFEST:g}")
    partition, agents = _partition(family, family.spellings.get(partition, partition), agents)
    return family.describe(
        Choice(
            partition=partition,
            agents=agents,
            reward=reward or family.rewards[0],
            cost=cost or family.costs[0],
            limits=_limits(name, agents, family.limit if limit is None else limit),
            physics=physics,
            horizon=horizon or family.horizon,
            coupling=coupling,
        )
    )


def _partition(family: Family, partition: str, agents: int | None) -> tuple[str, int]:
    """The partition and its number of agents, from what was given of the two."""
    if not partition and agents is not None:
        found = family.partition_for(agents)
        if found is None:
            raise ValueError(
                f"{family.name} cannot be shared out among {agents} agents; choose a partition: "
                f"{', '.join(f'{name} ({family.agents_of(name)})' for name in family.partitions)}"
            )
        return found, agents
    if not partition:
        partition = family.partitions[0]
        return partition, (family.agents_of(partition) if partition else None) or DEFAULT_AGENTS
    has = family.agents_of(partition)
    if has is None:
        return partition, agents or DEFAULT_AGENTS
    if agents not in (None, has):
        others = [name for name in family.partitions if family.agents_of(name) == agents]
        cure = f", or choose {family.name}:{others[0]}" if others else ""
        raise ValueError(f"{family.name}:{partition} has {has} agents, not {agents}; leave --agents out{cure}")
    return partition, has


def _limits(name: str, agents: int, limit: float | Sequence[float]) -> tuple[float, ...]:
    limits = (float(limit),) * agents if isinstance(limit, (int, float)) else tuple(float(value) for value in limit)
    if len(limits) != agents:
        raise ValueError(f"{len(limits)} cost limits for {agents} agents of {name}; give one, or one per agent")
    for agent, value in enumerate(limits):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"cost limit {value:g} of agent {agent} of {name}; give a finite number, at least 0")
    return limits
