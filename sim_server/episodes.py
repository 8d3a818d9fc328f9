"""Episodes of every copy: ages, ends, and the figures that are reported. Pure NumPy, sums in copy order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Copies = NDArray[np.int64]

LENGTH, RETURN_TEAM, COST_TEAM, DISTANCE = range(4)
"""Columns of ``Episodes.sums``; then every agent's return, and every agent's costs."""
_OWN = 4


class Episodes:
    """``E`` copies' episodes of at most ``horizon`` control steps; agent i has ``costs[i]`` costs (default: one each).

    ``sums`` ``[E, 4 + A + C]`` is what each copy's episode has amounted to. ``over`` ``[E]``: the last observation
    ended an episode, by a fall (``terminated``) or at the horizon (``truncated``); the copy is reset at its next step.
    With ``staggered`` copy e starts at age floor(e * horizon / E), so that episodes end evenly; such a shortened first
    episode is left out of the figures.
    """

    def __init__(
        self, copies: int, agents: int, horizon: int, staggered: bool = True, costs: Sequence[int] | None = None
    ) -> None:
        self._costs = tuple(costs or (1,) * agents)
        self._agents, self._horizon, self._copies, self._staggered = agents, horizon, copies, staggered
        self.number = np.full(copies, -1, np.int64)
        self.began_at = np.zeros(copies, np.int64)
        self.terminated, self.truncated, self.over = (np.zeros(copies, bool) for _ in range(3))
        self._longest = np.full(copies, float(horizon))
        self.sums = np.zeros((copies, _OWN + agents + sum(self._costs)))
        self._forget()

    @property
    def age(self) -> Array:
        """``[E]``: control steps of the episode so far, a staggered start included."""
        ages: Array = self.began_at + self.sums[:, LENGTH]
        return ages

    @property
    def length(self) -> Array:
        """``[E]``: control steps since the copy was reset."""
        return self.sums[:, LENGTH]

    def begin(self, copies: Copies) -> None:
        """New episodes; the very first ones begin at staggered ages."""
        first = self.number[copies] < 0
        self.number[copies] += 1
        self.began_at[copies] = np.where(first, copies * self._horizon // self._copies, 0) if self._staggered else 0
        self._longest[copies] = self._horizon - self.began_at[copies]
        self.sums[copies] = 0.0
        self.terminated[copies] = self.truncated[copies] = self.over[copies] = False

    def count(
        self,
        copies: slice,
        rewards: Array,
        costs: Array,
        moved: Array,
        fell: Bools | None = None,
        resetting: Bools | None = None,
        cut: Bools | None = None,
    ) -> Array:
        """Enter one step of a group: every agent's own reward ``[E/G, A]``, costs ``[E/G, C]`` (or ``[E/G, 1]``, the
        same for all), metres travelled, who fell (``None``: nobody can), which copies were reset instead (``None``:
        none), of which nothing is counted, and whose episode the world itself truncated (``None``: none). Returns the
        team reward ``[E/G]``."""
        step = np.empty((len(moved), self.sums.shape[1]))
        step[:, LENGTH] = 1.0
        team: Array = rewards.sum(axis=1)
        step[:, RETURN_TEAM] = team
        step[:, COST_TEAM] = costs[:, 0] if costs.shape[1] == 1 else costs.max(axis=1)
        step[:, DISTANCE] = moved
        step[:, _OWN : _OWN + self._agents] = rewards
        step[:, _OWN + self._agents :] = costs
        if resetting is not None:
            step[resetting] = 0.0
            fell = None if fell is None else fell & ~resetting
        sums = self.sums[copies]
        sums += step
        self._round += step.sum(axis=0)
        ended = sums[:, LENGTH] >= self._longest[copies]
        if cut is not None:
            ended |= cut
        if resetting is not None:
            ended &= ~resetting
        if fell is not None:
            self.terminated[copies] = fell
            self.truncated[copies] = ended & ~fell
            ended |= fell
        else:
            self.truncated[copies] = ended
        self.over[copies] = ended
        if ended.any():
            self._finish(np.flatnonzero(ended) + copies.start)
        return team

    def _finish(self, ended: Copies) -> None:
        self._falls += int(self.terminated[ended].sum())
        whole = (self.number[ended] > 0) | (self.began_at[ended] == 0)
        self._finished += [row.copy() for row in self.sums[ended[whole]]]

    def take_figures(self) -> dict[str, Any]:
        """Means over the whole episodes that ended since the last call (``None`` where none did), and rates."""
        means = np.mean(self._finished, axis=0).tolist() if self._finished else None
        steps = int(self._round[LENGTH])
        rates = (self._round * (self._horizon / max(steps, 1))).tolist()
        figures = {
            "episodes": len(self._finished),
            "return_team": means[RETURN_TEAM] if means else None,
            "cost_team": means[COST_TEAM] if means else None,
            "distance": means[DISTANCE] if means else None,
            "length": means[LENGTH] if means else None,
            "cost_agent": self._by_agent(means[_OWN + self._agents :]) if means else None,
            "return_rate": rates[RETURN_TEAM],
            "cost_rate_team": rates[COST_TEAM],
            "cost_rate_agent": self._by_agent(rates[_OWN + self._agents :]),
            "distance_rate": rates[DISTANCE],
            "steps": steps,
            "terminations": self._falls,
        }
        self._forget()
        return figures

    def finished(self, copy: int) -> dict[str, Any]:
        """What the episode of a copy, which is over, amounted to."""
        sums = self.sums[copy].tolist()
        return {
            "length": int(sums[LENGTH]),
            "return_team": sums[RETURN_TEAM],
            "cost_team": sums[COST_TEAM],
            "distance": sums[DISTANCE],
            "return_agent": sums[_OWN : _OWN + self._agents],
            "cost_agent": self._by_agent(sums[_OWN + self._agents :]),
            "terminated": bool(self.terminated[copy]),
            "truncated": bool(self.truncated[copy]),
        }

    def _by_agent(self, costs: list[float]) -> list[Any]:
        """A number per agent, or, where any has several costs, a list per agent."""
        if all(count == 1 for count in self._costs):
            return costs
        ends = np.cumsum(self._costs).tolist()
        return [costs[start:end] for start, end in zip([0, *ends], ends)]

    def _forget(self) -> None:
        self._finished: list[Array] = []
        self._round = np.zeros(self.sums.shape[1])
        self._falls = 0

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything that outlives a round, for a snapshot."""
        return {f"episodes.{name}": getattr(self, name).copy() for name in _KEPT}

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """The inverse of ``arrays``."""
        for name in _KEPT:
            getattr(self, name)[:] = arrays[f"episodes.{name}"]
        self.over[:] = self.terminated | self.truncated
        self._longest[:] = self._horizon - self.began_at
        self._forget()


_KEPT = ("number", "began_at", "terminated", "truncated", "sums")
