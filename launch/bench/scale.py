"""``scalmarl bench scale``: what more agents cost, by real launches of ``cheetahs`` at a fixed kappa; and, with a
calibration, how well that was foreseen.

An agent-step is one control step of one agent in one copy. What grows is compared with what bare physics grows.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from scalmarl.launch.bench.live import Say
from scalmarl.launch.run_directory import SCHEMA
from scalmarl.launch.scaling.costs import Costs
from scalmarl.launch.scaling.engine import Machines
from scalmarl.launch.scaling.measurement import Setting, measure, measure_physics
from scalmarl.launch.scaling.simulation import simulate

PHYSICS_PAIRS = 3
EPOCHS = 5
PHASES = ("sample", "update", "wall")


def scale(
    numbers: Sequence[int], kappa: int, envs: int, steps: int, rounds: int, costs: Costs | None, say: Say
) -> dict[str, Any]:
    """One row per number of agents; growth is relative to the first. Raises ``UserProblem``."""
    rows: list[dict[str, Any]] = []
    for agents in numbers:
        setting = Setting(agents, kappa, envs, steps, EPOCHS, EPOCHS, rounds)
        # Whatever is wrong with a setting is said before anything is measured.
        setting.plan()
    for agents in numbers:
        setting = Setting(agents, kappa, envs, steps, EPOCHS, EPOCHS, rounds)
        row = _row(setting)
        _grow(row, rows[0] if rows else row)
        if costs is not None:
            _foresee(row, setting, costs)
        rows.append(row)
        say(row_text(row))
    return {"schema": SCHEMA, "kappa": kappa, "envs": envs, "steps": steps, "rounds": rounds, "rows": rows}


def _row(setting: Setting) -> dict[str, Any]:
    plan = setting.plan()
    found = measure(setting)
    speed = measure_physics(setting.task, setting.agents, setting.envs, plan.world_threads, PHYSICS_PAIRS)
    agent_steps = plan.samples * setting.agents
    return {
        "agents": setting.agents,
        "phases": found.phases,
        "bytes_agent_round": found.agent_bytes,
        **{f"{name}_s": getattr(found, f"{name}_s") for name in PHASES},
        **{f"{name}_us": 1e6 * getattr(found, f"{name}_s") / agent_steps for name in PHASES},
        "physics_us": 1e6 / (speed.raw * setting.agents),
        "asked_again": found.asked_again,
        "memory_bytes": found.pss_all,
        "first_step_s": found.first_step_s,
        "measured": found.to_data(),
    }


def _grow(row: dict[str, Any], first: dict[str, Any]) -> None:
    """How much more an agent-step takes than in the first row, divided by how much more its bare physics takes."""
    physics = row["physics_us"] / first["physics_us"]
    for name in PHASES:
        row[f"{name}_growth"] = row[f"{name}_us"] / first[f"{name}_us"] / physics


def _foresee(row: dict[str, Any], setting: Setting, costs: Costs) -> None:
    """What the calibrated simulation says of the same launch, and by how much it is off."""
    found = simulate(setting.plan(), costs, Machines(1, len(os.sched_getaffinity(0))))
    row["predicted"] = {f"{name}_s": getattr(found, f"{name}_s") for name in PHASES}
    row["error"] = {name: row["predicted"][f"{name}_s"] / row[f"{name}_s"] - 1.0 for name in PHASES}


def row_text(row: dict[str, Any]) -> str:
    """A row in words."""
    sizes = row["bytes_agent_round"]
    size = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    text = (
        f"{row['agents']:>4} agents: {row['phases']} phases; {size} bytes/agent/round; us/agent-step: "
        f"sampling {row['sample_us']:.1f}, update {row['update_us']:.1f}, bare physics {row['physics_us']:.1f}; beyond "
        f"physics x{row['sample_growth']:.2f} sampling, x{row['update_growth']:.2f} update, "
        f"x{row['wall_growth']:.2f} round; {row['asked_again']:,.0f} values a round asked for again; "
        f"{row['memory_bytes'] / 1e9:.2f} GB; first step after {row['first_step_s']:.1f} s"
    )
    if "error" in row:
        words = []
        for name in PHASES:
            seconds, foreseen = row[f"{name}_s"], row["predicted"][f"{name}_s"]
            words.append(f"{name} {foreseen:.2f} and {seconds:.2f} s ({100 * row['error'][name]:+.0f} %)")
        text += f"\n             predicted and measured: {', '.join(words)}"
    return text
