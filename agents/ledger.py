"""The ledger of slack: how far a step may go before it endangers a cost limit in the neighbourhood.

Agent h's slack for a cost may be spent by all of N_kappa(h), and not all of these hear one another. So it is split
evenly over cliques that cover N_kappa(h) (``Plan.cliques``); inside a clique everybody hears what was spent before.
This is the radius of Eq. 38 with what Zhang et al. leave open made local: docs/algorithms.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scalmarl.protocol.kinds import TURN_FIGURES, Value, turn_surrogates
from scalmarl.protocol.plan import Plan

BISECTIONS = 4
"""Of a step that breaks a bound, or whose gain is not certain, before the old policy is kept."""
SENSITIVITY_WEIGHT = 0.1
SENSITIVITY_RANGE = (1e-3, 1e5)


@dataclass(frozen=True)
class Step:
    """What a step of one policy does, measured on the whole batch.

    ``gains``: mean((ratio - 1) * A) of (agent h, cost j), what the step does to h's cost per control step.
    """

    kl_mean: float
    kl_max: float
    gains: Mapping[tuple[int, int], float]


@dataclass(frozen=True)
class Allowance:
    """What one agent may still spend of the slack of cost ``cost`` of agent ``agent``.

    A first-order allowance prices a step by total variation: ``price * sqrt(mean KL / 2)``, where ``price`` is the
    measured sensitivity; it applies to a step that raises the cost. An exact one prices it by the theorem:
    ``gain / (1 - gamma) + price * max KL``, where ``price`` is nu; it applies to every step.
    """

    agent: int
    cost: int
    left: float
    price: float
    gamma: float | None = None

    @property
    def radius(self) -> float:
        """The largest KL that the rest pays for, nats; 0 when nothing is left."""
        if self.price <= 0.0:
            return math.inf if self.left > 0.0 else 0.0
        share = max(self.left, 0.0) / self.price
        return share if self.gamma is not None else 2.0 * share**2

    def spends(self, step: Step) -> float:
        """What a step costs; 0 for a step that this allowance does not bound."""
        gain = step.gains[self.agent, self.cost]
        if self.gamma is not None:
            return gain / (1.0 - self.gamma) + self.price * step.kl_max
        return self.price * math.sqrt(max(step.kl_mean, 0.0) / 2.0) if gain > 0.0 else 0.0


def theorem_price(gamma: float, largest_advantage: float) -> float:
    """nu = 2 gamma max|A| / (1 - gamma)^2 of Prop. 3.5 and Cor. 3.6, per nat of the largest KL."""
    return 2.0 * gamma * largest_advantage / (1.0 - gamma) ** 2


def allowances(
    plan: Plan,
    me: int,
    slacks: Mapping[int, Value],
    turns: Mapping[int, Value],
    gamma: float | None = None,
) -> list[Allowance]:
    """What ``me`` may spend of every slack that it heard of, after its clique's predecessors spent theirs.

    ``slacks``: h -> ``[m, 3]`` (slack, price, multiplier) of every h in N_kappa(me); ``turns``: predecessors' turns;
    ``gamma``: for allowances with the theorem's constants.
    """
    steps = {h: told_step(plan, h, turn) for h, turn in turns.items()}
    found = []
    for h, slack in sorted(slacks.items()):
        clique = next(group for group in plan.cliques[h] if me in group)
        for j, (whole, price, _) in enumerate(slack.astype(float)):
            share = Allowance(h, j, whole / len(plan.cliques[h]), price, gamma)
            spent = sum(max(share.spends(steps[m]), 0.0) for m in clique if m in steps)
            found.append(Allowance(h, j, share.left - spent, price, gamma))
    return found


def told_step(plan: Plan, agent: int, turn: Value) -> Step:
    """The step that an agent's published turn tells of."""
    figures = turn[plan.samples :].astype(float)
    gains = dict(zip(turn_surrogates(plan, agent), figures[TURN_FIGURES:].tolist()))
    return Step(float(figures[0]), float(figures[1]), gains)


def told_allowance(allowance: Allowance | None) -> dict[str, float | None] | None:
    """An allowance as figures of a round; a radius without an end is ``None``."""
    if allowance is None:
        return None
    radius = allowance.radius if math.isfinite(allowance.radius) else None
    return {
        "agent": allowance.agent, "cost": allowance.cost, "left": allowance.left, "price": allowance.price,
        "radius": radius,
    }  # fmt: skip


@dataclass(frozen=True)
class Bounds:
    """Everything that bounds one turn. ``breached`` names the first bound that a step breaks.

    ``kl_max`` bounds every step. A first-order allowance bounds it between ``kl_min`` and ``kl_max``; where ``kl_min``
    is what stops the step, the allowance was smaller and its promise is void for this turn. Exact allowances have no
    floor.
    """

    kl_max: float
    kl_min: float
    allowances: tuple[Allowance, ...] = ()

    def breached(self, step: Step) -> str | None:
        """``kl_max``, ``kl_min`` or ``slack of 3`` (of agent 3); ``None`` where the step keeps all bounds."""
        if not step.kl_mean <= self.kl_max:
            return "kl_max"
        for allowance in self.allowances:
            floored = allowance.gamma is None and step.kl_mean <= self.kl_min
            if allowance.spends(step) > max(allowance.left, 0.0) and not floored:
                void = allowance.gamma is None and allowance.radius < self.kl_min
                return "kl_min" if void else f"slack of {allowance.agent}"
        return None

    def radius(self, step: Step) -> float:
        """The smallest bound on mean KL that held for this step, nats."""
        tightest = self.tightest(step)
        if tightest is None:
            return self.kl_max
        floor = self.kl_min if tightest.gamma is None else 0.0
        return min(self.kl_max, max(tightest.radius, floor))

    def tightest(self, step: Step) -> Allowance | None:
        """The allowance that left this step the least; ``None`` where none bounded it."""
        binding = [a for a in self.allowances if a.gamma is not None or step.gains[a.agent, a.cost] > 0.0]
        return min(binding, key=lambda allowance: allowance.radius, default=None)


def moved_sensitivity(old: float, turns: Sequence[Step], of: tuple[int, int], horizon: int) -> float:
    """The running mean of |change of a cost per episode| / sqrt(mean KL / 2) over the ``turns`` heard in a round.

    A cost's gain is per control step, so ``horizon`` of them make an episode. A turn that did not move says nothing.
    """
    seen = [horizon * abs(step.gains[of]) / math.sqrt(step.kl_mean / 2.0) for step in turns if step.kl_mean > 0.0]
    if not seen:
        return old
    new = old + SENSITIVITY_WEIGHT * (sum(seen) / len(seen) - old)
    return min(max(new, SENSITIVITY_RANGE[0]), SENSITIVITY_RANGE[1])
