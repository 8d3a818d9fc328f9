"""Where the pieces of a rollout are placed, and which samples count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from scalmarl.agents.rollout import Rollout
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.standins import toy_plan

ME = 1
"""Two costs, block of 3, next to blocks of 2 and 4."""
STEPS, COPIES = 4, 6


def plan_of(groups: int) -> Plan:
    return toy_plan(((1,), (0, 2), (1,)), (0, 1, 0), steps=STEPS, copies=COPIES, groups=groups)


def coded(t: int, copies: NDArray[np.int64], column: int) -> NDArray[np.float32]:
    """A number that tells time, copy and column apart."""
    return (10_000 * t + 100 * copies + column).astype(np.float32)


def observation(
    t: int, copies: NDArray[np.int64], terminated: NDArray[np.bool_], truncated: NDArray[np.bool_]
) -> NDArray[np.float32]:
    columns = [coded(t, copies, column) for column in range(6)]
    return np.stack([*columns, terminated[t, copies], truncated[t, copies]], axis=1).astype(np.float32)


def filled(groups: int) -> tuple[Rollout, NDArray[np.bool_], NDArray[np.bool_]]:
    draw = np.random.default_rng(0)
    terminated = draw.random((STEPS + 1, COPIES)) < 0.3
    truncated = (draw.random((STEPS + 1, COPIES)) < 0.3) & ~terminated
    rollout = Rollout(plan_of(groups), ME, np.zeros(9))
    size = COPIES // groups
    for step in range(groups * (STEPS + 1)):
        t, group = step // groups, step % groups
        copies = np.arange(group * size, (group + 1) * size)
        assert rollout.place(step) == (t, slice(group * size, (group + 1) * size))
        block = rollout.observe(step, observation(t, copies, terminated, truncated))
        np.testing.assert_array_equal(block, np.stack([coded(t, copies, column) for column in range(3)], axis=1))
        assert block.flags.c_contiguous
        before = np.stack([coded(t, copies, column) for column in (50, 51)], axis=1)
        after = np.stack([coded(t, copies, column) for column in (60, 61, 62, 63)], axis=1)
        rollout.look(step, [before, block, after])
    return rollout, terminated, truncated


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_rewards_and_costs_of_an_action_arrive_with_the_next_observation(groups: int) -> None:
    rollout, _, _ = filled(groups)
    copies = np.arange(COPIES)
    for t in range(STEPS):
        np.testing.assert_array_equal(rollout.rewards[t], coded(t + 1, copies, 3))
        np.testing.assert_array_equal(rollout.costs[:, t], [coded(t + 1, copies, 4), coded(t + 1, copies, 5)])
    assert rollout.rewards.shape == (STEPS, COPIES)
    assert rollout.costs.shape == (2, STEPS, COPIES)


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_inputs_are_the_blocks_of_the_neighbourhood_side_by_side(groups: int) -> None:
    rollout, _, _ = filled(groups)
    assert rollout.inputs.shape == (STEPS + 1, COPIES, 2 + 3 + 4)
    copies = np.arange(COPIES)
    for t in range(STEPS + 1):
        columns = [coded(t, copies, column) for column in (50, 51, 0, 1, 2, 60, 61, 62, 63)]
        np.testing.assert_array_equal(rollout.inputs[t], np.stack(columns, axis=1))


@pytest.mark.parametrize("groups", [1, 3])
def test_flags_are_kept_apart_and_mask_the_sample_that_starts_in_a_finished_episode(groups: int) -> None:
    rollout, terminated, truncated = filled(groups)
    np.testing.assert_array_equal(rollout.terminated, terminated)
    np.testing.assert_array_equal(rollout.truncated, truncated)
    np.testing.assert_array_equal(rollout.done, terminated | truncated)
    np.testing.assert_array_equal(rollout.valid, ~(terminated | truncated)[:STEPS])


def test_the_first_observations_reward_and_costs_belong_to_the_round_before() -> None:
    rollout = Rollout(plan_of(1), ME, np.zeros(9))
    none = np.zeros((STEPS + 1, COPIES), bool)
    rollout.observe(0, observation(7, np.arange(COPIES), none.repeat(2, axis=0), none.repeat(2, axis=0)))
    assert not rollout.rewards.any()
    assert not rollout.costs.any()


def test_what_is_stored_does_not_change_with_the_array_that_came_in() -> None:
    rollout, none = Rollout(plan_of(1), ME, np.zeros(9)), np.zeros((STEPS + 1, COPIES), bool)
    first = observation(1, np.arange(COPIES), none, none)
    block = rollout.observe(1, first)
    rollout.look(1, [np.zeros((COPIES, 2), np.float32), block, np.zeros((COPIES, 4), np.float32)])
    kept = (rollout.rewards.copy(), rollout.inputs.copy())
    first[:] = -1.0
    block[:] = -2.0
    np.testing.assert_array_equal(rollout.rewards, kept[0])
    np.testing.assert_array_equal(rollout.inputs, kept[1])


def test_an_absent_neighbours_block_is_the_blank_and_its_presence_is_0() -> None:
    plan = replace(plan_of(1), on_loss="mask", absent=(2,))
    blank = np.arange(11.0) + 100.0
    rollout = Rollout(plan, ME, blank)
    none = np.zeros((STEPS + 1, COPIES), bool)
    block = rollout.observe(0, observation(0, np.arange(COPIES), none, none))
    seen = rollout.look(0, [np.full((COPIES, 2), 7.0, np.float32), block, None])
    assert seen.shape == (COPIES, 2 + 3 + 4 + 2)
    np.testing.assert_array_equal(seen[:, :2], 7.0)
    np.testing.assert_array_equal(seen[:, 2:5], block)
    np.testing.assert_array_equal(seen[:, 5:9], np.tile(blank[5:9], (COPIES, 1)))
    np.testing.assert_array_equal(seen[:, 9:], [[1.0, 0.0]] * COPIES)
    np.testing.assert_array_equal(rollout.unseen, [False] * 5 + [True] * 6)
