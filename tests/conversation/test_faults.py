"""All bodies under the seeded simulator: whatever dies, freezes or is lost, the bits and the byte table are the
same.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from scalmarl.agents.body import agent_body
from scalmarl.coordinator.body import coordinator_body
from scalmarl.protocol.effects import Arrived, Body, Checkpoint, Effect, Need, Put
from scalmarl.protocol.graph import colour_power, named_graph, neighbours_within
from scalmarl.protocol.keys import COORDINATOR, SIM, Key, Kind
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.runtime import Runtime
from scalmarl.protocol.simulated_process import ALL_FAULTS, Faults, SimulatedStore
from scalmarl.protocol.simulator import MakeBody, Simulation
from scalmarl.protocol.standins import HashLearner, HashWorld, toy_plan
from scalmarl.sim_server.body import sim_body

SEEDS = int(os.environ.get("SCALMARL_FAULT_SEEDS", "2000"))
SHAPES: dict[str, tuple[str, int, int, dict[str, Any]]] = {
    "path-wavefront": ("path", 4, 1, {"rounds": 3, "steps": 2}),
    "ring-serial-groups": ("ring", 4, 1, {"rounds": 2, "steps": 2, "groups": 2, "schedule": "serial"}),
    "path-far-permutation": ("path", 5, 2, {"rounds": 2, "steps": 2, "order": "permutation"}),
    "alone": ("path", 2, 0, {"rounds": 4, "steps": 3}),
    "only-turns-are-told": ("complete", 3, 1, {"rounds": 2, "steps": 2, "exchanged": ("turn",)}),
    "only-states-are-told": ("path", 4, 1, {"rounds": 2, "steps": 2, "exchanged": ()}),
    "one-is-absent": ("path", 5, 2, {"rounds": 2, "steps": 2, "absent": (2,)}),
}
STORM = replace(ALL_FAULTS, until=1.5)
WrapBody = Callable[[Body, int, Plan], Body]


def make_plan(name: str) -> Plan:
    shape, agents, kappa, settings = SHAPES[name]
    neighbours = neighbours_within(named_graph(shape, agents), kappa)
    made = {name: value for name, value in settings.items() if name != "absent"}
    return replace(toy_plan(neighbours, colour_power(neighbours), **made), absent=settings.get("absent", ()))


def make_bodies(plan: Plan, wrap: WrapBody = lambda body, me, plan: body) -> dict[int, MakeBody]:
    def agent(me: int) -> MakeBody:
        return lambda round, content: wrap(agent_body(me, plan, HashLearner(plan, me), round, content), me, plan)

    bodies: dict[int, MakeBody] = {me: agent(me) for me in plan.present}
    bodies[SIM] = lambda round, content: wrap(sim_body(plan, HashWorld(plan), round, content), SIM, plan)
    bodies[COORDINATOR] = lambda round, content: coordinator_body(plan, round)
    return bodies


def play(plan: Plan, seed: int, faults: Faults, **parts: Any) -> Simulation:
    wrap = parts.pop("wrap", lambda body, me, plan: body)
    simulation = Simulation(plan, make_bodies(plan, wrap), seed, faults, **parts)
    simulation.run()
    return simulation


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("part", range(4))
def test_same_bits_and_bytes_under_every_fault(name: str, part: int) -> None:
    plan = make_plan(name)
    calm = play(plan, 0, Faults())
    per_part = SEEDS // (4 * len(SHAPES))
    for seed in range(part * per_part, (part + 1) * per_part):
        repeat = f"play(make_plan({name!r}), {seed}, STORM)"
        try:
            faulty = play(plan, seed, STORM)
        except Exception as error:
            raise AssertionError(f"{repeat}: {error}") from error
        assert faulty.digests() == calm.digests(), repeat
        assert faulty.first_sendings() == calm.first_sendings(), repeat
        faulty.check_files()


def test_the_storm_is_a_storm() -> None:
    plan = make_plan("path-wavefront")
    counts: Counter[str] = Counter()
    for seed in range(20):
        counts += play(plan, seed, STORM).counts
    assert min(counts[fault] for fault in ("kills", "kills at a write", "split brains", "freezes", "cuts")) >= 5
    assert counts["lost messages"] > 200


def test_serial_and_wavefront_give_the_same_bits_and_another_seed_does_not() -> None:
    plan = make_plan("path-wavefront")
    serial = play(replace(plan, schedule="serial"), 0, Faults())
    assert play(plan, 0, Faults()).digests() == serial.digests()
    other = play(replace(plan, seed=1), 0, Faults()).digests()
    assert all(other[agent] != digest for agent, digest in serial.digests().items() if agent != COORDINATOR)


class NewestFile(Runtime):
    """Starts from the newest kept file, which may not be committed."""

    def _first_file(self, kept: list[int]) -> int:
        return kept[-1] if kept else 0


class NoJump(Runtime):
    """Goes on redoing a round that everybody else has left."""

    def _jump(self, round: int, now: float) -> None:
        return


class NeverAsks(Runtime):
    """Sends no NEED."""

    def tick(self, now: float) -> None:
        return


class ArrivalOrder(Runtime):
    """Hands values to the body in the order of their arrival."""

    def _try(self, effect: Effect | None) -> tuple[bool, Any]:
        ready, result = super()._try(effect)
        if ready and isinstance(effect, Need) and len(effect.keys) > 1:
            wanted = set(effect.keys)
            arrival = [self._heard[key] for key in self._heard if key in wanted]
            # Only values of one form can be mixed up without an error of shape.
            if len(arrival) == len(effect.keys) and len({value.shape for value in arrival}) == 1:
                return True, arrival
        return ready, result


class ForgetsTooEarly(Runtime):
    """Drops its own values when its file is durable instead of when the round is committed."""

    def _save(self, effect: Checkpoint) -> bytes:
        digest = super()._save(effect)
        for key in [key for key in self._own if key.round < effect.round]:
            del self._own[key]
        return digest


class OneFile(SimulatedStore):
    """Keeps only the newest file."""

    def write(self, round: int, content: bytes, figures: dict[str, Any]) -> bytes:
        digest = super().write(round, content, figures)
        for old in [old for old in self.files if old < round]:
            del self.files[old]
        return digest


def early_done(body: Body, me: int, plan: Plan) -> Body:
    """Says ``done`` before its file is durable."""
    result: Any = None
    while True:
        try:
            effect = body.send(result)
        except StopIteration:
            return
        if isinstance(effect, Checkpoint) and effect.round > 0:
            digest = np.frombuffer(hashlib.sha256(effect.content).digest(), dtype="u1")
            yield Put(Key(me, Kind.DONE, me, effect.round - 1, 0), digest)
        result = yield effect


def batched_replay(body: Body, me: int, plan: Plan) -> Generator[Effect, Any, None]:
    """Computes several steps in one batch when their inputs are here, which changes the last bits."""
    result: Any = None
    batched = False
    while True:
        try:
            effect = body.send(result)
        except StopIteration:
            return
        if isinstance(effect, Need) and effect.keys[0].kind is Kind.OBSERVATION:
            batched = yield Arrived(effect.keys[0]._replace(step=effect.keys[0].step + 1))
        if isinstance(effect, Put) and effect.key.kind is Kind.ACTION and batched:
            effect = Put(effect.key, np.nextafter(effect.value, np.float32(2)))
        result = yield effect


MUTANTS: dict[str, dict[str, Any]] = {
    "newest file": {"runtime": NewestFile},
    "one file": {"store": OneFile},
    "no jump": {"runtime": NoJump},
    "never asks": {"runtime": NeverAsks},
    "early done": {"wrap": early_done},
    "arrival-order sum": {"runtime": ArrivalOrder},
    "batched replay": {"wrap": batched_replay},
    "forgets too early": {"runtime": ForgetsTooEarly},
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_every_mutant_is_caught_within_200_seeds(mutant: str) -> None:
    plan = make_plan("path-wavefront")
    plan = replace(plan, task=replace(plan.task, block_sizes=(2, 2, 2, 2)))
    calm = play(plan, 0, Faults()).digests()
    for seed in range(200):
        try:
            if play(plan, seed, STORM, **MUTANTS[mutant]).digests() != calm:
                return
        except Exception:
            return
    pytest.fail(f"the mutant {mutant!r} went unnoticed for 200 seeds")
