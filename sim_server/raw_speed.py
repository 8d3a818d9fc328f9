"""``python -m scalmarl.sim_server.raw_speed PLAN_JSON SECONDS``: control steps per second of the bare physics of a
plan.

The same model, copies and threads as the sim server's, stepped by ``mujoco.batch.Batch`` under the initial policy's
noise, with no observation, message or policy: what sampling is measured against.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

os.environ["MUJOCO_GL"] = "disabled"

import numpy as np

from scalmarl.protocol.plan import Plan
from scalmarl.sim_server.manyant_model import SUBSTEPS
from scalmarl.sim_server.world import ManyAntWorld

WARM_UP_STEPS = 50


def raw_steps_per_s(plan: Plan, seconds: float) -> float:
    """Control steps per second over all copies, whole batches at a time."""
    world = ManyAntWorld(plan.task, copies=plan.copies, groups=1, seed=plan.seed, threads=plan.world_threads)
    batch, draw = world.batch, np.random.default_rng(0)
    control = batch.bind("ctrl")
    noise = draw.normal(0.0, plan.task.initial_std, (WARM_UP_STEPS, *control.shape))
    for action in noise:
        control[:] = action
        batch.step(nstep=SUBSTEPS)
    done, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        control[:] = noise[done % WARM_UP_STEPS]
        batch.step(nstep=SUBSTEPS)
        done += 1
    return done * plan.copies / spent


if __name__ == "__main__":
    given = Plan.from_data(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    print(raw_steps_per_s(given, float(sys.argv[2])))
