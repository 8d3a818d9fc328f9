"""The accept test on tables against the product's own turn, on a batch that holds every state and joint action once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.agents.ledger import BISECTIONS, Allowance, Bounds
from scalmarl.agents.policies import CategoricalPolicy
from scalmarl.agents.policy_update import Batch, ClippedTurn
from scalmarl.agents.settings import LearnerSettings
from scalmarl.agents.tabular.accept_test import (
    certain_gain,
    certain_move,
    exact_prices,
    exact_spends,
    mean_divergence,
    predecessor_ratios,
    reward_price,
)
from scalmarl.agents.tabular.games import Array, random_game
from scalmarl.agents.tabular.values import Solution, largest_divergence, solve
from scalmarl.launch.config import LearnerConfig

GAMMA, AGENT, KAPPA = 0.4, 1, 1
# With such a threshold the product accepts the whole step, and tells what it measured of it.
SETTINGS = LearnerSettings.from_data(
    {
        **LearnerConfig().model_dump(), **asdict(ALGORITHMS["scal-mappo-l-exact"].switches),
        "initial_std": 0.25, "gamma": GAMMA, "truncation_error": -1e9,
    }
)  # fmt: skip


def uniform_solution() -> Solution:
    """All policies uniform and all states visited alike: then every state and joint action once is an exact batch."""
    game = random_game("path", 3, 0.4, GAMMA, np.random.default_rng(3))
    rows = [game.states ** len(game.neighbourhood(agent, KAPPA)) for agent in range(game.agents)]
    start = solve(game, KAPPA, tuple(np.full((count, 2), 0.5) for count in rows))
    states = len(start.visitation)
    return replace(start, visitation=np.full(states, 1.0 / states / (1.0 - GAMMA)))


def own_rows(start: Solution) -> np.ndarray:
    """``[S]``: which row of the agent's table a joint state reads."""
    return np.asarray(start.game.local_index(start.game.neighbourhood(AGENT, KAPPA)))


class ProductsTurn:
    """The product's turn from a uniform policy to one that was drawn; ``table`` is that policy's."""

    def __init__(self, start: Solution, heard: Mapping[int, Array], size: float, bounds: Bounds) -> None:
        game, rows = start.game, own_rows(start)
        self.policy = CategoricalPolicy(rows.max() + 1, (8,), 2, torch.Generator().manual_seed(1))
        last = self.policy.logits[-1]
        assert isinstance(last, torch.nn.Linear)
        with torch.no_grad():
            last.weight.zero_()
        one_hot = np.eye(rows.max() + 1, dtype=np.float32)
        joint = game.action_digits
        states, actions = np.divmod(np.arange(len(rows) * joint.shape[1]), joint.shape[1])
        weight = predecessor_ratios(start, heard)
        near = list(game.neighbourhood(AGENT, KAPPA))
        advantages = (start.Q - start.V[:, :, None]) * weight
        batch = Batch(
            torch.from_numpy(one_hot[rows[states]]),
            torch.from_numpy(joint[AGENT, actions].astype(np.float32)[:, None]),
            torch.ones(len(states)),
            advantages[near].sum(axis=0).ravel(),
            {(h, 0): advantages[game.agents + h].ravel() for h in near},
        )
        optimiser = torch.optim.Adam(self.policy.parameters())
        self.turn = ClippedTurn(self.policy, optimiser, batch, bounds, SETTINGS)
        self.first = self.turn._reached()
        with torch.no_grad():
            last.weight.copy_(size * torch.randn(2, 8, generator=torch.Generator().manual_seed(2)))
            probabilities = self.policy.logits(torch.from_numpy(one_hot)).double().softmax(-1)
        self.table: Array = probabilities.numpy()


def gain_of(start: Solution, table: Array, heard: Mapping[int, Array]) -> float:
    """What the accept test reads of a step to ``table``."""
    return certain_gain(start, AGENT, table, start.advantage(AGENT, heard), reward_price(start, AGENT, heard))


def heard_by_middle(start: Solution) -> dict[int, Array]:
    """Agent 0 went before, and moved."""
    draw = np.random.default_rng(5).uniform(0.35, 0.65, len(start.tables[0]))
    return {0: np.stack([draw, 1.0 - draw], axis=1)}


@pytest.mark.parametrize("size", [0.01, 0.3])
def test_gain_and_spends_are_those_that_the_products_turn_measures(size: float) -> None:
    start = uniform_solution()
    heard = heard_by_middle(start)
    product = ProductsTurn(start, heard, size, Bounds(1.0, 0.0))
    product.turn._keep_certain_gain(product.first)
    assert product.turn._course.accepted == 1.0
    told = gain_of(start, product.table, heard)
    assert product.turn._course.certain_gain == pytest.approx(told, rel=1e-3)
    assert gain_of(start, product.table, {}) != pytest.approx(told, rel=1e-3), "the factor counts"
    step = product.turn._measure()[1]
    assert step.kl_max == pytest.approx(largest_divergence(start.tables[AGENT], product.table), rel=1e-3)
    assert step.kl_mean == pytest.approx(mean_divergence(start, AGENT, product.table), rel=1e-3)
    prices = exact_prices(start)
    spends = exact_spends(start, AGENT, product.table, start.advantage(AGENT, heard), prices)
    for h in start.game.neighbourhood(AGENT, KAPPA):
        assert Allowance(h, 0, 1.0, prices[h], GAMMA).spends(step) == pytest.approx(spends[h], rel=1e-3)


def greedy(start: Solution, step: float) -> Array:
    """The uniform table moved by ``step`` towards what earns more."""
    near = list(start.game.neighbourhood(AGENT, KAPPA))
    advantage, _ = start.condensed(start.advantage(AGENT), start.game.neighbourhood(AGENT, KAPPA))
    gap = advantage[near].sum(axis=0)
    first = 0.5 + step * np.sign(gap[:, 0] - gap[:, 1])
    return np.stack([first, 1.0 - first], axis=1)


def moved(start: Solution, target: Array, kl_max: float = 1.0, left: float = np.inf) -> float:
    """The share of the way to ``target`` that is gone."""
    shares = dict.fromkeys(start.game.neighbourhood(AGENT, KAPPA), left)
    table = certain_move(start, AGENT, target, start.advantage(AGENT), {}, shares, exact_prices(start), kl_max)
    old = start.tables[AGENT]
    return float(np.abs(table - old).max() / np.abs(target - old).max())


def test_a_step_is_halved_as_often_as_in_the_product_and_no_further() -> None:
    """Of a wide step the part that pays is found if it is among four halvings; else the agent stays."""
    start = uniform_solution()
    certain = [gain_of(start, greedy(start, 0.49 * 0.5**number), {}) > 0 for number in range(8)]
    assert not certain[0]
    assert certain[-1]
    first = certain.index(True)
    assert first <= BISECTIONS
    assert moved(start, greedy(start, 0.49)) == pytest.approx(0.5**first)
    assert moved(start, greedy(start, 1e-4)) == 1.0


def test_kl_max_and_shares_bound_the_step() -> None:
    start = uniform_solution()
    target = greedy(start, 0.01)
    whole = mean_divergence(start, AGENT, target)
    assert moved(start, target) == 1.0
    assert moved(start, target, kl_max=0.3 * whole) == pytest.approx(0.5), "KL is of second order"
    for number, share in ((BISECTIONS, 0.5**BISECTIONS), (BISECTIONS + 1, 0.0)):
        assert moved(start, target, kl_max=1.01 * 0.25**number * whole) == pytest.approx(share)
    assert moved(start, -target + 1.0, left=0.0) == 0.0
