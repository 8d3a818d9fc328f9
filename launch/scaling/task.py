"""Tasks with more agents than the product runs today, for planning alone.

Rules of this file: pure. A description is stretched: the agents at both ends stay, the middle one is repeated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.cheetah_task import MOST
from scalmarl.sim_server.tasks import describe

Row = TypeVar("Row")


def describe_any(task: str, agents: int | None = None, **choice: Any) -> TaskSpec:
    """``sim_server.tasks.describe``, for any number of ``cheetahs``. Raises ``ValueError``."""
    if task != "cheetahs" or agents is None or agents <= MOST:
        return describe(task, agents, **choice)
    return stretched(describe(task, MOST, **choice), agents)


def stretched(spec: TaskSpec, agents: int) -> TaskSpec:
    """A chain of agents made longer."""
    middle = spec.agents // 2

    def longer(rows: tuple[Row, ...]) -> tuple[Row, ...]:
        return (*rows[:middle], *(rows[middle],) * (agents - spec.agents), *rows[middle:])

    return replace(
        spec,
        agents=agents,
        block_sizes=longer(spec.block_sizes),
        block_entries=longer(spec.block_entries),
        action_sizes=longer(spec.action_sizes),
        action_entries=longer(spec.action_entries),
        action_choices=longer(spec.action_choices),
        cost_names=longer(spec.cost_names),
        cost_limits=longer(spec.cost_limits),
        edges=tuple((agent, agent + 1) for agent in range(agents - 1)),
    )
