"""``python -m scalmarl.sim_server.speed raw PLAN_JSON SECONDS`` and ``... worlds``: how fast the bare physics and our
world on top of it are.

``raw`` prints control steps per second of the physics of a plan, stepped by ``mujoco.batch.Batch`` with the same model,
copies and threads as the sim server's under the initial policy's noise, with no observation, message or policy: what
sampling is measured against. ``worlds TASK COPIES THREADS PAIRS`` prints both, measured in turn.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scalmarl.protocol.lifeline import die_with_launcher
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World

DIFFERENT_ACTIONS = 50
SLICE_S = 0.3
WARM_UP_S = 0.2


class Pair:
    """The bare batch of a task, and the world on top of one."""

    def __init__(self, spec: TaskSpec, copies: int, threads: int) -> None:
        self._copies = copies
        draw, shape = np.random.default_rng(0), (DIFFERENT_ACTIONS, copies)
        self._actions = [
            [spec.initial_std * draw.normal(size=(copies, size)).astype("<f4") for size in spec.action_sizes]
            for _ in range(DIFFERENT_ACTIONS)
        ]
        self._world, bare = (World(spec, copies=copies, groups=1, seed=0, threads=threads) for _ in range(2))
        self._batch, self._substeps = bare.batch, bare.scene.substeps
        self._controls = np.zeros((*shape, bare.scene.model.nu))
        motors = [bare.scene.model.actuator(name).id for own in spec.action_entries for name in own]
        for index, actions in enumerate(self._actions):
            self._controls[index, :, motors] = np.concatenate(actions, axis=1).T
        self._control = self._batch.bind("ctrl")

    def raw(self, seconds: float) -> float:
        """Control steps/s of the batch alone, over all copies, from where the world is."""
        self._batch.state[:] = self._world.batch.state
        return self._rate(seconds, self._step_raw)

    def ours(self, seconds: float) -> float:
        """Control steps/s with observations, rewards, costs and episodes."""
        return self._rate(seconds, lambda n: self._world.step(0, self._actions[n % DIFFERENT_ACTIONS]))

    def _step_raw(self, number: int) -> None:
        self._control[:] = self._controls[number % DIFFERENT_ACTIONS]
        self._batch.step(nstep=self._substeps)

    def _rate(self, seconds: float, step: Callable[[int], None]) -> float:
        done, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds:
            step(done)
            done += 1
        return done * self._copies / spent


def worlds(task: str, copies: int, threads: int, pairs: int, agents: int | None = None) -> dict[str, Any]:
    """Medians of interleaved pairs of slices."""
    spec = describe(task, agents)
    pair = Pair(spec, copies, threads)
    pair.raw(WARM_UP_S), pair.ours(WARM_UP_S)
    rates = [(pair.raw(SLICE_S), pair.ours(SLICE_S)) for _ in range(pairs)]
    return {
        "task": spec.label,
        "agents": spec.agents,
        "copies": copies,
        "threads": threads,
        "raw_steps_per_s": statistics.median(raw for raw, _ in rates),
        "steps_per_s": statistics.median(ours for _, ours in rates),
        "ratio": statistics.median(ours / raw for raw, ours in rates),
    }


def main(what: str, *arguments: str) -> None:
    """See the module."""
    if what == "raw":
        plan = Plan.from_data(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
        pair = Pair(plan.task, plan.copies, plan.world_threads)
        pair.raw(WARM_UP_S)
        print(pair.raw(float(arguments[1])))
    else:
        task, copies, threads, pairs, *agents = arguments
        print(json.dumps(worlds(task, int(copies), int(threads), int(pairs), *(int(n) for n in agents))))


if __name__ == "__main__":
    die_with_launcher()
    main(*sys.argv[1:])
