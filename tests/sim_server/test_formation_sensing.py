"""Gaps to walls and to the nearest robot, against the plainest computation of them."""

from __future__ import annotations

import numpy as np
import pytest

from scalmarl.sim_server.formation_sensing import BAY, BUTTRESS, RADIUS, REACH, half_width, in_bay, nearest, wall_gaps


def test_gaps_to_walls_in_closed_form() -> None:
    """Half-width 1.5: in the middle of a bay 1.3 m of a ball's surface from the wall, 0.5 m in a narrowing; beside a
    buttress at 3-4-5."""
    x = np.array([0.0, 4.0, -8.0, 12.0, 0.6, 8.6, 4.0])
    y = np.array([0.0, 0.0, 0.0, 0.5, 0.7, 0.7, 1.4])
    left, right = wall_gaps(x, y, 1.5)
    np.testing.assert_allclose(left, [0.5, 1.3, 0.5, 0.8, 0.0, 0.0, -0.1], atol=1e-12)
    np.testing.assert_allclose(right[:4], [0.5, 1.3, 0.5, 1.8], atol=1e-12)
    assert right[4] == pytest.approx(np.hypot(0.6, 2.2) - BUTTRESS - RADIUS)


def test_the_corridor_repeats_and_both_sides_are_alike() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.uniform(-9, 9, 200), draw.uniform(-1.2, 1.2, 200)
    left, right = wall_gaps(x, y, 1.5)
    for k in (-3, 1, 40):
        np.testing.assert_allclose(wall_gaps(x + k * BAY, y, 1.5), (left, right), atol=1e-12)
    np.testing.assert_allclose(wall_gaps(x, -y, 1.5), (right, left), atol=1e-12)
    assert np.abs(in_bay(x)).max() <= BAY / 2


@pytest.mark.parametrize(("lanes", "half"), [(1, 1.5), (2, 1.5), (3, 2.0), (16, 8.5)])
def test_the_corridor_is_as_wide_as_its_lanes_ask_for(lanes: int, half: float) -> None:
    assert half_width(lanes, 1.0) == half


def plainly(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All against all, one by one."""
    distance, ahead, left = np.full(x.shape, REACH), np.zeros(x.shape), np.zeros(x.shape)
    for copy, one in np.ndindex(x.shape):
        for other in set(range(x.shape[1])) - {one}:
            along, across = x[copy, other] - x[copy, one], y[copy, other] - y[copy, one]
            if np.hypot(along, across) < distance[copy, one]:
                distance[copy, one] = np.hypot(along, across)
                ahead[copy, one], left[copy, one] = along, across
    return distance, ahead, left


@pytest.mark.parametrize(
    ("robots", "long", "wide"), [(2, 1.0, 1.0), (3, 40.0, 1.0), (9, 6.0, 6.0), (60, 30.0, 9.0), (40, 2.0, 2.0)]
)
def test_the_nearest_robot_is_that_of_the_plain_search(robots: int, long: float, wide: float) -> None:
    draw = np.random.default_rng(robots)
    x, y = draw.uniform(0, long, (4, robots)), draw.uniform(0, wide, (4, robots))
    for found, wanted in zip(nearest(x, y), plainly(x, y)):
        np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_who_is_out_of_reach_is_not_there() -> None:
    """Apart by the reach itself: nobody. Within it: the other one, and the same from either side."""
    x, y = np.array([[0.0, REACH], [0.0, REACH - 1e-6]]), np.zeros((2, 2))
    distance, ahead, left = nearest(x, y)
    assert distance[0].tolist() == [REACH, REACH]
    assert not ahead[0].any()
    assert ahead[1, 0] == -ahead[1, 1] == distance[1, 0]
    assert not left.any()


@pytest.mark.parametrize("robots", [12, 30])
def test_bits_of_a_copy_do_not_depend_on_the_others(robots: int) -> None:
    draw = np.random.default_rng(3)
    x, y = draw.uniform(0, 20, (8, robots)), draw.uniform(0, 3, (8, robots))
    x[5] /= 20
    whole = nearest(x, y)
    for copy in range(8):
        for found, alone in zip(whole, nearest(x[copy : copy + 1], y[copy : copy + 1])):
            assert found[copy].tobytes() == alone[0].tobytes()
