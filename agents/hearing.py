"""What an agent heard in a round, as its turn reads it: the switches of the algorithm say what of it counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scalmarl.agents.ledger import Bounds, allowances
from scalmarl.agents.policy_update import predecessor_factor
from scalmarl.agents.settings import LearnerSettings
from scalmarl.protocol.kinds import Value, turn_surrogates
from scalmarl.protocol.plan import Plan

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Hearing:
    """``advantages`` and ``slacks`` of those heard and of ``me``, the predecessors' ``turns``; ``valid`` ``[T, E]``."""

    plan: Plan
    me: int
    settings: LearnerSettings
    valid: NDArray[np.bool_]
    advantages: Mapping[int, Value]
    slacks: Mapping[int, Value]
    turns: Mapping[int, Value]

    @cached_property
    def rewards(self) -> list[Array]:
        """The raw reward advantages ``[T, E]`` that are summed."""
        summed = sorted(self.advantages) if self.settings.reward_terms == "neighbourhood" else [self.me]
        return [self._advantage(h, 0) for h in summed]

    def charged_costs(self) -> list[tuple[float, Array]]:
        """(multiplier, raw cost advantage ``[T, E]``) of every cost that the mixed advantage charges."""
        return [
            (float(self.slacks[h][j, 2]), self._advantage(h, 1 + j))
            for h in self._charged()
            for j in range(self.plan.costs(h))
        ]

    def _charged(self) -> list[int]:
        if self.settings.cost_terms == "none":
            return []
        # A cost that everybody is given a copy of is charged once, by its owner.
        shared = self.plan.task.shares_cost
        return [self.me] if shared or self.settings.cost_terms == "own" else sorted(self.advantages)

    def measured_rewards(self) -> Array:
        """The summed reward advantage ``[B]`` by which the turn's gain is measured."""
        total: Array = np.sum(self.rewards, axis=0).reshape(-1) * self._weight()
        return total

    def measured_costs(self) -> dict[tuple[int, int], Array]:
        """Advantages ``[B]`` of every cost (agent h, j) whose change this turn measures."""
        weight = self._weight()
        return {(h, j): self._advantage(h, 1 + j).reshape(-1) * weight for h, j in turn_surrogates(self.plan, self.me)}

    def _weight(self) -> Array | float:
        # A bound with the theorem's constants is about the policy of the moment, predecessors' moves included.
        return self.factor if self.settings.radius == "exact" else 1.0

    def centred_cost(self, j: int) -> Array:
        """The own j-th cost advantage ``[B]``, centred over the valid samples, 0 elsewhere."""
        advantage = self._advantage(self.me, 1 + j)
        middle = float(advantage[self.valid].mean()) if self.valid.any() else 0.0
        return np.where(self.valid, advantage - middle, 0.0).reshape(-1)

    @cached_property
    def factor(self) -> Array:
        """Product of the predecessors' ratios ``[B]``, or ones."""
        samples, settings = self.plan.samples, self.settings
        counted = sorted(self.turns) if settings.factor == "neighbourhood" else []
        log_ratios = [self.turns[h][:samples].astype(np.float64) for h in counted]
        return predecessor_factor(log_ratios, settings.log_factor_limit, samples)

    def bounds(self) -> Bounds:
        """Everything that bounds the turn."""
        settings = self.settings
        if settings.radius == "off":
            return Bounds(settings.kl_max, settings.kl_min)
        gamma = settings.gamma if settings.radius == "exact" else None
        found = allowances(self.plan, self.me, self.slacks, self.turns, gamma)
        return Bounds(settings.kl_max, settings.kl_min, tuple(found))

    def _advantage(self, h: int, signal: int) -> Array:
        advantage: Array = self.advantages[h][signal].reshape(self.valid.shape).astype(np.float64)
        return advantage
