"""Generalised advantage estimation against its definition as a sum, closed forms, and standardisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scalmarl.agents.advantages import gae, standardise

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def by_definition(rewards: Array, values: Array, terminated: Flags, done: Flags, gamma: float, lambda_: float) -> Array:
    """sum over k of (gamma lambda)^k delta_{t+k}, for each sample on its own, up to and with the episode's last."""
    steps, copies = rewards.shape
    result = np.zeros((steps, copies))
    for copy in range(copies):
        for t in range(steps):
            if done[t, copy]:
                continue
            last = next((k for k in range(t, steps) if done[k + 1, copy]), steps - 1)
            for k in range(t, last + 1):
                worth = 0.0 if terminated[k + 1, copy] else values[k + 1, copy]
                delta = rewards[k, copy] + gamma * worth - values[k, copy]
                result[t, copy] += (gamma * lambda_) ** (k - t) * delta
    return result


def random_episodes(seed: int, steps: int = 17, copies: int = 6) -> tuple[Array, Array, Flags, Flags]:
    """Flags as a world with next-step reset gives them: the observation after a flagged one is never flagged."""
    draw = np.random.default_rng(seed)
    ends = np.zeros((steps + 1, copies), bool)
    for t in range(steps + 1):
        ends[t] = (draw.random(copies) < 0.25) & ~(ends[t - 1] if t else np.zeros(copies, bool))
    terminated = ends & (draw.random(ends.shape) < 0.5)
    return draw.normal(size=(steps, copies)), draw.normal(size=(steps + 1, copies)), terminated, ends


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("gamma", "lambda_"), [(0.99, 0.95), (0.9, 0.0), (1.0, 1.0), (0.0, 0.5), (0.7, 1.0)])
def test_it_is_the_discounted_sum_of_the_deltas_of_its_episode(seed: int, gamma: float, lambda_: float) -> None:
    rewards, values, terminated, done = random_episodes(seed)
    assert terminated.any()
    assert (done & ~terminated).any()
    expected = by_definition(rewards, values, terminated, done, gamma, lambda_)
    np.testing.assert_allclose(gae(rewards, values, terminated, done, gamma, lambda_), expected, rtol=1e-12, atol=1e-13)


def flags(*times: int, steps: int = 3) -> Flags:
    raised = np.zeros((steps + 1, 1), bool)
    raised[list(times)] = True
    return raised


def column(*numbers: float) -> Array:
    return np.array(numbers)[:, None]


@pytest.mark.parametrize(
    ("terminated", "truncated", "expected"),
    [(False, False, 2.0 + 0.5 * 8.0 - 3.0), (False, True, 2.0 + 0.5 * 8.0 - 3.0), (True, False, 2.0 - 3.0)],
    ids=["goes on", "a truncated state is worth its value", "a terminated state is worth nothing"],
)
def test_a_single_step(terminated: bool, truncated: bool, expected: float) -> None:
    ended = np.array([[False], [terminated]])
    done = ended | np.array([[False], [truncated]])
    assert gae(column(2.0), column(3.0, 8.0), ended, done, 0.5, 0.9).tolist() == [[expected]]


def test_with_lambda_1_and_no_end_it_is_the_bootstrapped_return_less_the_value() -> None:
    none = flags()
    result = gae(column(1.0, 2.0, 4.0), column(10.0, 20.0, 30.0, 40.0), none, none, 0.5, 1.0)
    returns = [1 + 0.5 * 2 + 0.25 * 4 + 0.125 * 40, 2 + 0.5 * 4 + 0.25 * 40, 4 + 0.5 * 40]
    np.testing.assert_allclose(result[:, 0], np.array(returns) - [10.0, 20.0, 30.0])


@pytest.mark.parametrize("terminated", [flags(1), flags()], ids=["terminated", "truncated"])
def test_a_sample_taken_in_a_finished_episode_is_0_and_nothing_flows_over_it(terminated: Flags) -> None:
    """Observation 1 is final; the action at 1 is ignored; observation 2 starts the next episode."""

    def estimate(**changed: Any) -> Array:
        given = {"r1": 5.0, "r2": 7.0, "v2": 2.0, "v3": 3.0, **changed}
        rewards, values = column(1.0, given["r1"], given["r2"]), column(4.0, 6.0, given["v2"], given["v3"])
        return gae(rewards, values, terminated, flags(1), 0.9, 0.8)

    result = estimate()
    worth = 0.0 if terminated[1, 0] else 6.0
    np.testing.assert_allclose(result[:, 0], [1.0 + 0.9 * worth - 4.0, 0.0, 7.0 + 0.9 * 3.0 - 2.0])
    other = estimate(r1=-100.0, r2=50.0, v2=-30.0, v3=20.0)
    assert other[:2].tolist() == result[:2].tolist()
    assert other[2, 0] != result[2, 0]


def test_an_end_at_the_last_observation_counts_in_this_round_and_one_at_the_first_only_masks() -> None:
    rewards, values = column(1.0, 1.0, 1.0), column(2.0, 2.0, 2.0, 2.0)
    delta = 1.0 + 0.5 * 2.0 - 2.0
    at_the_end = gae(rewards, values, flags(3), flags(3), 0.5, 0.5)
    np.testing.assert_allclose(at_the_end[:, 0], [delta - 0.0625, delta - 0.25, -1.0])
    at_the_start = gae(rewards, values, flags(0), flags(0), 0.5, 0.5)
    np.testing.assert_allclose(at_the_start[:, 0], [0.0, delta, delta])


def test_copies_do_not_touch_one_another() -> None:
    rewards, values, terminated, done = random_episodes(11)
    together = gae(rewards, values, terminated, done, 0.99, 0.95)
    for copy in range(rewards.shape[1]):
        one = slice(copy, copy + 1)
        alone = gae(rewards[:, one], values[:, one], terminated[:, one], done[:, one], 0.99, 0.95)
        assert alone.tobytes() == np.ascontiguousarray(together[:, one]).tobytes()


def test_numbers_of_single_precision_are_summed_in_double() -> None:
    rewards, values, terminated, done = random_episodes(5)
    small = rewards.astype(np.float32), values.astype(np.float32)
    result = gae(*small, terminated, done, 0.99, 0.95)
    assert result.dtype == np.float64
    wide = [x.astype(np.float64) for x in small]
    np.testing.assert_allclose(result, by_definition(*wide, terminated, done, 0.99, 0.95), rtol=1e-12, atol=1e-13)


def test_standardise_centres_and_scales_by_the_valid_entries_alone() -> None:
    x = np.array([[1.0, 3.0], [1e6, 5.0], [7.0, -1e6]])
    valid = np.array([[True, True], [False, True], [True, False]])
    expected = np.array([[-3.0, -1.0], [0.0, 1.0], [3.0, 0.0]]) / np.sqrt(5.0)
    np.testing.assert_allclose(standardise(x, valid), expected, rtol=1e-15)


def test_standardise_divides_by_the_floor_where_the_deviation_is_smaller() -> None:
    x, valid = np.array([[0.0, 0.02]]), np.ones((1, 2), bool)
    np.testing.assert_allclose(standardise(x, valid, 0.05), [[-0.2, 0.2]])
    np.testing.assert_allclose(standardise(x, valid, 0.005), [[-1.0, 1.0]])


def test_standardise_of_equal_numbers_and_of_nothing_is_0() -> None:
    assert standardise(np.full((2, 3), 4.0), np.ones((2, 3), bool)).tolist() == [[0.0] * 3] * 2
    assert standardise(np.full((2, 3), 4.0), np.zeros((2, 3), bool)).tolist() == [[0.0] * 3] * 2
