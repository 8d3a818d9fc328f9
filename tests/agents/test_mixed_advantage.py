"""The mixed advantage of a turn and its predecessors' factor, by hand."""

from __future__ import annotations

import math

import numpy as np

from scalmarl.agents.policy_update import mixed_advantage, predecessor_factor
from scalmarl.launch.config import LearnerConfig

FLOOR = LearnerConfig().cost_std_floor


def scaled(x: np.ndarray, floor: float = 0.0) -> np.ndarray:
    return (x - np.mean(x)) / max(np.sqrt(np.mean((x - np.mean(x)) ** 2)), floor)


def test_the_mixed_advantage_by_hand() -> None:
    draw = np.random.default_rng(0)
    valid = draw.random((6, 5)) < 0.8
    rewards = [draw.normal(n, 1 + n, valid.shape) for n in range(3)]
    costs = [(0.5, draw.normal(1.0, 4.0, valid.shape)), (0.0, draw.normal(size=valid.shape)),
             (2.0, draw.normal(0.0, 0.3, valid.shape))]  # fmt: skip
    kept = [a[valid] for a in rewards]
    by_hand = scaled(kept[0] + kept[1] + kept[2]) - 0.5 * scaled(costs[0][1][valid]) - 2.0 * scaled(costs[2][1][valid])
    result = mixed_advantage(rewards, costs, valid, FLOOR)
    np.testing.assert_allclose(result[valid], scaled(by_hand / 3.5), rtol=1e-10)
    assert not result[~valid].any()


def test_a_few_numbers_by_hand() -> None:
    """Rewards +-1; a cost of deviation 0.025 counts half: (+-1 -+ 2 * 0.5) = 0 where they agree, +-2 where not."""
    reward, cost = np.array([[1.0, -1.0, 1.0, -1.0]]), np.array([[0.025, -0.025, -0.025, 0.025]])
    result = mixed_advantage([reward], [(2.0, cost)], np.ones((1, 4), bool), 0.05)
    np.testing.assert_allclose(result, np.array([[0.0, 0.0, 1.0, -1.0]]) * math.sqrt(2.0), atol=1e-12)


def test_a_cost_that_is_nearly_constant_is_not_blown_up() -> None:
    draw = np.random.default_rng(1)
    reward, noise, valid = draw.normal(size=(40, 4)), draw.normal(size=(40, 4)), np.ones((40, 4), bool)
    alone = mixed_advantage([reward], [], valid, FLOOR)
    faint = mixed_advantage([reward], [(1.0, 1.0 + 1e-4 * noise)], valid, FLOOR)
    full = mixed_advantage([reward], [(1.0, 1.0 + noise)], valid, FLOOR)
    np.testing.assert_allclose(faint, alone, atol=0.01)
    assert np.abs(full - alone).max() > 0.5


def test_a_multiplier_of_0_leaves_a_cost_out_and_a_large_one_leaves_only_the_cost() -> None:
    draw = np.random.default_rng(2)
    reward, cost, valid = draw.normal(size=(9, 4)), draw.normal(size=(9, 4)), np.ones((9, 4), bool)
    without = mixed_advantage([reward], [], valid, FLOOR)
    assert mixed_advantage([reward], [(0.0, cost)], valid, FLOOR).tobytes() == without.tobytes()
    np.testing.assert_allclose(mixed_advantage([reward], [(1e9, cost)], valid, FLOOR), -scaled(cost), atol=1e-6)


def test_what_is_not_valid_has_no_say() -> None:
    draw = np.random.default_rng(3)
    valid = draw.random((9, 4)) < 0.7
    reward, cost = draw.normal(size=(9, 4)), draw.normal(size=(9, 4))
    other_reward, other_cost = np.where(valid, reward, 1e3), np.where(valid, cost, -1e3)
    one = mixed_advantage([reward], [(1.5, cost)], valid, FLOOR)
    assert one.tobytes() == mixed_advantage([other_reward], [(1.5, other_cost)], valid, FLOOR).tobytes()
    nothing = np.zeros((9, 4), bool)
    assert not mixed_advantage([reward], [(1.5, cost)], nothing, FLOOR).any()


def test_the_factor_is_the_product_of_the_ratios() -> None:
    ratios = np.array([[0.5, 1.0, 2.0], [1.5, 1.0, 2.0]])
    np.testing.assert_allclose(predecessor_factor(list(np.log(ratios)), 1.5, 3), [0.75, 1.0, 4.0])


def test_the_factors_logarithm_is_clamped_as_a_sum() -> None:
    """One clamp over all predecessors: opposite steps cancel first."""
    log_ratios = [np.array([1.0, -3.0, 4.0]), np.array([1.0, -3.0, -4.0])]
    np.testing.assert_allclose(predecessor_factor(log_ratios, 1.5, 3), np.exp([1.5, -1.5, 0.0]))


def test_without_predecessors_the_factor_is_exactly_1() -> None:
    assert predecessor_factor([], 1.5, 4).tolist() == [1.0] * 4
