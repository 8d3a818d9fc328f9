from __future__ import annotations

import numpy as np
import pytest

from scalmarl.agents.tabular.games import cost_counterexample, random_game, random_tables
from scalmarl.agents.tabular.influence import (
    action_certificate,
    certificate,
    certified_decay,
    closed_loop,
    influence,
    policy_influence,
    ranges,
    row_sum,
    tail,
)
from scalmarl.agents.tabular.values import expanded, solve, spread_outside


def test_influence_is_total_variation_not_l1() -> None:
    w = influence(cost_counterexample())
    assert w == pytest.approx(np.array([[0.0, 0.4], [0.0, 0.0]]))


def test_a_decay_is_certified_exactly_up_to_the_limit() -> None:
    game = random_game("path", 4, 0.2, 0.6, np.random.default_rng(1))
    loop = influence(game)
    beta = certified_decay(loop, game)
    assert beta is not None
    assert game.gamma * row_sum(loop, game, beta) == pytest.approx(1.0)
    assert certified_decay(loop * 100, game) is None
    assert tail(loop * 100, game, 3) == np.inf
    assert tail(loop, game, 3) < tail(loop, game, 1)


def test_policies_that_read_add_their_influence() -> None:
    game = random_game("path", 3, 0.2, 0.6, np.random.default_rng(2))
    tables = tuple(np.array([[0.5, 0.5]] * 2 ** len(game.neighbourhood(i, 1))) for i in range(3))
    assert closed_loop(game, 1, tables) == pytest.approx(influence(game))
    reads = np.array([[0.2, 0.8], [0.6, 0.4]])[[0, 1, 0, 1]]  # agent 0 reads agent 1 alone
    moved = (reads, *tables[1:])
    assert policy_influence(game, 1, moved)[0] == pytest.approx([0.0, 0.4, 0.0])
    expected = influence(game)
    expected[0] += 0.4 * influence(game)[1]
    assert closed_loop(game, 1, moved) == pytest.approx(expected)


@pytest.mark.parametrize("kappa", [0, 1])
@pytest.mark.parametrize("coupling", [0.1, 0.4, 0.9])
def test_no_agent_moves_a_value_by_more_than_its_certificate(kappa: int, coupling: float) -> None:
    for seed in range(4):
        draw = np.random.default_rng(seed)
        game = random_game("path", 4, coupling, 0.6, draw)
        tables = random_tables(game, kappa, draw, spread=1.5)
        solution = solve(game, kappa, tables)
        decay = certificate(closed_loop(game, kappa, tables), game, kappa)
        actions = action_certificate(game, kappa, tables)
        for agent in range(4):
            rest = tuple(other for other in range(4) if other != agent)
            chosen = solution.advantage(agent)
            for other in range(4):
                scale = ranges(game.rewards)[other]
                assert spread_outside(game, solution.Q[other], rest) <= scale * decay[other, agent] + 1e-12
                if other != agent:
                    assert np.ptp(chosen[other], axis=-1).max() <= scale * actions[other, agent] + 1e-12
        assert expanded(game, kappa, 0, tables[0]).shape == (16, 2)
