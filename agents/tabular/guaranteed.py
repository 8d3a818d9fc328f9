"""The guaranteed variant: every single move passes an accept test whose bounds are proved (docs/theory.md).

Let pi be the joint policy at agent m's turn, its predecessors' moves included, pibar the same with pi^m moved, and
g(s) = sum_a (pibar^m - pi^m)(a|s) A^m_f(s, a). Then with tau = max_s TV

    | J_f(pibar) - J_f(pi) - sum_s rho(s) g(s) |  <=  gamma tau / (1 - gamma)^2 (max g - min g)          (Lemma 2)
    | J_f^l(pibar) - J_f^l(pi) |                  <=  tau rng(f^l) B_lm / (1 - gamma)                    (Lemma 3)

The first is used for what m hears of, the second for everybody else. Nothing is assumed about what is not computed.
"""

from __future__ import annotations

import numpy as np

from scalmarl.agents.tabular.games import Array, Game, Tables
from scalmarl.agents.tabular.influence import action_certificate, ranges
from scalmarl.agents.tabular.turn import Turn
from scalmarl.agents.tabular.values import Solution, expanded, largest_divergence, solve, total_variation
from scalmarl.protocol.graph import clique_cover

HALVINGS = 8
PRICES = (0.0, 1.0, 4.0)


def move_bounds(solution: Solution, agent: int, table: Array, advantage: Array) -> tuple[Array, Array]:
    """Surrogate and remainder of Lemma 2 for every row of ``advantage`` ``[G, S, U]``: two arrays ``[G]``."""
    game = solution.game
    change = expanded(game, solution.kappa, agent, table - solution.tables[agent])
    effect = np.einsum("su,gsu->gs", change, advantage)
    moved = total_variation(solution.tables[agent], table)
    scale = game.gamma * moved / (1.0 - game.gamma) ** 2
    return effect @ solution.visitation, scale * np.ptp(effect, axis=1)


def far_reserves(game: Game, kappa: int, decay: Array, cap: float) -> Array:
    """T_h ``[n]``: what all agents outside N_k(h) together may do to J^h in a round of moves of TV <= ``cap``."""
    far = game.distances > kappa
    return np.asarray(cap * ranges(game.costs) / (1.0 - game.gamma) * (decay * far).sum(axis=1))


def certified_gain(solution: Solution, agent: int, table: Array, advantage: Array, decay: Array) -> float:
    """Lower bound of J(pibar) - J(pi): the rewards heard by Lemma 2, all others by Lemma 3, over n."""
    game = solution.game
    near = game.neighbourhood(agent, solution.kappa)
    far = [other for other in range(game.agents) if other not in near]
    surrogate, remainder = move_bounds(solution, agent, table, advantage[list(near)].sum(axis=0, keepdims=True))
    moved = total_variation(solution.tables[agent], table)
    unheard = moved / (1.0 - game.gamma) * (ranges(game.rewards)[far] * decay[far, agent]).sum()
    return float((surrogate[0] - remainder[0] - unheard) / game.agents)


def certified_spends(solution: Solution, agent: int, table: Array, advantage: Array) -> Array:
    """Upper bound of how much J^h rises, ``[n]``, at least 0; meant for the h in N_k(m)."""
    surrogate, remainder = move_bounds(solution, agent, table, advantage[solution.game.agents :])
    return np.asarray(np.maximum(0.0, surrogate + remainder))


def guaranteed_round(
    start: Solution, multipliers: Array, order: tuple[int, ...], cap: float
) -> tuple[Tables, list[Turn]]:
    """One round. A share of h's slack is (c - J^h - T_h) / cliques, never negative; who is refused does not move.

    If the slack of h is below T_h, h says so to everybody, and in this round nobody outside N_k(h) that can reach it
    moves: one bit, the only thing here that must travel beyond N_k.
    """
    game, kappa = start.game, start.kappa
    decay = action_certificate(game, kappa, start.tables, margin=cap)
    reserve = far_reserves(game, kappa, decay, cap)
    slack = game.limits - start.costs
    short = slack < reserve
    covers = clique_cover(tuple(tuple(o for o in game.neighbourhood(i, kappa) if o != i) for i in range(game.agents)))
    share = np.array([max(0.0, slack[h] - reserve[h]) / len(covers[h]) for h in range(game.agents)])
    spent = np.zeros((game.agents, game.agents))
    tables, turns = start.tables, []
    for agent in order:
        near = game.neighbourhood(agent, kappa)
        far = game.distances[:, agent] > kappa
        vetoed = bool((short & far & (decay[:, agent] > 0)).any())
        left = np.full(game.agents, np.inf)
        for h in near:
            mates = next(clique for clique in covers[h] if agent in clique)
            left[h] = share[h] - spent[h, list(mates)].sum()
        solution = start if tables is start.tables else solve(game, kappa, tables)
        table, gain, spends = tables[agent], 0.0, np.zeros(game.agents)
        if not vetoed:
            table, gain, spends = _best_move(solution, agent, multipliers, left, decay, cap)
        spent[list(near), agent] = spends[list(near)]
        old = tables[agent]
        turns.append(Turn(agent, total_variation(old, table), largest_divergence(old, table), gain))
        if gain > 0.0:
            tables = tuple(table if other == agent else kept for other, kept in enumerate(tables))
    return tables, turns


def _best_move(
    solution: Solution, agent: int, multipliers: Array, left: Array, decay: Array, cap: float
) -> tuple[Array, float, Array]:
    """The accepted candidate of largest certified gain, or the old table: directions by price, sizes by halving."""
    game, old = solution.game, solution.tables[agent]
    near = game.neighbourhood(agent, solution.kappa)
    full = solution.advantage(agent)
    advantage, _ = solution.condensed(full, near)
    best = (old, 0.0, np.zeros(game.agents))
    reward = advantage[list(near)].sum(axis=0)
    cost = np.einsum("h,hlu->lu", 1.0 + multipliers[list(near)], advantage[[game.agents + h for h in near]])
    for price in PRICES:
        gap = reward - price * cost
        slope = gap[:, :1] - gap[:, 1:]
        unit = np.concatenate([slope, -slope], axis=1) / max(float(np.abs(slope).max()), 1e-12)
        for halving in range(HALVINGS):
            table = np.clip(old + cap * 0.5**halving * unit, 0.0, 1.0)
            gain = certified_gain(solution, agent, table, full, decay)
            spends = certified_spends(solution, agent, table, full)
            if gain > best[1] and gain > 1e-12 and all(spends[h] <= left[h] for h in near):
                best = (table, gain, spends)
    return best
