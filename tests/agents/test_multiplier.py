"""Cost estimates and multiplier steps in closed form: the multiplier visibly responds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from scalmarl.agents.multiplier import SAMPLES_PER_STEP, cost_estimate, step

RATE, LARGEST = 0.05, 100.0


def stepped(multiplier: float, estimate: float, limit: float, samples: int = SAMPLES_PER_STEP) -> float:
    return step(multiplier, estimate, limit, RATE, samples, LARGEST)


@pytest.mark.parametrize(
    ("ended", "horizon", "episodes"),
    [(0, 8, 1.0), (0, 16, 0.5), (1, 16, 1.0), (3, 8, 3.0), (0, 2, 4.0), (2, 2, 4.0)],
)
def test_the_estimate_is_the_rounds_sum_over_its_episodes(ended: int, horizon: int, episodes: float) -> None:
    costs, valid = np.ones((4, 2), np.float32), np.ones((4, 2), bool)
    assert cost_estimate(costs, valid, ended, horizon) == pytest.approx(8.0 / episodes)


def test_samples_that_are_not_valid_neither_cost_nor_make_an_episode_longer() -> None:
    costs = np.array([[1.0, 100.0], [0.0, 1.0]])
    valid = np.array([[True, False], [True, True]])
    assert cost_estimate(costs, valid, 0, 30) == pytest.approx(2.0 / (3 / 30))
    assert cost_estimate(costs, np.zeros((2, 2), bool), 0, 30) == 0.0


def test_a_cost_of_one_at_every_step_is_one_horizon_of_cost() -> None:
    assert cost_estimate(np.ones((7, 3)), np.ones((7, 3), bool), 0, 1000) == pytest.approx(1000.0)


@pytest.mark.parametrize(
    ("estimate", "limit", "push"),
    [(6.0, 5.0, 0.2), (4.0, 5.0, -0.2), (5.0, 5.0, 0.0), (7.5, 5.0, 0.5), (0.3, 0.5, -0.2), (1.2, 0.5, 0.7)],
)
def test_a_step_is_relative_to_the_limit_or_to_1_where_that_is_more(estimate: float, limit: float, push: float) -> None:
    assert stepped(2.0, estimate, limit) == pytest.approx(2.0 + RATE * push, rel=1e-14)


@pytest.mark.parametrize("excess", [5.0, 10.0, 1e3, 1e12])
def test_no_step_is_longer_than_the_rate(excess: float) -> None:
    assert stepped(2.0, 5.0 + excess, 5.0) == pytest.approx(2.0 + RATE)
    assert stepped(2.0, 5.0 - excess, 5.0) == pytest.approx(2.0 - RATE)


@pytest.mark.parametrize(("samples", "times"), [(4096, 1.0), (2048, 0.5), (8192, 2.0), (1, 1 / 4096)])
def test_a_step_grows_with_the_samples_of_a_round(samples: int, times: float) -> None:
    assert stepped(2.0, 100.0, 5.0, samples) == pytest.approx(2.0 + times * RATE)
    assert stepped(2.0, 6.0, 5.0, samples) == pytest.approx(2.0 + 0.2 * times * RATE)


def test_it_rises_while_the_cost_is_above_the_limit_and_falls_to_exactly_0_below() -> None:
    path = [0.0]
    for _ in range(30):
        path.append(stepped(path[-1], 20.0, 5.0))
    assert all(after > before for before, after in pairwise(path))
    assert path[-1] == pytest.approx(30 * RATE)
    for _ in range(60):
        path.append(stepped(path[-1], 2.0, 5.0))
    falling = path[30:]
    assert all(after < before or after == before == 0.0 for before, after in pairwise(falling))
    assert path[-1] == 0.0
    assert stepped(0.0, 2.0, 5.0) == 0.0


def test_an_infeasible_start_does_not_wind_up() -> None:
    """Fifty rounds at two hundred times the limit are undone by fifty rounds without cost."""
    multiplier = 0.0
    for _ in range(50):
        multiplier = stepped(multiplier, 1000.0, 5.0)
    assert multiplier == pytest.approx(2.5)
    for _ in range(51):
        multiplier = stepped(multiplier, 0.0, 5.0)
    assert multiplier == 0.0


def test_it_stops_at_the_largest() -> None:
    assert step(0.98, 50.0, 5.0, RATE, SAMPLES_PER_STEP, 1.0) == 1.0
    assert step(1.0, 50.0, 5.0, RATE, SAMPLES_PER_STEP, 1.0) == 1.0


def test_with_a_limit_of_0_any_cost_raises_it_and_no_cost_leaves_it() -> None:
    assert stepped(1.0, 0.4, 0.0) == pytest.approx(1.0 + 0.4 * RATE)
    assert stepped(1.0, 3.0, 0.0) == pytest.approx(1.0 + RATE)
    assert stepped(1.0, 0.0, 0.0) == 1.0
