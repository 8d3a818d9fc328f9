"""Exact values of a joint policy: one linear solve over the joint states, then sums.

F functions are solved at once: the n rewards first, then the n costs. rho is the UNnormalised discounted visitation,
of mass 1 / (1 - gamma).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scalmarl.agents.tabular.games import ACTIONS, Array, Digits, Game, Tables


def expanded(game: Game, kappa: int, agent: int, table: Array) -> Array:
    """``[S, U]``: the agent's policy in every joint state."""
    return np.asarray(table[game.local_index(game.neighbourhood(agent, kappa))])


def joint_policy(game: Game, kappa: int, tables: Tables, leave_out: int | None = None) -> Array:
    """pi(a|s) = prod_i pi^i(a^i | s_{N_k(i)}), ``[S, A]``; ``leave_out`` contributes no factor."""
    joint = np.ones(game.transition.shape[:2])
    for agent, table in enumerate(tables):
        if agent != leave_out:
            joint = joint * expanded(game, kappa, agent, table)[:, game.action_digits[agent]]
    return joint


@dataclass(frozen=True, eq=False)
class Solution:
    """What one joint policy is worth.

    ``visitation`` ``[S]``; ``V`` ``[F, S]``; ``Q`` ``[F, S, A]``; ``J`` ``[F]``.
    """

    game: Game
    kappa: int
    tables: Tables
    visitation: Array
    V: Array
    Q: Array
    J: Array

    @property
    def team(self) -> float:
        """J(pi): the mean of the agents' rewards."""
        return float(self.J[: self.game.agents].mean())

    @property
    def costs(self) -> Array:
        """J^i of the costs, ``[n]``."""
        return np.asarray(self.J[self.game.agents :])

    def advantage(self, agent: int, moved: Mapping[int, Array] | None = None) -> Array:
        """A^i(s, a^i) of every function, ``[F, S, U]``, centred under the agent's policy (Eqs. 6 to 8).

        E over a^{-i} of Q, minus its mean. ``moved``: predecessors that act by these new tables instead, which is what
        the product of their ratios does to an expectation; with it this is A^i(s, a^{1:i-1}, a^i) averaged over their
        new actions.
        """
        tables = tuple((moved or {}).get(other, table) for other, table in enumerate(self.tables))
        others = joint_policy(self.game, self.kappa, tables, leave_out=agent)
        chosen = np.eye(ACTIONS)[self.game.action_digits[agent]]
        values = (self.Q * others) @ chosen
        own = expanded(self.game, self.kappa, agent, self.tables[agent])
        return np.asarray(values - (values * own).sum(axis=-1, keepdims=True))

    def condensed(self, advantage: Array, members: tuple[int, ...]) -> tuple[Array, Array]:
        """A_k(s_members, a) = E_rho[A(s, a) | s_members], ``[F, L, U]``, and rho(s_members), ``[L]``.

        A surrogate of a policy that reads s_members loses nothing by this; 0 where rho is 0.
        """
        index = self.game.local_index(members)
        rows = self.game.states ** len(members)
        gather = np.zeros((rows, len(index)))
        gather[index, np.arange(len(index))] = self.visitation
        mass = gather.sum(axis=1)
        summed = np.einsum("ls,fsu->flu", gather, advantage)
        return np.divide(summed, mass[:, None], out=np.zeros_like(summed), where=mass[:, None] > 0), mass

    def surrogate(self, agent: int, table: Array, advantage: Array) -> Array:
        """L = sum_s rho(s) sum_a (pibar - pi)(a|s) A(s, a), ``[F]``, for ``advantage`` ``[F, S, U]``."""
        change = expanded(self.game, self.kappa, agent, table - self.tables[agent])
        return np.asarray(np.einsum("s,su,fsu->f", self.visitation, change, advantage))


def solve(game: Game, kappa: int, tables: Tables) -> Solution:
    """V = (I - gamma P_pi)^-1 f_pi; Q = f + gamma P V; J = rho_0 V; rho = rho_0 (I - gamma P_pi)^-1."""
    functions = np.concatenate([game.rewards, game.costs])
    policy = joint_policy(game, kappa, tables)
    closed = np.einsum("sa,sat->st", policy, game.transition)
    system = np.eye(len(closed)) - game.gamma * closed
    values = np.linalg.solve(system, np.einsum("sa,fsa->sf", policy, functions)).T
    visitation = np.linalg.solve(system.T, game.initial)
    flat = game.transition.reshape(-1, len(closed)) @ values.T
    action_values = functions + game.gamma * flat.T.reshape(functions.shape)
    return Solution(game, kappa, tables, visitation, values, action_values, values @ game.initial)


def contributions(start: Solution, end: Solution, order: tuple[int, ...]) -> Array:
    """What each agent's move contributed to J_f(end) - J_f(start), ``[F, n]``; its sum over agents is that difference.

    The performance difference lemma, J(pibar) - J(pi) = sum_s rho_pibar(s) sum_a pibar(a|s) A_pi(s, a), with A_pi
    written out agent by agent in the order of turns: A(s, a) = sum_i A^i(s, a^{1:i-1}, a^i), predecessors by their new
    policies. ``order``: of all agents.
    """
    result = np.zeros((len(start.J), start.game.agents))
    moved: dict[int, Array] = {}
    for agent in order:
        change = expanded(start.game, start.kappa, agent, end.tables[agent] - start.tables[agent])
        result[:, agent] = np.einsum("s,su,fsu->f", end.visitation, change, start.advantage(agent, moved))
        moved[agent] = end.tables[agent]
    return result


def total_variation(old: Array, new: Array) -> float:
    """max over states of TV(pi, pibar): half the L1 distance."""
    return float(0.5 * np.abs(new - old).sum(axis=-1).max())


def divergences(old: Array, new: Array) -> Array:
    """KL(pi || pibar) in every state, ``[L]``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(old > 0, old * (np.log(old) - np.log(new)), 0.0)
    return np.asarray(terms.sum(axis=-1))


def largest_divergence(old: Array, new: Array) -> float:
    """Dmax = max over states of KL(pi || pibar)."""
    return float(max(0.0, divergences(old, new).max()))


def spread_outside(game: Game, values: Array, members: tuple[int, ...]) -> float:
    """sup |f(z_members, z_far) - f(z_members, z'_far)| for f ``[S, A]`` over all z = (s, a)."""
    index: Digits = game.local_index(members)
    actions = np.zeros(values.shape[1], dtype=np.int64)
    for member in members:
        actions = actions * ACTIONS + game.action_digits[member]
    cell = (index[:, None] * ACTIONS ** len(members) + actions[None, :]).ravel()
    size = (game.states * ACTIONS) ** len(members)
    low, high = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(low, cell, values.ravel())
    np.maximum.at(high, cell, values.ravel())
    return float((high - low).max())
