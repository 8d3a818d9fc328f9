"""The accept test of the product, ``radius = exact``, on exact quantities: what a step may spend, and must gain.

It is not the certificate of ``guaranteed.py``: it prices a step by KL and the largest advantage (docs/theory.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from scalmarl.agents.ledger import BISECTIONS, theorem_price
from scalmarl.agents.tabular.games import Array
from scalmarl.agents.tabular.values import Solution, divergences, expanded, largest_divergence


def exact_prices(start: Solution) -> Array:
    """nu_h ``[n]`` of each cost: ``theorem_price`` with the largest |A_h(s, a)| there is."""
    largest = np.abs(start.Q - start.V[:, :, None])[start.game.agents :].max(axis=(1, 2))
    return np.array([theorem_price(start.game.gamma, float(value)) for value in largest])


def exact_spends(start: Solution, agent: int, table: Array, advantage: Array, prices: Array) -> Array:
    """``[n]``: the surrogate of J^h + nu_h Dmax, what ``radius = exact`` books for a step."""
    gains = start.surrogate(agent, table, advantage)[start.game.agents :]
    return np.asarray(gains + prices * largest_divergence(start.tables[agent], table))


def certain_move(
    start: Solution,
    agent: int,
    target: Array,
    advantage: Array,
    heard: Mapping[int, Array],
    left: Mapping[int, float],
    prices: Array,
    kl_max: float,
) -> Array:
    """The product's turn on exact quantities, ``radius = exact`` with its accept test.

    The longest halving of the step to ``target`` inside every bound; then the longest of that one's whose surrogate of
    the rewards heard, less nu Dmax, is above 0; else the old table. ``heard``: the predecessors' new tables, under
    which ``advantage`` is.
    """
    old, price = start.tables[agent], reward_price(start, agent, heard)

    def bounded(table: Array) -> bool:
        spends = exact_spends(start, agent, table, advantage, prices)
        return mean_divergence(start, agent, table) <= kl_max and all(spends[h] <= max(x, 0.0) for h, x in left.items())

    reached = next((table for table in halvings(old, target) if bounded(table)), old)
    certain = (table for table in halvings(old, reached) if certain_gain(start, agent, table, advantage, price) > 1e-12)
    return next((table for table in certain if bounded(table)), old)


def reward_price(start: Solution, agent: int, heard: Mapping[int, Array]) -> float:
    """nu of the rewards heard. As in the product's batch: of the largest of what was sampled, joint actions and
    predecessors' ratios included."""
    near = list(start.game.neighbourhood(agent, start.kappa))
    sampled = (start.Q - start.V[:, :, None])[near].sum(axis=0) * predecessor_ratios(start, heard)
    return theorem_price(start.game.gamma, float(np.abs(sampled).max()))


def certain_gain(start: Solution, agent: int, table: Array, advantage: Array, price: float) -> float:
    """What the accept test asks to be above 0: the surrogate of the rewards heard, less nu Dmax."""
    near = list(start.game.neighbourhood(agent, start.kappa))
    summed = advantage[near].sum(axis=0, keepdims=True)
    return float(start.surrogate(agent, table, summed)[0] - price * largest_divergence(start.tables[agent], table))


def halvings(old: Array, new: Array) -> Iterator[Array]:
    """``new``, then as many bisections towards ``old`` as the product makes."""
    return (old + 0.5**number * (new - old) for number in range(BISECTIONS + 1))


def predecessor_ratios(start: Solution, heard: Mapping[int, Array]) -> Array:
    """Product of new over old probabilities of the predecessors' actions, ``[S, A]``."""
    ratios = np.ones(start.game.transition.shape[:2])
    for other, table in heard.items():
        own = expanded(start.game, start.kappa, other, table / start.tables[other])
        ratios = ratios * own[:, start.game.action_digits[other]]
    return ratios


def mean_divergence(start: Solution, agent: int, table: Array) -> float:
    """KL(pi || pibar), mean over the discounted visitation."""
    rows = start.game.local_index(start.game.neighbourhood(agent, start.kappa))
    in_state = divergences(start.tables[agent], table)[rows]
    return float(start.visitation @ in_state * (1.0 - start.game.gamma))
