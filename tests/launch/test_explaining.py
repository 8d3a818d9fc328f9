"""Explanations in words: each kind of bound, with the figures of the line; and of the files of a real run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from scalmarl.launch.cli import main
from scalmarl.launch.config import resolve
from scalmarl.launch.explaining import explanation
from scalmarl.launch.planning import make_plan
from scalmarl.launch.records import read_lines
from scalmarl.protocol.order import turn_order
from scalmarl.protocol.plan import Plan


def plan_of(algo: str = "scal-mappo-l", **learner: Any) -> Plan:
    named = {"run.agents": 3, "run.kappa": 1, "run.algo": algo}
    return make_plan(*resolve(None, (), {**named, **{f"learner.{k}": v for k, v in learner.items()}})).plan


PLAN = plan_of()


def line_of(**own: Any) -> dict[str, Any]:
    """A line of round 4 whose figures of agent 1 are these."""
    figures = {
        "kl_agent": 0.01, "kl_max_agent": 0.5, "radius_agent": 0.02, "bound_agent": "epochs", "epochs": 5,
        "clip_fraction": 0.125, "reward_gain": 0.25, "rejected_kl": None, "kept": None, "certain_gain": None,
        "accepted": None, "allowance": None, "policy_std": 0.4, "policy_entropy": 1.0, "lambda_agent": 0.5,
        "cost_estimate_agent": 7.0, "cost_limit": 5.0, "explained_variance": [0.75, -0.5],
        "spent_agent": {
            "sampling": 0.5, "wait_sampling": 1.25, "update": 0.25, "wait_update": 0.125, "messages": 0.0625,
        },
    }  # fmt: skip
    return {"round": 4, "absent": [], **{name: [None, value, None] for name, value in {**figures, **own}.items()}}


def told(plan: Plan = PLAN, before: dict[str, Any] | None = None, **own: Any) -> str:
    return "\n".join(row["text"] for row in explanation(plan, 1, line_of(**own), before, None)["sentences"])


ALLOWANCE = {"agent": 2, "cost": 0, "left": 1.5, "price": 20.0, "radius": 0.01125}
CASES: dict[str, tuple[Plan, dict[str, Any], tuple[str, ...]]] = {
    "nothing": (
        PLAN, {},
        ("nothing cut it short: all 5 epochs", "a mean KL of 0.01 nats, 50 % of the radius 0.02", "12.5 % had a ratio",
         "worked for 0.5 s while sampling and for 0.25 s after it, spent 0.0625 s on messages, and waited: 1.25 s for "
         "states and physics, 0.125 s for turns and for the commit of the round before"),
    ),
    "kl_max": (
        PLAN, {"bound_agent": "kl_max", "epochs": 2, "rejected_kl": 0.03, "kept": 0.25},
        ("epoch 3 of 5 was taken back: it went beyond kl_max, 0.02, with a mean KL of 0.03; 25 % of its way was kept",
         "the radius was kl_max, 0.02: the step raises no cost"),
    ),
    "all of it taken back": (
        PLAN, {"bound_agent": "kl_max", "epochs": 0, "rejected_kl": 0.5, "kept": 0.0, "kl_agent": 0.0},
        ("epoch 1 of 5 was taken back", "nothing of its way was kept", "its policy did not move"),
    ),
    "a neighbour's slack": (
        PLAN, {"bound_agent": "slack of 2", "epochs": 1, "rejected_kl": 0.013, "kept": 0.5, "allowance": ALLOWANCE},
        ("it went beyond what the slack of agent 2 paid for",
         "the tightest slack was that of cost 0 of agent 2: 1.5 left to spend at a price of 20, which pays for a KL of "
         "0.0112"),
    ),
    "the floor": (
        PLAN,
        {"bound_agent": "kl_min", "epochs": 0, "kept": 0.5, "allowance": {**ALLOWANCE, "left": -1.0, "radius": 0.0}},
        ("it went beyond kl_min, 0.005", "-1 left to spend", "the ledger's promise is void"),
    ),
    "slack enough": (
        PLAN, {"allowance": {**ALLOWANCE, "left": 100.0, "radius": 50.0}},
        ("pays for a KL of 50; kl_max, 0.02, is smaller",),
    ),
    "the accept test": (
        plan_of("scal-mappo-l-exact", gamma=0.5),
        {"bound_agent": "accept", "epochs": 5, "certain_gain": -0.3, "accepted": 0.0},
        ("the accept test cut it: 0 % of the turn is left, whose certain gain is -0.3; it must exceed 0",),
    ),
    "the line search": (
        plan_of("macpo"), {"bound_agent": "line search", "kept": 0.125},
        ("the line search shortened the step", "12.5 % of the step was kept", "nobody's slack bounds"),
    ),
    "recovery": (plan_of("macpo"), {"bound_agent": "recovery", "kept": 1.0}, ("only lowers the cost",)),
    "a whole step": (plan_of("macpo"), {"bound_agent": "kl_max", "kept": 1.0}, ("whole trust-region step",)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_bounded_a_step_is_told_with_its_figures(name: str) -> None:
    plan, own, words = CASES[name]
    text = told(plan, **own)
    for wanted in words:
        assert wanted in text, text


@pytest.mark.parametrize(
    ("estimate", "then", "words"),
    [
        (7.0, 0.25, "7 an episode, is above the limit 5: the multiplier rose from 0.25 to 0.5"),
        (3.0, 0.75, "3 an episode, is below the limit 5: the multiplier fell from 0.75 to 0.5"),
        (3.0, 0.5, "3 an episode, is below the limit 5: the multiplier stayed at 0.5"),
        (5.0, None, "5 an episode, is at the limit 5: the multiplier is 0.5"),
    ],
)
def test_multiplier_and_cost_against_limit(estimate: float, then: float | None, words: str) -> None:
    before = None if then is None else line_of(lambda_agent=then)
    assert words in told(before=before, cost_estimate_agent=estimate)


def test_critics_worse_than_the_mean_are_named() -> None:
    assert "reward 75 %, cost -50 %; below 0 a critic is worse than the mean" in told()
    assert "worse" not in told(explained_variance=[0.75, 0.5])


def test_whom_it_hears_and_who_went_before_it_follows_from_plan_and_round() -> None:
    found = explanation(PLAN, 1, line_of(), None, None)
    order = turn_order(PLAN, 4)
    assert found["hears"] == [0, 2]
    assert found["before_it"] == sorted(order[: order.index(1)])


def test_an_absent_agent_is_said_to_be_and_counts_for_nobody() -> None:
    line = {**line_of(), "absent": [1]}
    line |= {name: [0.0, None, 0.0] for name in ("kl_agent", "lambda_agent", "cost_estimate_agent")}
    found = explanation(PLAN, 1, line, None, None)
    assert (found["present"], found["turn"], found["hears"]) == (False, None, [])
    assert [row["text"] for row in found["sentences"]] == [
        "agent 1 was absent in round 4: it sent, heard and learnt nothing"
    ]
    assert explanation(replace(PLAN), 0, {**line_of(), "absent": [1]}, None, None)["hears"] == []


def test_what_an_older_version_did_not_record_is_named_and_has_no_sentence() -> None:
    line = line_of(bound_agent="kl_max", epochs=2)
    for name in ("allowance", "rejected_kl", "kept", "reward_gain"):
        del line[name]
    found = explanation(PLAN, 1, line, None, None)
    assert found["missing"] == ["allowance", "kept", "rejected_kl", "reward_gain"]
    text = "\n".join(row["text"] for row in found["sentences"])
    assert "epoch 3 of 5 was taken back: it went beyond kl_max, 0.02\n" in text
    assert "the radius was" not in text


def test_every_sentence_names_keys_that_the_files_have(calm: Any) -> None:
    answer = CliRunner().invoke(main, ["explain", "1", "--run", str(calm.path), "--round", "5", "--json"])
    found = json.loads(answer.stdout)
    line = next(line for line in read_lines(calm.path / "metrics.jsonl") if line["round"] == 5)
    assert found["missing"] == []
    assert found["turn"]["kl"] == line["kl_agent"][1]
    for row in found["sentences"]:
        file, _, keys = row["source"].partition(" ")
        if file == "metrics.jsonl":
            assert all(key.strip() in line for key in keys.partition(", plan.json")[0].split(",")), row
    sent = sum(row["wire_bytes"] for row in found["sent"])
    assert sent == line["bytes_agent"][1]
    assert {row["process"] for row in found["received"]} == {"agent/0", "agent/2", "sim", "coordinator"}


def test_in_words_it_fits_80_columns(calm: Any) -> None:
    answer = CliRunner().invoke(main, ["explain", "2", "--run", str(calm.path)], env={"COLUMNS": "80"})
    assert answer.exit_code == 0
    assert "Agent 2 hears agent 1 (kappa 1)" in answer.stdout
    head, *rest = answer.stdout.splitlines()
    assert head == f"{calm.path}, round 39"
    assert max(map(len, rest)) <= 80
