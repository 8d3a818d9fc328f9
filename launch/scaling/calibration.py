"""Measuring the unit costs of this machine: a few small launches and the bare physics, about a minute; and their file.

The numbers of agents are not those that ``scalmarl bench scale`` checks the model with.
"""

from __future__ import annotations

import gc
import json
import os
import tracemalloc
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from scalmarl import __version__
from scalmarl.launch.bench.live import Say
from scalmarl.launch.errors import UsageProblem
from scalmarl.launch.output_file import check_output
from scalmarl.launch.run_directory import SCHEMA
from scalmarl.launch.scaling.costs import Costs
from scalmarl.launch.scaling.engine import Machines
from scalmarl.launch.scaling.fit import fit
from scalmarl.launch.scaling.frames import byte_cost
from scalmarl.launch.scaling.measurement import Measured, Setting, measure, measure_physics
from scalmarl.launch.scaling.simulation import simulate
from scalmarl.protocol.files import write_durably
from scalmarl.protocol.plan import Plan

SETTINGS = (
    Setting(agents=4, kappa=1, envs=8, steps=128, policy_epochs=1, critic_epochs=1, rounds=16),
    Setting(agents=4, kappa=3, envs=32, steps=64, policy_epochs=5, critic_epochs=1, rounds=10),
    Setting(agents=12, kappa=0, envs=8, steps=96, policy_epochs=1, critic_epochs=5, rounds=8),
    Setting(agents=12, kappa=2, envs=8, steps=32, policy_epochs=5, critic_epochs=5, rounds=8),
    Setting(agents=24, kappa=2, envs=8, steps=48, policy_epochs=2, critic_epochs=2, rounds=6),
    Setting(agents=48, kappa=2, envs=8, steps=24, policy_epochs=5, critic_epochs=5, rounds=5),
)
"""They differ in all that a cost is charged for, so that the costs can be told apart."""
PHYSICS = ((4, 8, 1), (12, 32, 1), (12, 8, 1), (48, 8, 1), (12, 32, 2), (48, 8, 2))
"""(agents, copies, threads)."""
PAIRS = 3
FRAME_COPIES = (8, 512)
"""Of the frames whose bytes are timed: 0.8 and 55 kB."""
DEFAULT_FILE = Path("calibration.json")


def calibrate(path: Path, say: Say) -> Costs:
    """Measure, fit, and write the file; ``say`` is told of every step. Raises ``UserProblem``."""
    check_output(path, "--calibration")
    cores = len(os.sched_getaffinity(0))
    speeds = []
    for agents, copies, threads in PHYSICS:
        speeds.append(measure_physics("cheetahs", agents, copies, threads, PAIRS))
        say(f"physics of {agents} cheetahs, {copies} copies, {threads} threads: {speeds[-1].raw:,.0f} control steps/s")
    measured = []
    for setting in SETTINGS:
        measured.append(measure(setting))
        say(_measured_text(measured[-1]))
    plans = [found.setting.plan() for found in measured]
    byte = byte_cost(*(replace(plans[0], copies=copies) for copies in FRAME_COPIES))
    costs = fit(speeds, [found.as_run() for found in measured], cores, byte, plan_memory(plans[-1]))
    document = {
        "schema": SCHEMA,
        "version": __version__,
        "cores": cores,
        "costs": costs.to_data(),
        "speeds": [asdict(speed) for speed in speeds],
        "measured": [found.to_data() for found in measured],
    }
    write_durably(path, json.dumps(document, indent=1).encode() + b"\n")
    for found in measured:
        again = simulate(found.setting.plan(), costs, Machines(1, cores))
        say(
            f"{found.setting.agents:>3} agents, fitted and measured: sampling {again.sample_s:.3f} and "
            f"{found.sample_s:.3f} s, update {again.update_s:.3f} and {found.update_s:.3f} s, "
            f"round {again.wall_s:.3f} and {found.wall_s:.3f} s"
        )
    say(f"costs are in {path}")
    return costs


def _measured_text(found: Measured) -> str:
    setting = found.setting
    return (
        f"{setting.agents:>3} agents, kappa {setting.kappa}, {setting.envs} x {setting.steps} samples: a round takes "
        f"{found.wall_s:.2f} s ({found.sample_s:.2f} s sampling, {found.update_s:.2f} s update)"
    )


def read_calibration(path: Path) -> Costs:
    """The costs of a file. Raises ``UsageProblem``."""
    cure = f"measure this machine first: scalmarl plan --calibrate --calibration {path}"
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Costs.from_data(document["costs"])
    except FileNotFoundError:
        raise UsageProblem(f"--calibration {path}: there is no such file", cure) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageProblem(f"--calibration {path}: no calibration of this version ({error})", cure) from None


def plan_memory(plan: Plan) -> float:
    """Bytes that a process holds per agent of a plan that it has read."""
    text = json.dumps(plan.to_data())
    gc.collect()
    tracemalloc.start()
    held = Plan.from_data(json.loads(text))
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size / held.agents
