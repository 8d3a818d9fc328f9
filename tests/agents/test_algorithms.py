"""The table of algorithms: the rows of the design, what each exchanges, and what cannot go together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scalmarl.agents.algorithms import ALGORITHMS, Switches
from scalmarl.agents.learner_state import Networks
from scalmarl.agents.settings import LearnerSettings
from scalmarl.launch.config import resolve, to_toml
from scalmarl.launch.errors import UsageProblem
from scalmarl.launch.planning import make_plan
from scalmarl.protocol.plan import Plan


def plan_of(algo: str, *assignments: str, **flags: Any) -> Plan:
    named = {"run.algo": algo, "run.agents": 4, "run.kappa": 1, "world.envs": 4, "world.steps": 4}
    named |= {name.replace("__", "."): value for name, value in flags.items()}
    return make_plan(*resolve(None, assignments, named)).plan


def test_the_names_are_those_of_the_design() -> None:
    assert list(ALGORITHMS) == [
        "scal-mappo-l", "scal-mappo-l-printed", "scal-mappo-l-exact", "mappo-l", "macpo", "happo", "mappo", "ippo",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("algo", "exchanged", "heard", "reward"),
    [
        ("scal-mappo-l", ("advantage", "slack", "turn"), (0, 2), "local"),
        ("scal-mappo-l-printed", (), (0, 2), "local"),
        ("scal-mappo-l-exact", ("advantage", "slack", "turn"), (0, 2), "local"),
        ("mappo-l", ("turn",), (0, 2, 3), "team"),
        ("macpo", ("turn",), (0, 2, 3), "team"),
        ("happo", ("turn",), (0, 2, 3), "team"),
        ("mappo", (), (0, 2, 3), "team"),
        ("ippo", (), (), "local"),
    ],
)
def test_whom_each_hears_and_what_is_told(
    algo: str, exchanged: tuple[str, ...], heard: tuple[int, ...], reward: str
) -> None:
    plan = plan_of(algo)
    assert plan.exchanged == exchanged
    assert plan.neighbours[1] == heard
    assert plan.task.reward_mode == reward


def test_switches_can_be_chosen_one_by_one() -> None:
    plan = plan_of("scal-mappo-l", "learner.factor=none", "learner.radius=off")
    assert plan.learner["factor"] == "none"
    assert plan.learner["cost_terms"] == "neighbourhood"
    assert plan.exchanged == ("advantage", "slack")
    assert plan_of("scal-mappo-l", "learner.reward_terms=team").task.reward_mode == "team"


def test_the_switches_in_another_runs_configuration_are_not_those_of_another_algorithm(tmp_path: Path) -> None:
    """A run's config.toml has the switches of its algorithm written out."""
    flags = {"run.agents": 4, "run.kappa": 1, "world.envs": 4, "world.steps": 4}
    default = make_plan(*resolve(None, (), flags))
    file = tmp_path / "config.toml"
    file.write_text(to_toml(default.config), encoding="utf-8")
    plan = make_plan(*resolve(file, (), {"run.algo": "happo", "world.reward": "team"})).plan
    assert {name: plan.learner[name] for name in ("cost_terms", "reward_terms", "radius")} == {
        "cost_terms": "none", "reward_terms": "team", "radius": "off",
    }  # fmt: skip
    again = make_plan(*resolve(file, ("learner.factor=none",), {"run.algo": "scal-mappo-l"})).plan
    assert (again.learner["factor"], again.learner["radius"]) == ("none", "ledger")


def test_the_same_switches_make_the_same_run_by_whatever_name() -> None:
    """Digests differ by the name alone; all that the processes read is equal."""
    printed = plan_of("scal-mappo-l-printed")
    by_hand = plan_of(
        "scal-mappo-l",
        "learner.factor=none",
        "learner.cost_terms=own",
        "learner.reward_terms=own",
        "learner.radius=off",
    )
    assert replace(by_hand, run=0, config_hash="") == replace(printed, run=0, config_hash="")


@pytest.mark.parametrize(
    ("algo", "assignments", "reward", "words"),
    [
        ("mappo-l", (), "local", "needs the team's reward"),
        ("scal-mappo-l-printed", ("learner.radius=ledger",), "local", "neighbours' slack"),
        ("scal-mappo-l", ("learner.accept=true",), "local", "needs radius exact"),
        ("macpo", ("learner.cost_terms=neighbourhood",), "team", "one constraint"),
        ("scal-mappo-l-exact", ("learner.gamma=1.0",), "local", "gamma below 1"),
        ("scal-mappo-l", ("learner.kl_min=0.5",), "local", "above learner.kl_max"),
        ("mappol", (), "local", "did you mean 'mappo"),
    ],
)
def test_what_cannot_go_together_is_named(algo: str, assignments: tuple[str, ...], reward: str, words: str) -> None:
    with pytest.raises(UsageProblem) as problem:
        plan_of(algo, *assignments, world__reward=reward)
    assert words in f"{problem.value.what}; {problem.value.hint}"


def test_every_algorithm_is_free_of_contradiction() -> None:
    for algorithm in ALGORITHMS.values():
        assert algorithm.switches.contradiction("team", 0.99) is None
    assert Switches("none", "own", "own", "ledger").contradiction("local", 0.9)


@pytest.mark.parametrize(("algo", "start"), [("scal-mappo-l", 0.78), ("macpo", 0.0), ("happo", 0.0)])
def test_only_a_lagrangian_starts_with_a_multiplier(algo: str, start: float) -> None:
    plan = plan_of(algo, "learner.multiplier_start=0.78")
    assert Networks(plan, 0, LearnerSettings.from_data(plan.learner)).multipliers == [start]


def test_a_plan_from_before_a_setting_existed_has_what_was_done_then() -> None:
    now = plan_of("scal-mappo-l-exact").learner
    before = {name: value for name, value in now.items() if name != "cost_truncation_error"}
    assert LearnerSettings.from_data(before) == LearnerSettings.from_data({**now, "cost_truncation_error": 0.0})
