"""Statistics against NumPy over everything at once, and networks whose function stays when statistics move."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from scalmarl.agents.normaliser import (
    INPUT_STD_FLOOR,
    FrozenInput,
    InputNormaliser,
    ValueNormaliser,
    rescale_first_layer,
    rescale_last_layer,
)

WIDTH = 5
FAR = 1e6


def rounds_of_inputs(seed: int, rounds: int = 4) -> list[NDArray[np.float32]]:
    draw = np.random.default_rng(seed)
    centre, spread = draw.normal(0.0, 2.0, WIDTH), draw.uniform(0.1, 2.0, WIDTH)
    return [
        (centre + spread * draw.normal(draw.normal(), 1.0, (3 + n, 4, WIDTH))).astype(np.float32) for n in range(rounds)
    ]


def seen(rounds: list[NDArray[np.float32]]) -> InputNormaliser:
    normaliser = InputNormaliser.empty(WIDTH)
    for inputs in rounds:
        normaliser = normaliser.merged(inputs)
    return normaliser


@pytest.mark.parametrize("seed", range(3))
def test_merged_statistics_are_those_of_all_inputs_at_once(seed: int) -> None:
    rounds = rounds_of_inputs(seed)
    normaliser = seen(rounds)
    together = np.concatenate([inputs.reshape(-1, WIDTH) for inputs in rounds]).astype(np.float64)
    assert normaliser.count == len(together)
    np.testing.assert_allclose(normaliser.mean, together.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(normaliser.std, together.std(axis=0), rtol=1e-12)


def test_a_mean_far_from_0_does_not_eat_the_deviation() -> None:
    draw = np.random.default_rng(0)
    rounds = [(10_000.0 + draw.normal(size=(50, 4, WIDTH))).astype(np.float32) for _ in range(10)]
    together = np.concatenate(rounds).reshape(-1, WIDTH).astype(np.float64)
    np.testing.assert_allclose(seen(rounds).std, together.std(axis=0), rtol=1e-9)


def test_before_anything_was_seen_inputs_pass_unchanged() -> None:
    empty = InputNormaliser.empty(WIDTH)
    inputs = np.random.default_rng(1).normal(size=(2, 3, WIDTH)).astype(np.float32)
    assert FrozenInput(empty, 100.0)(inputs).tobytes() == inputs.tobytes()


def test_merging_makes_new_statistics_and_leaves_the_old_ones() -> None:
    first = seen(rounds_of_inputs(2, 1))
    before = (first.count, first.mean.tobytes(), first.squares.tobytes())
    first.merged(np.full((2, 2, WIDTH), 9.0, np.float32))
    assert (first.count, first.mean.tobytes(), first.squares.tobytes()) == before


def test_the_deviation_has_a_floor() -> None:
    constant = InputNormaliser.empty(WIDTH).merged(np.full((4, 2, WIDTH), 3.0, np.float32))
    assert constant.std.tolist() == [INPUT_STD_FLOOR] * WIDTH
    assert FrozenInput(constant, 5.0)(np.full((1, WIDTH), 3.0, np.float32)).tolist() == [[0.0] * WIDTH]


def test_normalised_inputs_are_centred_scaled_and_clipped() -> None:
    normaliser = InputNormaliser(10.0, np.array([1.0, -2.0, 0.0]), np.array([40.0, 2.5, 10.0]))
    inputs = np.array([[3.0, -1.0, 0.25], [100.0, -100.0, 0.0]], np.float32)
    given = inputs.copy()
    result = FrozenInput(normaliser, 5.0)(inputs)
    np.testing.assert_allclose(result, [[1.0, 2.0, 0.25], [5.0, -5.0, 0.0]], rtol=1e-6)
    assert result.dtype == np.float32
    assert inputs.tobytes() == given.tobytes()


@pytest.mark.parametrize("seed", range(3))
def test_rescaling_the_first_layer_keeps_the_networks_function(seed: int) -> None:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(WIDTH, 8), nn.Tanh(), nn.Linear(8, 2))
    old, raw = InputNormaliser.empty(WIDTH), rounds_of_inputs(seed)
    for inputs in raw:
        new = old.merged(inputs)
        with torch.no_grad():
            before = network(torch.from_numpy(FrozenInput(old, FAR)(inputs))).numpy()
            stale = network(torch.from_numpy(FrozenInput(new, FAR)(inputs))).numpy()
            rescale_first_layer(network[0], old, new)
            after = network(torch.from_numpy(FrozenInput(new, FAR)(inputs))).numpy()
        # Weights times raw inputs of about 10 in single precision.
        np.testing.assert_allclose(after, before, atol=2e-5)
        assert np.abs(stale - before).max() > 1e-2
        old = new


def test_the_first_rounds_of_values_weigh_equally_and_later_ones_by_the_weight() -> None:
    draw = np.random.default_rng(3)
    rounds = [draw.normal(n, 1.0 + n, 64) for n in range(5)]
    normaliser, means, squares = ValueNormaliser(), [], []
    for targets in rounds[:4]:
        normaliser = normaliser.moved(targets, 0.25)
        means.append(targets.mean())
        squares.append(np.square(targets).mean())
        assert normaliser.mean == pytest.approx(np.mean(means), rel=1e-12)
        assert normaliser.square == pytest.approx(np.mean(squares), rel=1e-12)
    assert normaliser.std == pytest.approx(np.concatenate(rounds[:4]).std(), rel=1e-12)
    later = normaliser.moved(rounds[4], 0.25)
    assert later.mean == pytest.approx(0.75 * normaliser.mean + 0.25 * rounds[4].mean(), rel=1e-12)
    assert later.square == pytest.approx(0.75 * normaliser.square + 0.25 * np.square(rounds[4]).mean(), rel=1e-12)
    assert later.rounds == 5


def test_values_before_the_first_round_pass_unchanged() -> None:
    assert (ValueNormaliser().mean, ValueNormaliser().std) == (0.0, 1.0)


@pytest.mark.parametrize("level", [0.0, 3.0, -1e6])
def test_the_deviation_of_values_has_a_floor(level: float) -> None:
    moved = ValueNormaliser(std_floor=0.125).moved(np.full(16, level), 0.1)
    assert moved.std == 0.125
    assert moved.mean == level
    assert moved.moved(np.full(16, level), 0.1).std_floor == 0.125


def test_rescaling_the_last_layer_keeps_the_denormalised_values() -> None:
    torch.manual_seed(0)
    draw = np.random.default_rng(4)
    network = nn.Sequential(nn.Linear(WIDTH, 8), nn.Tanh(), nn.Linear(8, 1))
    inputs, old = torch.from_numpy(draw.normal(size=(32, WIDTH)).astype(np.float32)), ValueNormaliser()
    with torch.no_grad():
        wanted = old.mean + old.std * network(inputs).numpy()
        for centre, spread in ((5.0, 3.0), (-40.0, 0.1), (200.0, 50.0)):
            new = old.moved(draw.normal(centre, spread, 100), 0.1)
            rescale_last_layer(network[-1], old, new)
            np.testing.assert_allclose(new.mean + new.std * network(inputs).numpy(), wanted, atol=1e-3)
            old = new
    assert abs(old.mean) > 10.0


def test_nothing_is_learnt_of_unseen_columns() -> None:
    draw = np.random.default_rng(3)
    old = InputNormaliser.empty(3).merged(draw.normal(2.0, 3.0, size=(5, 4, 3)).astype(np.float32))
    rows = draw.normal(9.0, 1.0, size=(7, 4, 3)).astype(np.float32)
    unseen = np.array([False, True, False])
    new, whole = old.merged(rows, unseen), old.merged(rows)
    assert (new.mean[1], new.std[1]) == (old.mean[1], pytest.approx(old.std[1], rel=1e-12))
    np.testing.assert_array_equal(new.mean[[0, 2]], whole.mean[[0, 2]])
    np.testing.assert_array_equal(new.squares[[0, 2]], whole.squares[[0, 2]])
    fresh = InputNormaliser.empty(3).merged(rows, unseen)
    assert (fresh.mean[1], fresh.std[1]) == (0.0, 1.0)
