"""The algorithms by name: one update with switches, and MACPO's as the second; and what each must exchange.

Every name is a row of switches, nothing else: no other file asks for a name. docs/algorithms.md has the equations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Hears = Literal["kappa", "all", "own"]
Factor = Literal["neighbourhood", "none"]
CostTerms = Literal["neighbourhood", "own", "none"]
RewardTerms = Literal["neighbourhood", "own", "team"]
Radius = Literal["ledger", "exact", "off"]
Update = Literal["clip", "trust_region"]


@dataclass(frozen=True)
class Switches:
    """What distinguishes one algorithm's update from another's.

    ``factor``: multiply by the ratios of the predecessors that are heard; ``cost_terms``: whose costs the advantage
    charges; ``reward_terms``: whose reward advantages it sums (``team``: own estimate of the team's reward);
    ``radius``: where the bound of a step comes from besides ``kl_max``; ``accept``: keep the old policy unless a lower
    bound of the gain exceeds ``truncation_error``; ``update``: clipped steps on a Lagrangian, or a constrained
    trust-region step.
    """

    factor: Factor
    cost_terms: CostTerms
    reward_terms: RewardTerms
    radius: Radius = "off"
    accept: bool = False
    update: Update = "clip"

    def exchanged(self) -> tuple[str, ...]:
        """The kinds of values besides states that agents must tell one another (``protocol.kinds``)."""
        kinds = {
            "advantage": "neighbourhood" in (self.cost_terms, self.reward_terms),
            "slack": self.cost_terms == "neighbourhood",
            "turn": self.factor == "neighbourhood" or self.radius != "off",
        }
        return tuple(kind for kind, needed in kinds.items() if needed)

    def contradiction(self, reward_mode: str, gamma: float) -> str | None:
        """Why these switches cannot go together, or with the task's rewards or the discount; or ``None``."""
        if self.radius != "off" and self.cost_terms != "neighbourhood":
            return f"radius {self.radius} is made of the neighbours' slack; it needs cost_terms neighbourhood"
        if self.accept and self.radius != "exact":
            return "accept tests a bound with the theorem's constants; it needs radius exact"
        if self.update == "trust_region" and (self.cost_terms == "neighbourhood" or self.radius != "off"):
            return "the trust-region step has one constraint, its own; it needs cost_terms own or none, and radius off"
        if self.reward_terms == "team" and reward_mode != "team":
            return f"reward_terms team needs the team's reward, not {reward_mode} ones; add --reward team"
        if self.radius == "exact" and gamma >= 1.0:
            return "radius exact divides by 1 - gamma; set learner.gamma below 1"
        return None


@dataclass(frozen=True)
class Algorithm:
    """A name. ``hears``: whose states policy and critics read: kappa hops, all agents, or the own block alone."""

    name: str
    hears: Hears
    switches: Switches
    source: str

    def switched(self, chosen: Mapping[str, Any]) -> Switches:
        """The switches with those that were chosen one by one (``None``: not chosen)."""
        return replace(self.switches, **{name: value for name, value in chosen.items() if value is not None})


_ALL = (
    Algorithm(
        "scal-mappo-l", "kappa", Switches("neighbourhood", "neighbourhood", "neighbourhood", "ledger"),
        "Zhang et al. 2024, repaired: the neighbourhood's rewards, costs, ratios and slack count",
    ),
    Algorithm("scal-mappo-l-printed", "kappa", Switches("none", "own", "own"), "Zhang et al. 2024, Eq. 20 as printed"),
    Algorithm(
        "scal-mappo-l-exact", "kappa",
        Switches("neighbourhood", "neighbourhood", "neighbourhood", "exact", accept=True),
        "as the first, with the theorem's constants and an accept test; for small gamma",
    ),
    Algorithm("mappo-l", "all", Switches("neighbourhood", "own", "team"), "Gu et al. 2021, MAPPO-Lagrangian"),
    Algorithm(
        "macpo", "all", Switches("neighbourhood", "own", "team", update="trust_region"), "Gu et al. 2021, MACPO"
    ),
    Algorithm("happo", "all", Switches("neighbourhood", "none", "team"), "Kuba et al. 2022; no costs"),
    Algorithm("mappo", "all", Switches("none", "none", "team"), "Yu et al. 2022; no costs"),
    Algorithm("ippo", "own", Switches("none", "none", "own"), "de Witt et al. 2020; no costs"),
)  # fmt: skip

ALGORITHMS: dict[str, Algorithm] = {algorithm.name: algorithm for algorithm in _ALL}
