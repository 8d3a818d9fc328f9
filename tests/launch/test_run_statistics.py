"""The figures of runs, against numbers worked out by hand and against scipy's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from scalmarl.launch.run_statistics import (
    agent_costs,
    band_over_seeds,
    binned,
    episode_mean,
    final_window,
    interquartile_mean,
    measure,
    over_seeds,
    performance_profile,
    probability_of_improvement,
    violation_rate,
    window_rounds,
)


def line(round: int, episodes: int = 0, **figures: Any) -> dict[str, Any]:
    """A line of metrics of two agents, 32 steps a round."""
    ended: dict[str, Any] = dict.fromkeys(("return_team", "cost_agent", "distance"))
    return {
        "round": round, "env_steps": 32 * (round + 1), "episodes": episodes, "cost_limit": [5.0, 1.0],
        "bytes_agent": [100, 300], "wall_s": 0.5, **ended, **figures,
    }  # fmt: skip


def test_the_interquartile_mean_cuts_a_quarter_at_each_end() -> None:
    assert interquartile_mean(np.array([100.0, 2.0, 1.0, 3.0])) == 2.5
    assert interquartile_mean(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 60.0, -70.0])) == 2.5
    assert interquartile_mean(np.array([1.0, 2.0, 6.0])) == 3.0, "of three it is the mean"


def test_over_seeds_gives_an_interval_from_three_seeds_on_and_the_same_one_each_time() -> None:
    assert over_seeds([1.0, None, 3.0]) == {
        "values": [1.0, None, 3.0], "iqm": 2.0, "low": None, "high": None, "mean": 2.0, "median": 2.0,
    }  # fmt: skip
    assert over_seeds([None])["iqm"] is None
    found = over_seeds([1.0, 2.0, 6.0])
    assert found == over_seeds([1.0, 2.0, 6.0])
    assert (found["iqm"], found["low"], found["high"]) == (3.0, 1.0, 6.0), "1 of 27 resamples is 1, 1, 1: above 2.5 %"
    assert over_seeds([4.0] * 3) == {
        "values": [4.0] * 3,
        **dict.fromkeys(("iqm", "low", "high", "mean", "median"), 4.0),
    }
    skewed = over_seeds([0.0, 1.0, 2.0, 3.0, 94.0])
    assert (skewed["iqm"], skewed["mean"], skewed["median"]) == (2.0, 20.0, 2.0)


@pytest.mark.parametrize(("rounds", "share", "length"), [(250, 0.1, 25), (251, 0.1, 26), (300, 0.1, 30), (40, 0.1, 10),
                                                          (7, 0.1, 7), (40, 1.0, 40)])  # fmt: skip
def test_the_window_is_a_share_of_the_rounds_and_at_least_ten(rounds: int, share: float, length: int) -> None:
    assert window_rounds(rounds, share) == length


def test_a_lost_line_leaves_a_gap_in_the_window() -> None:
    lines = [line(round) for round in range(40) if round != 33]
    assert [each["round"] for each in final_window(lines, 40, 0.1)] == [30, 31, 32, 34, 35, 36, 37, 38, 39]
    assert [each["round"] for each in final_window(lines, 20, 0.1)] == list(range(10, 20))


def test_episodes_have_equal_weight_and_rounds_without_one_have_none() -> None:
    lines = [
        line(0, 1, return_team=10.0, cost_agent=[4.0, 0.0]), line(1), line(2, 3, return_team=2.0, cost_agent=[8.0, 2.0])
    ]  # fmt: skip
    assert episode_mean(lines, "return_team") == 4.0
    assert agent_costs(lines) == [[7.0], [1.5]]
    assert violation_rate(lines) == 2 / 4, "in round 2 both agents are above their limits of 5 and 1"
    assert violation_rate([line(0)]) is None
    assert episode_mean([line(0)], "return_team") is None


def test_an_agent_of_several_costs_violates_when_any_is_above_its_limit() -> None:
    lines = [line(0, 2, cost_agent=[[1.0, 9.0], [0.0, 0.0]], cost_limit=[[5.0, 5.0], [5.0, 5.0]])]
    assert violation_rate(lines) == 0.5
    assert agent_costs(lines) == [[1.0, 9.0], [0.0, 0.0]]
    assert measure(lines, 1, 0.1)["largest_cost"] == 9.0


def test_a_run_is_measured_by_hand() -> None:
    early = [line(round, 4, return_team=-1.0, cost_agent=[99.0, 99.0], distance=0.0) for round in range(20)]
    late = [line(round, 4, return_team=3.0, cost_agent=[4.0, 2.0], distance=1.0) for round in range(20, 30)]
    assert measure(early + late, 30, 0.1) == {
        "return": 3.0, "cost": 3.0, "largest_cost": 4.0, "violation_rate": 0.5, "distance": 1.0,
        "bytes_agent_round": 200.0, "bytes_env_step": 12.5, "wall_s": 15.0,
    }  # fmt: skip


def test_curves_are_means_over_the_episodes_of_a_bin() -> None:
    lines = [line(0, 1, return_team=1.0, cost_agent=[1.0, 3.0]), line(1, 3, return_team=5.0, cost_agent=[5.0, 3.0])]
    edges = np.array([0.0, 64.0, 128.0])
    assert binned(lines, "return_team", edges)[0] == 4.0
    assert binned(lines, "cost", edges)[0] == 3.5
    assert binned(lines, "largest_cost", edges)[0] == 4.0
    assert np.isnan(binned(lines, "return_team", edges)[1])


def test_a_band_is_over_seeds_at_every_point() -> None:
    curves = np.array(
        [[1.0, 5.0, np.nan, np.nan], [2.0, np.nan, np.nan, 7.0], [6.0, 1.0, np.nan, 2.0], [0.5, 3.0, np.nan, 3.0]]
    )
    middle, low, high = band_over_seeds(curves)
    for at in range(4):
        one = over_seeds([None if np.isnan(x) else float(x) for x in curves[:, at]])
        expected = [np.nan if one[name] is None else one[name] for name in ("iqm", "low", "high")]
        np.testing.assert_array_equal([middle[at], low[at], high[at]], expected)
    assert np.isnan(band_over_seeds(curves, interval=False)[1]).all()


def test_the_probability_of_improvement_is_that_of_mann_and_whitney() -> None:
    assert probability_of_improvement([1, 2, 3], [0, 2, 4])["share"] == 0.5, "4 pairs of 9, and a tie"
    assert probability_of_improvement([5, 6, 7], [0, 2, 4]) == {"share": 1.0, "low": 1.0, "high": 1.0}
    assert probability_of_improvement([1, 2], [3, 4, 5])["low"] is None
    draw = np.random.default_rng(3)
    for sizes in ((3, 3), (7, 5), (4, 12)):
        x, y = (draw.normal(size=size).round(1).tolist() for size in sizes)
        found, turned = probability_of_improvement(x, y), probability_of_improvement(y, x)
        assert found["share"] == pytest.approx(mannwhitneyu(x, y).statistic / (len(x) * len(y)))
        assert found["share"] + turned["share"] == pytest.approx(1.0)
        assert found["low"] <= found["share"] <= found["high"]


def test_a_performance_profile_falls_from_all_runs_to_none() -> None:
    share, low, high = performance_profile([1.0, 2.0, 6.0], np.array([0.0, 1.0, 1.5, 3.0, 6.0]))
    assert share.tolist() == pytest.approx([1.0, 2 / 3, 2 / 3, 1 / 3, 0.0]), "a run at the level is not above it"
    assert (low[0], high[0], low[-1], high[-1]) == (1.0, 1.0, 0.0, 0.0)
    assert np.isnan(performance_profile([1.0, 2.0], np.array([0.0]))[1]).all()
