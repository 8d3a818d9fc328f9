"""Episodes of every copy: ages, ends, and the figures that are reported. Pure NumPy, sums in copy order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Copies = NDArray[np.int64]


class Episodes:
    """``E`` copies' episodes of at most ``horizon`` control steps.

    Copy e starts at age floor(e * horizon / E), so that episodes end evenly; such a shortened first episode is left out
    of the episode figures.
    """

    def __init__(self, copies: int, agents: int, horizon: int) -> None:
        self._agents, self._horizon, self._copies = agents, horizon, copies
        self.number = np.full(copies, -1, np.int64)
        self.age = np.zeros(copies, np.int64)
        self.terminated = np.zeros(copies, bool)
        self.truncated = np.zeros(copies, bool)
        self.shortened = np.zeros(copies, bool)
        self.team_return, self.team_cost, self.distance = np.zeros(copies), np.zeros(copies), np.zeros(copies)
        self.length = np.zeros(copies, np.int64)
        self.cost = np.zeros((copies, agents))
        self._forget()

    @property
    def over(self) -> NDArray[np.bool_]:
        """``[E]``: the last observation ended an episode; the copy is reset at its next step."""
        return self.terminated | self.truncated

    def begin(self, copies: Copies) -> None:
        """New episodes; the very first ones begin at staggered ages."""
        first = self.number[copies] < 0
        self.number[copies] += 1
        self.age[copies] = np.where(first, copies * self._horizon // self._copies, 0)
        self.shortened[copies] = self.age[copies] > 0
        for sums in (self.team_return, self.team_cost, self.distance, self.length, self.cost):
            sums[copies] = 0
        self.terminated[copies] = self.truncated[copies] = False

    def count(
        self,
        copies: slice,
        resetting: NDArray[np.bool_],
        team: Array,
        cost: Array,
        moved: Array,
        fell: NDArray[np.bool_],
    ) -> None:
        """Enter one step of a group: team reward, costs ``[E/G, A]``, metres moved by the head, and who fell."""
        counted = ~resetting
        weight = counted.astype(np.float64)
        worst = cost.max(axis=1)
        self.age[copies] += counted
        self.length[copies] += counted
        self.team_return[copies] += team * weight
        self.team_cost[copies] += worst * weight
        self.distance[copies] += moved * weight
        self.cost[copies] += cost * weight[:, None]
        self.terminated[copies] = fell
        self.truncated[copies] = counted & ~fell & (self.age[copies] >= self._horizon)
        self._steps += int(counted.sum())
        self._sums["return"] += float((team * weight).sum())
        self._sums["cost_team"] += float((worst * weight).sum())
        self._sums["distance"] += float((moved * weight).sum())
        self._costs += (cost * weight[:, None]).sum(axis=0)
        self._falls += int(fell.sum())
        ended = np.arange(copies.start, copies.stop)[self.over[copies] & counted]
        for copy in ended[~self.shortened[ended]]:
            self._finished.append(
                [
                    self.team_return[copy],
                    self.team_cost[copy],
                    self.distance[copy],
                    float(self.length[copy]),
                    *self.cost[copy],
                ]
            )

    def take_figures(self) -> dict[str, Any]:
        """Means over the whole episodes that ended since the last call (``None`` where none did), and rates."""
        means = np.mean(self._finished, axis=0).tolist() if self._finished else None
        per_episode = self._horizon / max(self._steps, 1)
        figures = {
            "episodes": len(self._finished),
            "return_team": means[0] if means else None,
            "cost_team": means[1] if means else None,
            "distance": means[2] if means else None,
            "length": means[3] if means else None,
            "cost_agent": means[4:] if means else None,
            "return_rate": self._sums["return"] * per_episode,
            "cost_rate_team": self._sums["cost_team"] * per_episode,
            "cost_rate_agent": (self._costs * per_episode).tolist(),
            "distance_rate": self._sums["distance"] * per_episode,
            "steps": self._steps,
            "terminations": self._falls,
        }
        self._forget()
        return figures

    def _forget(self) -> None:
        self._finished: list[list[float]] = []
        self._sums = {"return": 0.0, "cost_team": 0.0, "distance": 0.0}
        self._costs = np.zeros(self._agents)
        self._steps = self._falls = 0

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything that outlives a round, for a snapshot."""
        return {f"episodes.{name}": getattr(self, name).copy() for name in _KEPT}

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """The inverse of ``arrays``."""
        for name in _KEPT:
            getattr(self, name)[:] = arrays[f"episodes.{name}"]
        self._forget()


_KEPT = (
    "number", "age", "terminated", "truncated", "shortened", "team_return", "team_cost", "distance", "length", "cost",
)  # fmt: skip
