"""Ages, ends and figures of episodes in small numbers by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scalmarl.sim_server.episodes import COST_TEAM, RETURN_TEAM, Episodes


def begun(copies: int = 4, agents: int = 2, horizon: int = 8) -> Episodes:
    episodes = Episodes(copies, agents, horizon)
    episodes.begin(np.arange(copies))
    return episodes


def count(
    episodes: Episodes, team: Any = 0.0, cost: Any = 0.0, moved: Any = 0.0, fell: Any = (), copies: slice = slice(0, 4)
) -> np.ndarray:
    """One step of a group as the world makes it; ``fell`` are copies, the agents share the team reward equally. Returns
    who was reset instead."""
    size, agents = copies.stop - copies.start, (episodes.sums.shape[1] - 4) // 2
    resetting = episodes.over[copies].copy()
    falls = np.zeros(size, bool)
    falls[[copy - copies.start for copy in fell]] = True
    rewards = np.repeat(np.broadcast_to(team, size).astype(float)[:, None] / agents, agents, axis=1)
    if resetting.any():
        episodes.begin(np.flatnonzero(resetting) + copies.start)
    given = episodes.count(
        copies, rewards, np.broadcast_to(cost, (size, agents)).astype(float),
        np.broadcast_to(moved, size).astype(float), falls, resetting if resetting.any() else None,
    )  # fmt: skip
    np.testing.assert_allclose(given, rewards.sum(axis=1))
    assert (episodes.over == episodes.terminated | episodes.truncated).all()
    return resetting


@pytest.mark.parametrize(("copies", "horizon"), [(4, 8), (3, 10), (64, 1000), (5, 3), (1, 7)])
def test_copies_start_at_staggered_ages(copies: int, horizon: int) -> None:
    ages = begun(copies, 1, horizon).age.tolist()
    assert ages == [int(copy * horizon / copies) for copy in range(copies)]


def test_episodes_end_evenly_and_later_ones_are_whole() -> None:
    """With 4 copies and 8 steps one copy ends every other step; its reset takes a step of its own."""
    episodes = begun()
    ends: list[list[int]] = []
    for _ in range(8):
        count(episodes)
        ends.append(np.flatnonzero(episodes.truncated).tolist())
    assert ends == [[], [3], [], [2], [], [1], [], [0]]
    lengths = {copy: [] for copy in range(4)}
    for _ in range(40):
        count(episodes)
        for copy in np.flatnonzero(episodes.over):
            lengths[int(copy)].append(int(episodes.length[copy]))
    assert all(seen and set(seen) == {8} for seen in lengths.values())


def test_an_episode_is_truncated_at_the_horizon_and_a_fall_terminates_it() -> None:
    episodes = begun(2, 1, 3)
    both = slice(0, 2)
    count(episodes, copies=both)
    assert not episodes.over.any()
    count(episodes, copies=both, fell=[1])
    # Copy 1 began at age 1: falling at its horizon it is terminated, not truncated.
    assert episodes.terminated.tolist() == [False, True]
    assert episodes.truncated.tolist() == [False, False]
    assert count(episodes, copies=both).tolist() == [False, True]
    assert episodes.terminated.tolist() == [False, False]
    assert episodes.truncated.tolist() == [True, False]
    assert episodes.over.tolist() == [True, False]
    assert episodes.age.tolist() == [3, 0]


def test_shortened_first_episodes_are_left_out_of_the_means_but_not_of_the_rates() -> None:
    episodes = begun()
    for _ in range(7):
        count(episodes, team=1.0)
    figures = episodes.take_figures()
    assert figures["episodes"] == 0
    assert [figures[name] for name in ("return_team", "cost_team", "distance", "length", "cost_agent")] == [None] * 5
    # Three copies were reset once in these steps: copies 3 and 2 after steps 2 and 4, copy 1 after step 6.
    assert figures["steps"] == 4 * 7 - 3
    assert figures["return_rate"] == pytest.approx(8.0)


def test_means_over_whole_episodes_and_rates_by_hand() -> None:
    episodes = begun(1, 2, 3)
    one = slice(0, 1)
    for team, cost, moved in ((1.0, [1.0, 0.0], 0.5), (2.0, [1.0, 1.0], 0.25), (4.0, [0.0, 1.0], 0.25)):
        count(episodes, team, [cost], moved, copies=one)
    assert count(episodes, 100.0, [[9.0, 9.0]], 50.0, copies=one).tolist() == [True]
    count(episodes, 3.0, [[0.0, 0.0]], 1.0, fell=[0], copies=one)
    figures = episodes.take_figures()
    assert figures["episodes"] == 2
    assert figures["return_team"] == pytest.approx((7.0 + 3.0) / 2)
    # The largest cost among the agents at each step, summed: 1 + 1 + 1.
    assert figures["cost_team"] == pytest.approx((3.0 + 0.0) / 2)
    assert figures["cost_agent"] == pytest.approx([1.0, 1.0])
    assert figures["distance"] == pytest.approx(1.0)
    assert figures["length"] == pytest.approx((3 + 1) / 2)
    assert (figures["steps"], figures["terminations"]) == (4, 1)
    assert figures["return_rate"] == pytest.approx(10.0 * 3 / 4)
    assert figures["cost_rate_team"] == pytest.approx(3.0 * 3 / 4)
    assert figures["cost_rate_agent"] == pytest.approx([2.0 * 3 / 4] * 2)
    assert figures["distance_rate"] == pytest.approx(2.0 * 3 / 4)


def test_figures_are_taken_once_but_an_episode_goes_on() -> None:
    episodes = begun(1, 1, 3)
    one = slice(0, 1)
    count(episodes, 1.0, copies=one)
    assert episodes.take_figures()["steps"] == 1
    nothing = episodes.take_figures()
    assert (nothing["episodes"], nothing["steps"], nothing["return_rate"]) == (0, 0, 0.0)
    count(episodes, 2.0, copies=one)
    count(episodes, 4.0, copies=one)
    figures = episodes.take_figures()
    assert (figures["return_team"], figures["length"], figures["steps"]) == (7.0, 3.0, 2)


def test_only_the_copies_of_the_group_are_counted() -> None:
    episodes = begun(4, 1, 8)
    count(episodes, 1.0, 1.0, copies=slice(2, 4))
    assert episodes.length.tolist() == [0, 0, 1, 1]
    assert episodes.age.tolist() == [0, 2, 5, 7]
    assert episodes.sums[:, RETURN_TEAM].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert episodes.sums[:, COST_TEAM].tolist() == episodes.sums[:, -1].tolist() == [0.0, 0.0, 1.0, 1.0]


def test_without_staggering_every_copy_starts_at_age_0() -> None:
    episodes = Episodes(4, 2, 3, staggered=False)
    episodes.begin(np.arange(4))
    for _ in range(3):
        count(episodes, [1.0, 2.0, 3.0, 4.0], [[0.0, 1.0]] * 4, 0.5)
    assert episodes.truncated.all()
    assert episodes.finished(2) == {
        "length": 3, "return_team": 9.0, "cost_team": 3.0, "distance": 1.5, "return_agent": [4.5, 4.5],
        "cost_agent": [0.0, 3.0], "terminated": False, "truncated": True,
    }  # fmt: skip
    assert episodes.take_figures()["episodes"] == 4


def trial(episodes: Episodes, steps: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    for _ in range(steps):
        resetting = episodes.over.copy()
        fell = np.flatnonzero((draw.random(4) < 0.1) & ~resetting)
        count(episodes, draw.normal(size=4), draw.random((4, 2)), draw.normal(size=4), fell)


def test_loaded_arrays_go_on_as_the_saved_ones() -> None:
    one, two = begun(), begun()
    trial(one, 13, 0)
    trial(two, 5, 1)
    arrays = {name: array.copy() for name, array in one.arrays().items()}
    one.take_figures()
    two.load(arrays)
    for episodes in (one, two):
        trial(episodes, 21, 2)
    assert one.take_figures() == two.take_figures()
    for name, array in one.arrays().items():
        assert array.tobytes() == two.arrays()[name].tobytes(), name


def test_saved_arrays_do_not_change_with_the_episodes() -> None:
    episodes = begun()
    arrays = episodes.arrays()
    kept = {name: array.tobytes() for name, array in arrays.items()}
    trial(episodes, 9, 3)
    assert {name: array.tobytes() for name, array in arrays.items()} == kept
    assert any(array.tobytes() != kept[name] for name, array in episodes.arrays().items())
