"""What a world promises to everybody else: sizes, graph, costs, limits, and what of it is not local.

A ``TaskSpec`` is plain data. The sim server makes the world that fulfils it; agents, launcher and documentation only
read it, so nobody but the sim server needs MuJoCo.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TaskSpec:
    """One task, fully described.

    ``name`` and ``partition`` name it, as in ``safe-ant:4x2``. ``block_sizes[i]`` numbers in agent i's observation
    block, called ``block_entries[i]``; ``action_entries[i]`` names the actuators of its action, ``action_sizes[i]`` of
    them. ``action_choices[i]`` is 0 for an action of real numbers, or n >= 2 for one of n choices, which travels as one
    number, the choice's index (``action_sizes[i]`` is then 1); ``cost_limits[i][j]`` is the limit on agent i's j-th
    undiscounted cost per episode. ``horizon`` is in control steps of ``control_dt`` seconds. ``edges`` is the natural
    agent graph. ``standing_still_*`` are what zero action makes of a whole episode: team return, team cost, and metres
    travelled; ``None`` where nobody knows. ``nonlocal_facts`` lists what is not local by the nature of the world;
    ``notes`` what a user should know before reading a result.
    ``own_costs``: an agent's cost is its own although its mode is not ``local`` (separate robots' velocity).
    """

    name: str
    partition: str
    agents: int
    parameters: dict[str, Any]
    physics: str
    source: str
    horizon: int
    control_dt: float
    block_sizes: tuple[int, ...]
    block_entries: tuple[tuple[str, ...], ...]
    action_sizes: tuple[int, ...]
    action_entries: tuple[tuple[str, ...], ...]
    action_choices: tuple[int, ...]
    cost_names: tuple[tuple[str, ...], ...]
    cost_limits: tuple[tuple[float, ...], ...]
    edges: tuple[tuple[int, int], ...]
    reward_mode: str
    cost_mode: str
    standing_still_return: float | None
    standing_still_cost: float | None
    standing_still_distance: float | None
    initial_std: float
    nonlocal_facts: tuple[str, ...]
    notes: tuple[str, ...]
    own_costs: bool = False

    @property
    def shares_cost(self) -> bool:
        """Whether every agent is given a copy of one and the same cost."""
        return self.cost_mode != "local" and not self.own_costs

    @property
    def label(self) -> str:
        """``safe-ant:4x2``: what ``--task`` takes to mean this partition."""
        return f"{self.name}:{self.partition}" if self.partition else self.name

    @property
    def maker(self) -> str:
        """``module:function`` that makes a world from outside; '' for the product's own worlds."""
        return str(self.parameters.get("maker", ""))

    def to_data(self) -> dict[str, Any]:
        """Plain lists and dictionaries, for JSON and for the launch plan."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> TaskSpec:
        """The inverse of ``to_data``: lists become tuples again. A plan from before there were choices has none."""
        data = {"action_choices": (0,) * data["agents"], **data}
        return cls(**{name: value if name == "parameters" else _frozen(value) for name, value in data.items()})


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, (list, tuple)) else value
