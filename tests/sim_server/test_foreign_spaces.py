"""Spaces of worlds from outside: what a value becomes in a block, and what a policy's output means to the world."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scalmarl.sim_server.foreign_spaces import Box, Discrete, read_space


def box(low: Any, high: Any, shape: tuple[int, ...], dtype: Any = np.float32) -> Box:
    found = read_space(SimpleNamespace(low=low, high=high, shape=shape, dtype=dtype), "its space")
    assert isinstance(found, Box)
    return found


def test_minus_one_to_one_is_stretched_to_finite_bounds_and_what_is_beyond_is_clipped() -> None:
    space = box(np.array([0.0, -4.0, 2.0]), np.array([1.0, 4.0, 3.0]), (3,))
    assert space.action(np.array([0.0, 0.5, -1.0], np.float32)).tolist() == [0.5, 2.0, 2.0]
    assert space.action(np.array([9.0, -9.0, 1.5], np.float32)).tolist() == [1.0, -4.0, 3.0]


def test_without_two_bounds_the_number_goes_through_but_not_beyond_the_one_there_is() -> None:
    space = box(-np.inf, 2.0, (2, 1))
    found = space.action(np.array([0.75, 5.0], np.float32))
    assert (found.tolist(), found.dtype) == ([[0.75], [2.0]], np.float32)


def test_a_box_of_whole_numbers_is_given_whole_numbers() -> None:
    found = box(0, 10, (3,), np.int64).action(np.array([-1.0, 0.0, 0.45], np.float32))
    assert (found.tolist(), found.dtype) == ([0, 5, 7], np.int64)


def test_a_discrete_is_one_hot_when_seen_and_shifted_by_its_start_when_chosen() -> None:
    space = read_space(SimpleNamespace(n=np.int64(3), start=-1), "its space")
    assert isinstance(space, Discrete)
    assert space.flatten(np.int64(1)).tolist() == [0.0, 0.0, 1.0]
    assert [space.action(np.array([choice], np.float32)) for choice in (0, 1, 2)] == [-1, 0, 1]
    assert space.entries("observation") == ("observation is -1", "observation is 0", "observation is 1")


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        (np.zeros(3), r"has shape \(3,\), not \(2,\)"),
        (np.array([0.0, np.inf]), "holds a number that is not finite"),
        (np.array(["a", "b"]), "is of dtype <U1, which is no number"),
    ],
)
def test_what_does_not_lie_in_a_box_is_told(value: Any, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        box(-1.0, 1.0, (2,)).flatten(value)


@pytest.mark.parametrize(("value", "wrong"), [(3, "is 3, not one of 0 to 2"), (0.5, "is 0.5, not a whole number")])
def test_what_is_none_of_the_choices_is_told(value: Any, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Discrete(3, 0).flatten(value)


def test_another_kind_of_space_is_refused_with_the_way_out() -> None:
    with pytest.raises(
        ValueError, match="its space is dict, which scalmarl does not take; make it a Box or a Discrete"
    ):
        read_space({}, "its space")
