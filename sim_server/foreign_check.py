"""``python -m scalmarl.sim_server.foreign_check [trace] < WISH_JSON``: whether a world from outside keeps the contract.

Prints ``{"checks": [{"check", "verdict", "detail"}, ...], "trace": digest}``; verdicts are ``ok``, ``warn``, ``fail``
and ``skip``. With ``trace`` the digest alone: a second process must get the same one.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from scalmarl.protocol.lifeline import die_with_launcher
from scalmarl.protocol.streams import Purpose, stream
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.foreign_copy import NO_COST, ContractBroken, ForeignCopy, called, last_lines, open_callable
from scalmarl.sim_server.foreign_description import describe_foreign

MOST_STEPS = 1000
API_CYCLES = 200
WIDE = 2.0
"""Deviation of the actions tried: many lie beyond the bounds, as a policy's do."""


class Examined:
    """A world under examination; every method is a check that raises ``ContractBroken`` or returns what it found."""

    def __init__(self, wish: Mapping[str, Any]) -> None:
        self._wish = wish
        self.spec: TaskSpec = describe_foreign(wish)
        cost = self.spec.parameters["cost"]
        self._cost = open_callable(cost, wish["directory"]) if ":" in cost else cost
        self._make = open_callable(wish["task"], wish["directory"])
        self._steps = min(self.spec.horizon, MOST_STEPS)

    def copy(self) -> ForeignCopy:
        """A fresh copy."""
        return ForeignCopy(self._make, self._wish["arguments"], self._cost)

    def spaces(self) -> str:
        """Sizes."""
        kinds = ["chooses of " + str(n) if n else "acts" for n in self.spec.action_choices]
        return (
            f"{self.spec.agents} agents, observe {_range(self.spec.block_sizes)} (presence included), "
            f"{' and '.join(sorted(set(kinds)))}, actions of {_range(self.spec.action_sizes)}"
        )

    def graph(self) -> str:
        """Whether the world says who is whose neighbour, and everybody is reached."""
        if not self.spec.parameters["has_graph"]:
            raise Warning("no neighbour_graph(): launch needs --graph")
        reached, edges = {0}, self.spec.edges
        for _ in range(self.spec.agents):
            reached |= {b for pair in edges for a, b in (pair, pair[::-1]) if a in reached}
        if len(reached) < self.spec.agents:
            lost = min(set(range(self.spec.agents)) - reached)
            raise Warning(f"agent {self.spec.parameters['names'][lost]} is not connected with agent 0")
        return f"{len(edges)} edge{'' if len(edges) == 1 else 's'}, connected"

    def costs(self) -> str:
        """Whether something constrains anybody."""
        if self.spec.parameters["cost"] == NO_COST:
            raise Warning("none are counted (--cost none)")
        limits = sorted({limit for own in self.spec.cost_limits for limit in own})
        return f"{_range([len(own) for own in self.spec.cost_limits])} per agent, limit {_range(limits)} per episode"

    def pettingzoo(self) -> str:
        """PettingZoo's own test of the interface."""
        try:
            from pettingzoo.test import parallel_api_test
        except ImportError:
            raise Skipped("PettingZoo is not installed there") from None
        said = io.StringIO()
        with warnings.catch_warnings(record=True) as warned, contextlib.redirect_stdout(said):
            warnings.simplefilter("always")
            try:
                parallel_api_test(self.copy().env, num_cycles=API_CYCLES)
            except Exception as error:
                raise ContractBroken(f"parallel_api_test: {last_lines(error)}") from error
        if warned:
            raise Warning("; ".join(sorted({str(warning.message) for warning in warned})))
        return f"parallel_api_test passed, {API_CYCLES} cycles"

    def episode(self) -> str:
        """A whole episode under wide random actions, every step held to the contract."""
        copy = self.copy()
        steps = sum(1 for _ in self._played(copy, 1))
        how = "the world ended it" if not copy.alive.any() else f"its horizon of {self.spec.horizon}"
        if copy.alive.any() and self.spec.horizon > MOST_STEPS:
            how = "as far as was tried"
        return f"{steps} steps, {how}"

    def seed(self) -> str:
        """The same seed and actions give the same bits; another seed another start."""
        one, two = self.copy(), self.copy()
        for step, (a, b) in enumerate(zip(self._played(one, 1), self._played(two, 1))):
            if a != b:
                raise ContractBroken(f"the same seed and actions differ after {step} steps; seed all chance by reset")
        one.reset(1)
        two.reset(2)
        if all(np.array_equal(a, b) for a, b in zip(one.blocks, two.blocks)):
            raise Warning("another seed starts the same episode")
        return "the same seed and actions give the same bits, another seed another start"

    def again(self) -> str:
        """A reset in the middle of an episode forgets it."""
        copy, fresh = self.copy(), self.copy()
        for step, _ in enumerate(self._played(copy, 3)):
            if step == self._steps // 2:
                break
        for step, (a, b) in enumerate(zip(self._played(copy, 1), self._played(fresh, 1))):
            if a != b:
                raise ContractBroken(f"an episode after another one differs from a first one, after {step} steps")
        return "an episode does not depend on the one before"

    def copies(self) -> str:
        """Copies stepped in turn do what each does alone."""
        alone = [list(self._played(self.copy(), seed)) for seed in (1, 2)]
        together = zip(self._played(self.copy(), 1), self._played(self.copy(), 2))
        for step, pair in enumerate(together):
            if pair != (alone[0][step], alone[1][step]):
                raise ContractBroken(f"copies disturb each other after {step} steps; keep all state in the instance")
        return "two copies do not disturb each other"

    def saving(self) -> str:
        """``save_state`` and ``load_state``, where the world has them."""
        one, two = self.copy(), self.copy()
        if not hasattr(one.env, "save_state"):
            return "none of its own: a restarted sim server takes the running episode's actions again"
        half = self._steps // 2
        ahead = self._played(one, 1)
        for _ in range(half):
            next(ahead, None)
        two.reset(1)
        saved = called(one.env.save_state, "save_state raised")
        called(two.env.load_state, "load_state raised", saved)
        two.alive, two.blocks = one.alive, one.blocks
        for a, b in zip(ahead, self._played(two, 1, begin=half)):
            if a != b:
                raise ContractBroken("after load_state(save_state()) it goes on differently")
        return "load_state(save_state()) goes on the same way"

    def trace(self) -> str:
        """Digest of an episode."""
        told = hashlib.sha256()
        for bits in self._played(self.copy(), 1):
            told.update(bits)
        return told.hexdigest()

    # ---- playing ----

    def _played(self, copy: ForeignCopy, seed: int, begin: int | None = None) -> Iterator[bytes]:
        """The bits of each step of an episode, which starts here unless it is at step ``begin`` already."""
        if begin is None:
            copy.reset(seed)
        for step in range(begin or 0, self._steps):
            if not copy.alive.any():
                return
            try:
                told = copy.step(self._actions(seed, step))
            except ContractBroken as broken:
                raise ContractBroken(f"{step} steps after reset: {broken}", broken.agent) from broken
            parts = [told.rewards, *told.costs, told.terminated, told.truncated, *copy.blocks]
            yield b"".join(part.tobytes() for part in parts)

    def _actions(self, seed: int, step: int) -> list[Any]:
        draw = stream(seed, purpose=Purpose.EVALUATION, step=step)
        return [
            np.array([draw.integers(choices)], np.float32)
            if choices
            else (WIDE * draw.standard_normal(size)).astype(np.float32)
            for choices, size in zip(self.spec.action_choices, self.spec.action_sizes)
        ]


class Skipped(Exception):
    """A check that cannot be made here, and why."""


CHECKS = ("spaces", "graph", "costs", "pettingzoo", "episode", "seed", "again", "copies", "saving")


def examine(wish: Mapping[str, Any]) -> dict[str, Any]:
    """All checks; the ones after one that failed are still made."""
    try:
        world = Examined(wish)
    except ContractBroken as broken:
        return {"checks": [_line("described", "fail", broken)], "trace": None}
    found = [{"check": "described", "verdict": "ok", "detail": world.spec.source}]
    for name in CHECKS:
        try:
            found.append({"check": name, "verdict": "ok", "detail": getattr(world, name)()})
        except ContractBroken as broken:
            found.append(_line(name, "fail", broken))
        except Warning as warning:
            found.append({"check": name, "verdict": "warn", "detail": str(warning)})
        except Skipped as skipped:
            found.append({"check": name, "verdict": "skip", "detail": str(skipped)})
    sound = all(line["verdict"] != "fail" for line in found)
    return {"checks": found, "trace": world.trace() if sound else None}


def _line(name: str, verdict: str, broken: ContractBroken) -> dict[str, str]:
    who = f"agent {broken.agent}: " if broken.agent else ""
    return {"check": name, "verdict": verdict, "detail": f"{who}{broken}"}


def _range(values: Any) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


if __name__ == "__main__":
    die_with_launcher()
    told = sys.stdout
    # A world that prints must not break the answer.
    with contextlib.redirect_stdout(sys.stderr):
        wished = json.load(sys.stdin)
        answer = {"trace": Examined(wished).trace()} if sys.argv[1:] == ["trace"] else examine(wished)
    json.dump(answer, told)
