"""A round of the sequential update on tables: one code, with the switches of the variants.

The start of a round is solved exactly; every turn sees advantages of that policy, in the variants with a factor under
the new policies of the predecessors that it hears. The guaranteed variant is in ``guaranteed.py``, the accept test of
the product in ``accept_test.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scalmarl.agents import multiplier
from scalmarl.agents.tabular.accept_test import certain_move, exact_prices, exact_spends
from scalmarl.agents.tabular.games import Array, Game, Tables
from scalmarl.agents.tabular.guaranteed import guaranteed_round
from scalmarl.agents.tabular.printed import printed_constants, printed_turn
from scalmarl.agents.tabular.turn import Turn, toward
from scalmarl.agents.tabular.values import Solution, largest_divergence, solve, total_variation
from scalmarl.protocol.graph import clique_cover

FLOOR = 0.01
Covers = tuple[tuple[tuple[int, ...], ...], ...]
"""Of every h: the cliques that partition N_k(h)."""


@dataclass(frozen=True)
class Variant:
    """``step``: the clip of Eq. 20, the argmax of Eq. 16, or moves that pass the accept test.

    ``reward_terms`` ``team``: the paper's joint reward, here the mean of all r^l, as in A^i of Eqs. 6 to 8. ``radius``:
    as of the product; ``exact`` brings the product's accept test with it.
    """

    step: Literal["clip", "argmax", "accept"]
    factor: Literal["none", "neighbourhood"]
    cost_terms: Literal["own", "neighbourhood"]
    reward_terms: Literal["own", "neighbourhood", "team"]
    radius: Literal["off", "ledger", "exact"] = "off"


VARIANTS = {
    "printed": Variant("clip", "none", "own", "own"),
    "printed-team": Variant("clip", "none", "own", "team"),
    "exact": Variant("argmax", "none", "own", "team"),
    "neighbour-costs": Variant("clip", "neighbourhood", "neighbourhood", "neighbourhood"),
    "repaired": Variant("clip", "neighbourhood", "neighbourhood", "neighbourhood", "ledger"),
    "scal-mappo-l-exact": Variant("clip", "neighbourhood", "neighbourhood", "neighbourhood", "exact"),
    "guaranteed": Variant("accept", "neighbourhood", "neighbourhood", "neighbourhood"),
}


@dataclass(frozen=True)
class Settings:
    """``clip``: epsilon; ``kappa``: hops; ``rate``, ``largest``: of the multipliers; ``tv_cap``: the common radius;
    ``cost_truncation_error``: what ``radius`` ``exact`` takes off every slack."""

    kappa: int = 1
    clip: float = 0.2
    rate: float = 0.2
    largest: float = 20.0
    tv_cap: float = 0.05
    kl_max: float = 0.05
    cost_truncation_error: float = 0.0


def clipped_target(old: Array, advantage: Array, clip: float) -> Array:
    """The argmax of Eq. 20 nearest to ``old``, per state, for two actions; ``old``, ``advantage`` ``[L, 2]``.

    Both terms of E min(r A, clip(r) A) are flat once the better action has r >= 1 + eps and the other r <= 1 - eps; so
    its probability rises by eps max(p, 1 - p), as far as there is room (a floor of 0.01 keeps the KL finite).
    """
    gap = advantage[:, 0] - advantage[:, 1]
    first = old[:, 0] + np.sign(np.where(np.abs(gap) > 1e-12, gap, 0.0)) * clip * old.max(axis=1)
    first = np.clip(first, np.minimum(FLOOR, old[:, 0]), np.maximum(1.0 - FLOOR, old[:, 0]))
    return np.stack([first, 1.0 - first], axis=1)


def mixed_direction(
    game: Game, agent: int, advantage: Array, multipliers: Array, variant: Variant, near: tuple[int, ...]
) -> Array:
    """Sum of A_r - sum of lambda A_c, ``[L, U]``, for ``advantage`` ``[F, L, U]``."""
    agents = game.agents
    whose = {"own": (agent,), "neighbourhood": near, "team": tuple(range(agents))}
    rewards, costs = list(whose[variant.reward_terms]), list(whose[variant.cost_terms])
    priced = np.einsum("h,hlu->lu", multipliers[costs], advantage[[agents + h for h in costs]])
    # One's own reward counts fully, a sum by its mean share, as J does.
    return np.asarray(advantage[rewards].sum(axis=0) - priced)


def ledger_radius(
    start: Solution,
    agent: int,
    raised: NDArray[np.bool_],
    sensitivity: Array,
    spent: Array,
    covers: Covers,
) -> float:
    """Largest Dmax of a turn: the least 2 (left of h's share / sensitivity_h)^2 over h in N_k(i) whose cost rises.

    ``raised`` ``[n]``: does the turn raise J^h to first order; ``spent`` ``[n, n]``: by whom, of whose slack.
    """
    game = start.game
    slack = game.limits - start.costs
    radius = np.inf
    for h, left in left_of(start, agent, spent, covers).items():
        if raised[h] and np.isfinite(slack[h]):
            radius = min(radius, 2.0 * (max(0.0, left) / max(sensitivity[h], 1e-12)) ** 2)
    return float(radius)


def left_of(start: Solution, agent: int, spent: Array, covers: Covers, reserve: float = 0.0) -> dict[int, float]:
    """h in N_k(agent) -> what the agent's clique has left of its share of h's slack less ``reserve``."""
    slack = np.maximum(0.0, start.game.limits - start.costs - reserve)
    left = {}
    for h in start.game.neighbourhood(agent, start.kappa):
        mates = next(clique for clique in covers[h] if agent in clique)
        left[h] = float(slack[h] / len(covers[h]) - spent[h, list(mates)].sum())
    return left


def ledger_sensitivities(start: Solution) -> Array:
    """``[n]``: largest first-order change of J^h per unit of TV that one agent of N_k(h) can cause."""
    game = start.game
    result = np.zeros(game.agents)
    for agent in range(game.agents):
        gaps = np.ptp(start.advantage(agent)[game.agents :], axis=-1) @ start.visitation
        for h in game.neighbourhood(agent, start.kappa):
            result[h] = max(result[h], gaps[h])
    return result


def _clip_turns(
    start: Solution, multipliers: Array, variant: Variant, order: tuple[int, ...], settings: Settings
) -> tuple[dict[int, Array], list[Turn]]:
    game = start.game
    covers = clique_cover(tuple(_others(game, i, start.kappa) for i in range(game.agents)))
    sensitivity = ledger_sensitivities(start) if variant.radius == "ledger" else np.zeros(game.agents)
    prices = exact_prices(start) if variant.radius == "exact" else np.zeros(game.agents)
    spent = np.zeros((game.agents, game.agents))
    moved: dict[int, Array] = {}
    turns = []
    for agent in order:
        near = game.neighbourhood(agent, start.kappa)
        heard = {h: moved[h] for h in near if h in moved} if variant.factor == "neighbourhood" else {}
        full = start.advantage(agent, heard)
        advantage, _ = start.condensed(full, near)
        direction = mixed_direction(game, agent, advantage, multipliers, variant, near)
        old = start.tables[agent]
        new = clipped_target(old, direction, settings.clip)
        if variant.radius == "exact":
            left = left_of(start, agent, spent, covers, settings.cost_truncation_error)
            new = certain_move(start, agent, new, full, heard, left, prices, settings.kl_max)
            spends = exact_spends(start, agent, new, full, prices)
            spent[list(near), agent] = np.maximum(0.0, spends[list(near)])
        elif variant.radius == "ledger":
            raised = start.surrogate(agent, new, full)[game.agents :] > 0
            radius = min(settings.kl_max, ledger_radius(start, agent, raised, sensitivity, spent, covers))
            new = toward(old, new, radius)
            for h in near:
                rises = start.surrogate(agent, new, full)[game.agents + h] > 0
                spent[h, agent] = sensitivity[h] * np.sqrt(largest_divergence(old, new) / 2.0) if rises else 0.0
        moved[agent] = new
        turns.append(Turn(agent, total_variation(old, new), largest_divergence(old, new), 0.0))
    return moved, turns


def _others(game: Game, agent: int, kappa: int) -> tuple[int, ...]:
    return tuple(other for other in game.neighbourhood(agent, kappa) if other != agent)


def play_round(
    game: Game, tables: Tables, multipliers: Array, variant: Variant, order: tuple[int, ...], settings: Settings
) -> tuple[Tables, list[Turn]]:
    """All turns of one round in ``order``; the new joint policy and what each turn did."""
    start = solve(game, settings.kappa, tables)
    if variant.step == "accept":
        return guaranteed_round(start, multipliers, order, settings.tv_cap)
    if variant.step == "argmax":
        constants = printed_constants(start)
        moved: dict[int, Array] = {}
        turns = [printed_turn(start, agent, moved, constants) for agent in order]
    else:
        moved, turns = _clip_turns(start, multipliers, variant, order, settings)
    return tuple(moved.get(agent, table) for agent, table in enumerate(tables)), turns


def next_multipliers(game: Game, costs: Array, multipliers: Array, settings: Settings) -> Array:
    """The product's rule, one step a round; ``costs`` and result ``[n]``. Without a limit the multiplier stays 0."""
    pairs = zip(multipliers, costs, game.limits, strict=True)
    return np.array([
        multiplier.step(float(old), float(cost), float(limit), settings.rate, multiplier.SAMPLES_PER_STEP,
                        settings.largest) if np.isfinite(limit) else 0.0
        for old, cost, limit in pairs
    ])  # fmt: skip


@dataclass(frozen=True, eq=False)
class History:
    """A run: ``team`` ``[R + 1]``, ``costs`` and ``multipliers`` ``[R + 1, n]`` before each round and at the end."""

    team: Array
    costs: Array
    multipliers: Array
    turns: list[list[Turn]]
    policies: list[Tables]

    @property
    def decreases(self) -> Array:
        """How much J fell, for each round in which it fell by more than rounding."""
        change = np.diff(self.team)
        return np.asarray(-change[change < -1e-10])

    def feasible(self, limits: Array) -> NDArray[np.bool_]:
        """``[R]``: did the round begin with every limit kept."""
        return np.asarray((self.costs[:-1] <= limits + 1e-10).all(axis=1))

    def broken(self, limits: Array) -> list[tuple[int, int]]:
        """(round, h) of every J^h that passed its limit in a ``feasible`` round."""
        over = self.costs[1:] - limits > 1e-10
        return [(int(round), int(h)) for round, h in np.argwhere(over & self.feasible(limits)[:, None])]

    def violations(self, limits: Array) -> Array:
        """J^h - c^h of everything ``broken``."""
        return np.array([self.costs[round + 1, h] - limits[h] for round, h in self.broken(limits)])


def play(
    game: Game, tables: Tables, name: str, orders: list[tuple[int, ...]], settings: Settings, first: float = 0.0
) -> History:
    """``len(orders)`` rounds of variant ``name``; the multipliers start at ``first`` and follow each round's costs."""
    multipliers = np.full(game.agents, first)
    team, costs, prices, turns, policies = [], [], [multipliers], [], [tables]
    for order in orders:
        solution = solve(game, settings.kappa, tables)
        team.append(solution.team)
        costs.append(solution.costs)
        multipliers = next_multipliers(game, solution.costs, multipliers, settings)
        tables, done = play_round(game, tables, multipliers, VARIANTS[name], order, settings)
        turns.append(done)
        prices.append(multipliers)
        policies.append(tables)
    last = solve(game, settings.kappa, tables)
    return History(np.array([*team, last.team]), np.array([*costs, last.costs]), np.array(prices), turns, policies)
