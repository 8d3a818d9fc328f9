"""Oracle 1: the processes learn what one plain loop over the agents learns, whatever the algorithm.

The loop is ``plain_trainer``, written from the equations; the processes are real bodies with real learners.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.protocol.keys import SIM, Key, Kind
from scalmarl.protocol.plan import Plan

from .plain_trainer import RULES, PlainTrainer


@dataclass(frozen=True)
class Run:
    """On a path. ``chosen``: as for ``small_plan``; ``happens``: what the run is there for must happen in its turns."""

    algorithm: str
    agents: int = 3
    kappa: int = 2
    chosen: dict[str, Any] = field(default_factory=dict)
    happens: tuple[str, ...] = ()


LEDGER: dict[str, Any] = {"kl_min": 1e-5, "limit": 0.5}
# The theorem's constants leave long steps for small gammas alone; the threshold of the gain makes refusals.
EXACT = {"gamma": 0.5, "limit": 0.6, "policy_lr": 2e-3, "truncation_error": 0.01, "cost_truncation_error": 0.002}
LONG_STEPS = {"gamma": 0.2, "limit": 0.5, "policy_lr": 5e-3, "truncation_error": 0.01, "kl_max": 0.05}
# Conjugate gradients arrive where a dense solve is; after the default ten iterations they are 5e-3 away.
MACPO = {"cg_iterations": 60}
# Of the middle agent, which alone would have two entries, numbers.
CHOICES = (3, 0, 2)
RUNS = {
    "radius off": Run("scal-mappo-l", chosen={"radius": "off"}),
    "tight": Run("scal-mappo-l", chosen={"radius": "off", "policy_lr": 1e-2, "kl_max": 0.01}, happens=("kl_max",)),
    "ledger": Run("scal-mappo-l", chosen={"kl_min": 1e-5}, happens=("slack",)),
    "path": Run("scal-mappo-l", 5, 1, LEDGER, ("slack",)),
    "path by colours": Run("scal-mappo-l", 5, 1, {**LEDGER, "order": "colour"}, ("slack",)),
    "path, two hops": Run("scal-mappo-l", 5, 2, {**LEDGER, "order": "colour"}, ("slack",)),
    "team cost": Run("scal-mappo-l", 4, 1, {"kl_min": 1e-5, "cost_mode": "team"}, ("slack",)),
    "printed": Run("scal-mappo-l-printed", 4, 1),
    "exact": Run("scal-mappo-l-exact", 4, 1, EXACT, ("slack", "accepted", "accepted in part", "refused")),
    "exact, long steps": Run("scal-mappo-l-exact", 4, 1, LONG_STEPS, ("slack", "accepted", "refused")),
    "mappo-l": Run("mappo-l"),
    "macpo": Run("macpo", chosen=MACPO, happens=("loose", "binding", "whole step", "shorter step")),
    "macpo, far above": Run(
        "macpo", chosen={**MACPO, "limit": (0.5, 0.02), "kl_max": 5e-4}, happens=("loose", "binding", "recovery")
    ),
    "choices": Run("scal-mappo-l", chosen={**LEDGER, "choices": CHOICES}, happens=("slack",)),
    "choices, mappo-l": Run("mappo-l", chosen={"limit": 0.5, "choices": CHOICES}),
    "choices, macpo": Run("macpo", chosen={**MACPO, "choices": CHOICES}, happens=("loose", "binding", "whole step")),
    "happo": Run("happo"),
    "mappo": Run("mappo"),
    "ippo": Run("ippo", 3, 0),
}
MUTANTS = [
    ("factor switched", "radius off"),
    ("own costs only", "radius off"),
    ("truncation is termination", "radius off"),
    ("own reward only", "path"),
    ("all predecessors", "path"),
    ("whole slack for every clique", "path"),
    ("one clique for all that hear", "path"),
    ("predecessors spend nothing", "path"),
    ("own step alone teaches", "path"),
    ("team cost of every neighbour", "team cost"),
    ("costs of all heard", "printed"),
    ("whole slack for every clique", "exact"),
    ("no accept test", "exact"),
    ("bounds without the factor", "exact, long steps"),
    ("mean KL in the bounds", "exact, long steps"),
    ("predecessors spend nothing", "exact, long steps"),
    ("no constraint", "macpo"),
    ("no factor on the cost", "macpo"),
    ("twice the damping", "macpo"),
    ("the first cost binds", "macpo, far above"),
    ("no mean in the Fisher matrix", "choices, macpo"),
    ("factor switched", "happo"),
    ("factor switched", "mappo"),
]

Record = tuple[Plan, Any, list[list[dict[str, Any]]]]
"""Plan, what was played, and the batch of each round and agent."""


@pytest.fixture(scope="module")
def record(make_plan: Callable[..., Plan], play: Callable[..., Any]) -> Callable[[str], Record]:
    @cache
    def of(name: str) -> Record:
        run = RUNS[name]
        plan = make_plan(
            run.agents, run.kappa, run.algorithm, **{"order": "permutation", "critic_epochs": 2, **run.chosen}
        )
        played = play(plan)
        agents = range(plan.agents)
        return plan, played, [[batch_of(plan, played.said, r, i) for i in agents] for r in range(plan.rounds)]

    return of


def batch_of(plan: Plan, said: dict[Key, Any], round: int, i: int) -> dict[str, Any]:
    """What the world told agent i, and what it did, ``[t][copy]``."""

    def stack(producer: int, kind: Kind, steps: int) -> Any:
        rows = [
            [said[Key(producer, kind, i, round, t * plan.groups + g)] for g in range(plan.groups)] for t in range(steps)
        ]
        return np.array([np.concatenate(row) for row in rows])

    told, block = stack(SIM, Kind.OBSERVATION, plan.steps + 1), plan.task.block_sizes[i]
    return {
        "blocks": told[:, :, :block], "reward": told[1:, :, block],
        "costs": np.moveaxis(told[1:, :, block + 1 : -2], 2, 0),
        "terminated": told[:, :, -2] > 0, "truncated": told[:, :, -1] > 0, "actions": stack(i, Kind.ACTION, plan.steps),
    }  # fmt: skip


def learnt(name: str, record: Record, mutant: str = "") -> PlainTrainer:
    """The plain trainer after the same rounds."""
    plan, played, batches = record
    first = {i: safetensors.numpy.load(played.files[i][0]) for i in range(plan.agents)}
    rules = RULES[RUNS[name].algorithm]
    trainer = PlainTrainer(plan, first, replace(rules, radius=RUNS[name].chosen.get("radius", rules.radius)), mutant)
    for round, batch in enumerate(batches):
        trainer.learn(round, [dict(own) for own in batch])
    return trainer


def deviations(record: Record, trainer: PlainTrainer) -> dict[str, float]:
    """Entry of the last files -> largest difference of any agent, in parts of the number where it is larger than 1."""
    plan, played, _ = record
    found: dict[str, float] = defaultdict(float)
    for i in range(plan.agents):
        file = safetensors.numpy.load(played.files[i][plan.rounds])
        owned = trainer.agents[i].owned()
        assert owned.keys() == {entry for entry in file if ".adam." not in entry}
        for entry, value in owned.items():
            difference = np.abs(file[entry] - value) / np.maximum(np.abs(value), 1.0)
            found[entry] = max(found[entry], float(difference.max()))
    return found


@pytest.mark.parametrize("name", RUNS)
def test_processes_learn_what_one_plain_loop_learns(name: str, record: Callable[[str], Record]) -> None:
    trainer = learnt(name, record(name))
    found = deviations(record(name), trainer)
    # A quotient of two small differences in float32, and no parameter.
    price, worst = found.pop("sensitivities"), max(found.values())
    print(f"{name}: largest deviation {worst:.1e}, of sensitivities {price:.1e}, {dict(trainer.events)}")
    assert worst < 1e-6
    assert price < 1e-4
    assert all(trainer.events[event] > 0 for event in RUNS[name].happens), trainer.events
    has_multipliers = trainer.rules.costs != "none" and trainer.rules.step == "clipped"
    assert any(m > 0 for agent in trainer.agents for m in agent.multipliers) == has_multipliers


@pytest.mark.parametrize(("mutant", "name"), MUTANTS)
def test_a_trainer_that_errs_is_told_apart(mutant: str, name: str, record: Callable[[str], Record]) -> None:
    found = deviations(record(name), learnt(name, record(name), mutant))
    print(f"{mutant}, {name}: largest deviation {max(found.values()):.1e}")
    assert max(found.values()) > 1e-4


def test_every_algorithm_has_a_run() -> None:
    assert ALGORITHMS.keys() == RULES.keys() == {run.algorithm for run in RUNS.values()}


def test_episodes_end_in_every_way(record: Callable[[str], Record]) -> None:
    ends = np.zeros(3, dtype=int)
    for batch in record("radius off")[2]:
        t, c = batch[0]["terminated"], batch[0]["truncated"]
        ends += (t & ~c).sum(), (c & ~t).sum(), (t & c).sum()
    assert ends.min() > 0, f"terminated, truncated, both: {ends}"
