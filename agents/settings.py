"""What an agent's learner can be told. Defaults live in ``launch.config`` alone, but for what older plans lack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scalmarl.agents.algorithms import CostTerms, Factor, Radius, RewardTerms, Update

BEFORE = {"cost_truncation_error": 0.0}
"""What was done before a plan said so."""


@dataclass(frozen=True)
class LearnerSettings:
    """Meaning and units of each setting: ``launch.config.LearnerConfig``."""

    factor: Factor
    cost_terms: CostTerms
    reward_terms: RewardTerms
    radius: Radius
    accept: bool
    update: Update
    hidden: tuple[int, ...]
    initial_std: float
    policy_lr: float
    critic_lr: float
    policy_epochs: int
    critic_epochs: int
    minibatches: int
    clip: float
    kl_max: float
    kl_min: float
    truncation_error: float
    cost_truncation_error: float
    cg_iterations: int
    cg_damping: float
    gradient_norm: float
    gamma: float
    gae_lambda: float
    log_factor_limit: float
    observation_limit: float
    value_weight: float
    value_std_floor: float
    cost_std_floor: float
    multiplier_start: float
    multiplier_rate: float
    multiplier_max: float

    @property
    def has_multipliers(self) -> bool:
        """Whether costs are priced by multipliers: not where none count, nor where they are constraints of the step."""
        return self.cost_terms != "none" and self.update == "clip"

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> LearnerSettings:
        """From the plan's ``learner``; one that was written before a setting existed has what was done then."""
        return cls(**{**BEFORE, **data, "hidden": tuple(data["hidden"])})
