"""An agent's figures in windows of rounds, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from scalmarl.launch.course import NEEDS, course


def line(round: int, cost: float | list[float] | None, bound: str = "epochs", explained: float = 0.5) -> dict[str, Any]:
    """Agent 0's line; absent where ``cost`` is ``None``."""
    several = isinstance(cost, list)
    own = {
        "cost_estimate_agent": cost, "lambda_agent": [0.5, 1.5] if several else 0.5, "kl_agent": 0.01 * round,
        "radius_agent": 0.02, "clip_fraction": 0.25, "policy_std": None, "bound_agent": bound,
        "explained_variance": [0.75, *([explained] * (2 if several else 1))],
    }  # fmt: skip
    told = {name: [None if cost is None else value] for name, value in own.items()}
    return {"round": round, "cost_limit": [[5.0, 1.0] if several else 5.0], **told}


def test_windows_hold_means_medians_and_what_ended_turns() -> None:
    lines = [line(0, 4.0), line(1, 8.0, "slack of 3", 0.25), line(2, 9.0, "slack of 1", -9.0), line(3, 5.0, "kl_max")]
    assert set(NEEDS) <= set(lines[0])
    first, second = course(0, lines, 2)
    assert (first["first"], first["last"], second["first"], second["last"]) == (0, 1, 2, 3)
    assert (first["cost_estimate"], first["above"], first["multiplier"]) == ([6.0], [0.5], [0.5])
    assert second["above"] == [0.5], "at the limit is not above it"
    (whole,) = course(0, lines, 1)
    assert whole["bounds"] == {"slack": 2, "epochs": 1, "kl_max": 1}
    assert whole["explained_variance"] == {"reward": 0.75, "costs": [0.375]}, "a median: one bad round is one"
    assert whole["kl"] == pytest.approx(0.015)
    assert whole["policy_std"] is None, "a policy that chooses has none"


def test_every_cost_has_its_own_and_absence_does_not_count() -> None:
    lines = [line(0, [4.0, 2.0]), line(1, None), line(2, [8.0, 0.0]), line(3, None), line(4, None)]
    first, second = course(0, lines, 3)
    assert (first["first"], first["last"], first["cost_estimate"]) == (0, 1, [4.0, 2.0])
    assert (second["cost_estimate"], second["above"]) == ([8.0, 0.0], [1.0, 0.0])
    assert first["multiplier"] == [0.5, 1.5]
    assert course(0, [line(0, None)]) == []


def test_an_agent_without_costs_has_no_entry() -> None:
    bare = line(0, [])
    bare["lambda_agent"], bare["cost_limit"], bare["explained_variance"] = [[]], [[]], [[0.5]]
    (row,) = course(0, [bare])
    assert (row["cost_estimate"], row["above"], row["explained_variance"]["costs"]) == ([], [], [])
