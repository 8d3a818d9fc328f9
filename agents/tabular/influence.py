"""Who influences whom, in total variation, and what follows for values: the certificate of decay.

W^{ij} is how far agent j's (s, a) can move the law of agent i's next state. A policy that reads its neighbours adds
influence: with Pi^{im} = how far s^m can move pi^i, the closed loop has C = (I + Pi) W, Pi off the diagonal. Then for
f^i of agent i's own (s, a):  osc_j Q_i <= rng(f^i) D_ij,  D = (I - gamma C)^-1  if the spectral radius of gamma C is
below 1 (docs/theory.md, Lemma 1), and always  D_ij <= gamma^ceil(d / (k + 1)) / (1 - gamma), the speed of spreading.
"""

from __future__ import annotations

import numpy as np

from scalmarl.agents.tabular.games import ACTIONS, Array, Game, Tables


def influence(game: Game) -> Array:
    """W in total variation, ``[n, n]``: the supremum is over all of z^j, z'^j and the others' z."""
    agents = game.agents
    cells = (game.states,) * agents + (ACTIONS,) * agents
    result = np.zeros((agents, agents))
    for agent, kernel in enumerate(game.kernels):
        for other in range(agents):
            table = np.moveaxis(kernel.reshape(*cells, game.states), (other, agents + other), (0, 1))
            table = table.reshape(game.states * ACTIONS, -1, game.states)
            apart = np.abs(table[:, None] - table[None, :]).sum(axis=-1)
            result[agent, other] = 0.5 * apart.max()
    return result


def policy_influence(game: Game, kappa: int, tables: Tables) -> Array:
    """Pi ``[n, n]``: sup over s^m, s'^m and the other states of TV of pi^i; the diagonal is left 0."""
    result = np.zeros((game.agents, game.agents))
    for agent, table in enumerate(tables):
        members = game.neighbourhood(agent, kappa)
        cells = table.reshape(*(game.states,) * len(members), ACTIONS)
        for place, other in enumerate(members):
            if other != agent:
                moved = np.moveaxis(cells, place, 0)
                result[agent, other] = 0.5 * np.abs(moved[:, None] - moved[None, :]).sum(axis=-1).max()
    return result


def closed_loop(game: Game, kappa: int, tables: Tables, margin: float = 0.0) -> Array:
    """C = (I + Pi) W, for all policies whose every agent is within ``margin`` in TV of ``tables``: Pi + 2 margin."""
    readers = (game.distances <= kappa) & ~np.eye(game.agents, dtype=bool)
    policy = np.minimum(1.0, policy_influence(game, kappa, tables) + 2.0 * margin) * readers
    return np.asarray((np.eye(game.agents) + policy) @ influence(game))


def row_sum(loop: Array, game: Game, beta: float) -> float:
    """zeta_T(beta) = max_i sum_j exp(beta d(i, j)) C^{ij}."""
    return float((np.exp(beta * game.distances) * loop).sum(axis=1).max())


def certified_decay(loop: Array, game: Game) -> float | None:
    """The supremum of beta with gamma zeta_T(beta) < 1, or ``None`` where not even beta = 0 has it."""
    if game.gamma * row_sum(loop, game, 0.0) >= 1.0:
        return None
    low, high = 0.0, 1.0
    while game.gamma * row_sum(loop, game, high) < 1.0 and high < 64.0:
        low, high = high, 2.0 * high
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if game.gamma * row_sum(loop, game, middle) < 1.0 else (low, middle)
    return low


def tail(loop: Array, game: Game, hops: int) -> float:
    """min over certified beta of gamma zeta_T / (1 - gamma zeta_T) exp(-beta hops): L1's tail; inf if none."""
    most = certified_decay(loop, game)
    if most is None:
        return float("inf")
    sums = [(beta, game.gamma * row_sum(loop, game, beta)) for beta in np.linspace(0.0, most, 200, endpoint=False)]
    return float(min(total / (1.0 - total) * np.exp(-beta * hops) for beta, total in sums))


def certificate(loop: Array, game: Game, kappa: int) -> Array:
    """D ``[n, n]`` with osc_j Q_i <= rng(f^i) D_ij: the smaller of the resolvent and the speed of spreading.

    ``kappa``: what the policies read; 0 is the own state.
    """
    steps = np.ceil(game.distances / (kappa + 1))
    reach = game.gamma**steps / (1.0 - game.gamma)
    if game.gamma * float(np.abs(np.linalg.eigvals(loop)).max()) >= 1.0:
        return np.asarray(reach)
    return np.asarray(np.minimum(reach, np.linalg.inv(np.eye(game.agents) - game.gamma * loop)))


def action_certificate(game: Game, kappa: int, tables: Tables, margin: float = 0.0) -> Array:
    """B ``[n, n]``: a change of a^m alone moves Q_l, l != m, by at most rng(f^l) B_lm (docs/theory.md, Lemma 1).

    a^m enters P^m alone, so B = gamma D (I + Pi) diag(w), w_m = sup TV of P^m over a^m; or the speed of spreading.
    For all policies whose every agent is within ``margin`` in TV of ``tables``.
    """
    loop = closed_loop(game, kappa, tables, margin)
    decay = certificate(loop, game, kappa)
    readers = (game.distances <= kappa) & ~np.eye(game.agents, dtype=bool)
    policy = np.minimum(1.0, policy_influence(game, kappa, tables) + 2.0 * margin) * readers
    own = np.zeros(game.agents)
    for agent, kernel in enumerate(game.kernels):
        chosen = game.action_digits[agent]
        first, second = (kernel[:, chosen == action] for action in range(ACTIONS))
        own[agent] = 0.5 * np.abs(first - second).sum(axis=-1).max()
    spread = game.gamma * decay @ (np.eye(game.agents) + policy) * own
    return np.asarray(np.minimum(decay, spread))


def ranges(functions: Array) -> Array:
    """rng(f^i), ``[n]``, for ``functions`` ``[n, S, A]``."""
    flat = functions.reshape(len(functions), -1)
    return np.asarray(flat.max(axis=1) - flat.min(axis=1))
