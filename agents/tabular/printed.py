"""Eq. 16 as printed: own advantages, the constants of the theorem, the radius of Eq. 38.

The reward is the team's (the paper's joint R), ``A^i`` is condensed to N_k(i). Where the paper contradicts itself the
reading that favours it is taken: eta from the appendix, zeta halved so that it is total variation, nu_h in the radius,
h over the k-hop neighbours. Policies read k hops, so xi = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scalmarl.agents.tabular.games import Array
from scalmarl.agents.tabular.influence import influence, ranges, tail
from scalmarl.agents.tabular.turn import Turn
from scalmarl.agents.tabular.values import Solution, largest_divergence, total_variation

PRICES = (0.0, 0.5, 1.0, 2.0, 5.0)
RADII = tuple(10.0 ** (exponent / 2.0) for exponent in range(-20, 3))


@dataclass(frozen=True, eq=False)
class Constants:
    """``loss`` = eta' phi^k, ``cost_loss`` = eta'' phi^k; ``nu``, ``cost_nu`` ``[n]``."""

    loss: float
    cost_loss: float
    nu: Array
    cost_nu: Array


def printed_constants(start: Solution) -> Constants:
    """Both eta phi^k = 2 gamma zeta / (1 - gamma zeta) e^{-beta k} rng(f) at the best certified beta.

    nu = 2 gamma max |A_k| / (1 - gamma)^2 with the agent's own condensed advantage. Infinite loss: no certificate.
    """
    game = start.game
    decay = 2.0 * tail(influence(game), game, start.kappa)
    scale = 2.0 * game.gamma / (1.0 - game.gamma) ** 2
    nu, cost_nu = np.zeros(game.agents), np.zeros(game.agents)
    for agent in range(game.agents):
        advantage, _ = start.condensed(start.advantage(agent), game.neighbourhood(agent, start.kappa))
        nu[agent] = scale * np.abs(advantage[: game.agents].mean(axis=0)).max()
        cost_nu[agent] = scale * np.abs(advantage[game.agents + agent]).max()
    return Constants(decay * float(ranges(game.rewards).max()), decay * float(ranges(game.costs).max()), nu, cost_nu)


def printed_turn(start: Solution, agent: int, moved: dict[int, Array], constants: Constants) -> Turn:
    """One agent's Eq. 16; the new table is put into ``moved``.

    The argmax is sought over directions A - mu A_c (mu in ``PRICES``) and radii (``RADII``): greedy per state to the
    given Dmax. Only feasible points are taken, and none that is worth less than staying, where staying is worth
    -eta' phi^k; so whatever the theorem claims of the argmax it claims of the point that is taken.
    """
    game, old = start.game, start.tables[agent]
    near = game.neighbourhood(agent, start.kappa)
    full = start.advantage(agent)
    advantage, mass = start.condensed(full, near)
    reward, cost = advantage[: game.agents].mean(axis=0), advantage[game.agents + agent]
    spent = sum(largest_divergence(start.tables[h], table) for h, table in moved.items())
    owed = np.array([nu * spent if nu > 0.0 else 0.0 for nu in constants.cost_nu])
    room = game.limits - start.costs - owed
    radius = _radius(start, agent, moved, constants, room)
    best, best_table = 0.0, old
    # No policy at all can bring the own cost surrogate below this; if that is not enough the set is empty.
    least = float((mass * cost.min(axis=1)).sum())
    if least + constants.cost_loss > room[agent]:
        moved[agent] = old
        return Turn(agent, 0.0, 0.0, 0.0)
    for price in PRICES if np.isfinite(game.limits[agent]) else PRICES[:1]:
        target = np.eye(2)[np.argmax(reward - price * cost, axis=1)]
        # Only states where the direction matters move.
        target = np.where((np.ptp(reward - price * cost, axis=1) > 1e-12)[:, None], target, old)
        allowed = np.array([delta for delta in RADII if delta <= radius])
        candidates = list(toward_per_state(old, target, allowed))
        if not np.isfinite(radius) and constants.nu[agent] == 0.0:
            candidates.append(target)  # nothing penalises the step: the vertex itself
        for table in candidates:
            divergence = largest_divergence(old, table)
            gains = start.surrogate(agent, table, full)
            penalty = 0.0 if constants.nu[agent] == 0.0 else constants.nu[agent] * divergence
            worth = float(gains[: game.agents].mean()) - penalty
            cost_penalty = 0.0 if constants.cost_nu[agent] == 0.0 else constants.cost_nu[agent] * divergence
            needed = gains[game.agents + agent] + constants.cost_loss + cost_penalty
            if worth > best and (needed <= room[agent] or not np.isfinite(room[agent])):
                best, best_table = worth, table
    moved[agent] = best_table
    promised = best - constants.loss
    return Turn(agent, total_variation(old, best_table), largest_divergence(old, best_table), promised)


def toward_per_state(old: Array, target: Array, radii: Array) -> Array:
    """As ``toward``, each state by itself up to the same KL: what maximises L under a bound on Dmax; ``[R, L, U]``."""
    low, high = np.zeros((len(radii), len(old), 1)), np.ones((len(radii), len(old), 1))
    for _ in range(30):
        middle = 0.5 * (low + high)
        point = old + middle * (target - old)
        terms = old * (np.log(old) - np.log(np.maximum(point, 1e-300)))
        inside = terms.sum(axis=-1, keepdims=True) <= radii[:, None, None]
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.asarray(old + low * (target - old))


def _radius(start: Solution, agent: int, moved: dict[int, Array], constants: Constants, room: Array) -> float:
    """Eq. 38, over the k-hop neighbours."""
    game = start.game
    radius = np.inf
    for h in game.neighbourhood(agent, start.kappa):
        if h == agent or constants.cost_nu[h] == 0.0 or not np.isfinite(room[h]):
            continue
        left = room[h]
        if h in moved:
            own = start.surrogate(h, moved[h], start.advantage(h))[game.agents + h]
            left = left - own - constants.cost_loss
        radius = min(radius, left / constants.cost_nu[h])
    return float(radius)
