from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scalmarl.agents.ledger import Allowance, Step
from scalmarl.agents.tabular import accept_test
from scalmarl.agents.tabular.accept_test import exact_prices, exact_spends
from scalmarl.agents.tabular.games import cost_counterexample, random_game, random_tables, reward_counterexample
from scalmarl.agents.tabular.guaranteed import certified_gain, certified_spends
from scalmarl.agents.tabular.influence import action_certificate
from scalmarl.agents.tabular.printed import printed_constants, printed_turn
from scalmarl.agents.tabular.turn import toward
from scalmarl.agents.tabular.updates import (
    VARIANTS,
    History,
    Settings,
    clipped_target,
    mixed_direction,
    next_multipliers,
    play,
    play_round,
)
from scalmarl.agents.tabular.values import largest_divergence, solve, total_variation

UNIFORM = np.full((1, 2), 0.5)


def test_the_printed_round_of_ce1_promises_an_eighth_each_and_loses_an_eighth() -> None:
    game = reward_counterexample()
    start = solve(game, 1, (UNIFORM, UNIFORM))
    moved: dict[int, np.ndarray] = {}
    constants = printed_constants(start)
    gains = [printed_turn(start, agent, moved, constants).gain for agent in (0, 1)]
    assert gains == [0.125, 0.125]
    assert solve(game, 1, (moved[0], moved[1])).team - start.team == -0.125


def test_the_factor_turns_the_second_agent_of_ce1_around() -> None:
    game = reward_counterexample()
    ahead = np.array([[0.1, 0.9]])
    start = solve(game, 1, (UNIFORM, UNIFORM))
    assert start.advantage(1)[0, 0, 1] > 0 > start.advantage(1, {0: ahead})[0, 0, 1]
    wide = Settings(clip=0.8)
    for name, better in (("neighbour-costs", True), ("printed-team", False)):
        tables, _ = play_round(game, (UNIFORM, UNIFORM), np.zeros(2), VARIANTS[name], (0, 1), wide)
        assert (solve(game, 1, tables).team > start.team) is better
    blind = replace(VARIANTS["neighbour-costs"], factor="none")  # the mutant: the factor is dropped
    tables, _ = play_round(game, (UNIFORM, UNIFORM), np.zeros(2), blind, (0, 1), wide)
    assert solve(game, 1, tables).team < start.team


def test_the_clip_is_saturated_and_no_further() -> None:
    old = np.array([[0.3, 0.7], [0.9, 0.1], [0.5, 0.5], [0.5, 0.5]])
    advantage = np.array([[1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]])
    new = clipped_target(old, advantage, 0.2)
    assert new[:, 0] == pytest.approx([0.44, 0.99, 0.4, 0.5])

    # Eq. 20 by brute force for the first row: no other probability is worth more.
    def worth(first: float) -> float:
        ratio = np.array([first, 1 - first]) / old[0]
        return float((old[0] * np.minimum(ratio * advantage[0], np.clip(ratio, 0.8, 1.2) * advantage[0])).sum())

    best = max(worth(x) for x in np.linspace(0.001, 0.999, 999))
    assert worth(0.44) == pytest.approx(best)
    assert worth(0.43) < best - 1e-4


def test_only_neighbour_costs_tell_an_agent_what_it_does_to_others() -> None:
    game = cost_counterexample()
    tables = (np.full((4, 2), 0.5), np.full((4, 2), 0.5))
    start = solve(game, 1, tables)
    full, _ = start.condensed(start.advantage(1), (0, 1))
    prices = np.array([1.0, 0.0])
    own = mixed_direction(game, 1, full, prices, VARIANTS["printed"], (0, 1))
    near = mixed_direction(game, 1, full, prices, VARIANTS["repaired"], (0, 1))
    assert np.abs(own).max() < 1e-12
    reached = start.visitation.reshape(2, 2).sum(axis=0)[0] > 0
    assert reached
    assert near[0, 0] - near[0, 1] == pytest.approx(0.9 * 0.4)


def test_a_step_back_is_on_the_line_and_meets_the_radius() -> None:
    old, new = np.array([[0.5, 0.5]]), np.array([[0.9, 0.1]])
    assert toward(old, new, 10.0) is new
    part = toward(old, new, 0.01)
    assert largest_divergence(old, part) == pytest.approx(0.01, rel=1e-6)
    assert np.array_equal(toward(old, new, 0.0), old)


@pytest.mark.parametrize(("shape", "agents"), [("path", 4), ("ring", 4)])
def test_bounds_of_a_single_move_hold_for_any_move(shape: str, agents: int) -> None:
    for seed in range(10):
        draw = np.random.default_rng(seed)
        game = random_game(shape, agents, 0.4, 0.6, draw)
        tables = random_tables(game, 1, draw)
        start = solve(game, 1, tables)
        decay = action_certificate(game, 1, tables)
        agent = int(draw.integers(agents))
        table = random_tables(game, 1, draw, spread=2.0)[agent]
        after = solve(game, 1, tuple(table if i == agent else old for i, old in enumerate(tables)))
        full = start.advantage(agent)
        assert after.team - start.team >= certified_gain(start, agent, table, full, decay) - 1e-12
        assert (after.costs - start.costs <= certified_spends(start, agent, table, full) + 1e-12).all()


def test_the_surrogate_alone_is_no_bound() -> None:
    game = random_game("path", 4, 0.4, 0.6, np.random.default_rng(0))
    broken = 0
    for seed in range(20):
        draw = np.random.default_rng(seed)
        tables = random_tables(game, 1, draw)
        start = solve(game, 1, tables)
        table = random_tables(game, 1, draw, spread=2.0)[1]
        after = solve(game, 1, (tables[0], table, *tables[2:]))
        surrogate = start.surrogate(1, table, start.advantage(1))[4:]
        broken += int((after.costs - start.costs > surrogate + 1e-9).any())
    assert broken > 0


@pytest.mark.parametrize("gamma", [0.4, 0.8])
def test_the_guaranteed_variant_moves_gains_and_breaks_nothing(gamma: float) -> None:
    moves = 0
    for seed in range(3):
        draw = np.random.default_rng(seed)
        game = random_game("path", 4, 0.1, gamma, draw)
        tables = random_tables(game, 1, draw)
        game = game.with_limits(solve(game, 1, tables).costs + 0.05 / (1 - gamma))
        run = play(game, tables, "guaranteed", [(2, 0, 3, 1)] * 8, Settings(tv_cap=0.02))
        assert len(run.decreases) == len(run.violations(game.limits)) == 0
        promised = sum(turn.gain for row in run.turns for turn in row)
        assert run.team[-1] - run.team[0] >= promised - 1e-10
        assert all(turn.tv <= 0.02 + 1e-12 for row in run.turns for turn in row)
        moves += sum(turn.tv > 0 for row in run.turns for turn in row)
    assert moves > 20


def test_without_slack_a_neighbour_vetoes_and_nobody_raises_its_cost() -> None:
    draw = np.random.default_rng(5)
    game = random_game("path", 4, 0.1, 0.5, draw)
    tables = random_tables(game, 1, draw)
    game = game.with_limits(solve(game, 1, tables).costs)
    run = play(game, tables, "guaranteed", [(0, 1, 2, 3)] * 6, Settings())
    assert len(run.violations(game.limits)) == 0
    assert (run.costs[-1] <= game.limits + 1e-12).all()


def test_the_ledger_keeps_every_turn_inside_its_radius() -> None:
    draw = np.random.default_rng(6)
    game = random_game("ring", 4, 0.2, 0.6, draw)
    tables = random_tables(game, 1, draw)
    tight = game.with_limits(solve(game, 1, tables).costs + 1e-3)
    moved, turns = play_round(tight, tables, np.zeros(4), VARIANTS["repaired"], (0, 1, 2, 3), Settings(kl_max=1.0))
    free, wide = play_round(tight, tables, np.zeros(4), VARIANTS["neighbour-costs"], (0, 1, 2, 3), Settings())
    assert max(turn.kl for turn in turns) < 0.1 * max(turn.kl for turn in wide)
    assert total_variation(tables[0], moved[0]) < total_variation(tables[0], free[0])


def test_the_exact_radius_on_tables_books_what_the_products_allowance_books() -> None:
    draw = np.random.default_rng(7)
    game = random_game("path", 3, 0.3, 0.6, draw)
    tables = random_tables(game, 2, draw)
    start = solve(game, 2, tables)
    table = random_tables(game, 2, draw, spread=2.0)[1]
    prices = exact_prices(start)
    for h in range(3):
        expected = 2 * 0.6 * np.abs(start.Q[3 + h] - start.V[3 + h][:, None]).max() / 0.4**2
        assert prices[h] == pytest.approx(expected)
        surrogate = float(start.surrogate(1, table, start.advantage(1))[3 + h])
        # The product's gains are per step, hence of a visitation of mass 1.
        step = Step(0.0, largest_divergence(tables[1], table), {(h, 0): 0.4 * surrogate})
        booked = Allowance(h, 0, 1.0, float(prices[h]), 0.6).spends(step)
        assert exact_spends(start, 1, table, start.advantage(1), prices)[h] == pytest.approx(booked)


def played_with_limits(settings: Settings, seeds: range) -> list[tuple[History, np.ndarray]]:
    """The product's accept test in games where everybody hears everybody and little slack is left."""
    result = []
    for seed in seeds:
        draw = np.random.default_rng(seed)
        game = random_game("path", 3, 0.4, 0.6, draw)
        tables = random_tables(game, 2, draw)
        game = game.with_limits(solve(game, 2, tables).costs + 0.0125)
        run = play(game, tables, "scal-mappo-l-exact", [(2, 0, 1)] * 8, settings, first=1.0)
        result.append((run, game.limits))
    return result


def test_the_products_accept_test_moves_and_breaks_nothing_and_without_its_price_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wide = Settings(kappa=2, clip=0.5, kl_max=10.0)
    runs = played_with_limits(wide, range(8))
    assert sum(turn.tv > 0 for run, _ in runs for row in run.turns for turn in row) > 40
    assert all(len(run.decreases) == len(run.violations(limits)) == 0 for run, limits in runs)
    monkeypatch.setattr(accept_test, "theorem_price", lambda gamma, largest: 0.0)
    assert any(len(run.violations(limits)) for run, limits in played_with_limits(wide, range(8)))


def test_what_agents_out_of_hearing_may_add_is_taken_off_the_slack() -> None:
    assert all((run.costs[-1] > run.costs[0]).any() for run, _ in played_with_limits(Settings(kappa=2), range(2)))
    withheld = Settings(kappa=2, cost_truncation_error=0.02)
    assert all((run.costs <= run.costs[0] + 1e-10).all() for run, _ in played_with_limits(withheld, range(2)))


def test_multipliers_follow_the_products_rule() -> None:
    game = random_game("path", 2, 0.1, 0.5, np.random.default_rng(0)).with_limits(np.array([0.5, np.inf]))
    rate = Settings(rate=0.2)
    new = next_multipliers(game, np.array([0.9, 9.0]), np.array([1.0, 1.0]), rate)
    assert new == pytest.approx([1.08, 0.0])
