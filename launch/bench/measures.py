"""Sampling, starts, restarts, memory and worlds; every comparison is a ratio of pairs measured one after the other."""

from __future__ import annotations

import json
import os
import signal
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import psutil

from scalmarl.launch.bench.live import Bench, launched
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import SCHEMA, RunDirectory, read_plan
from scalmarl.launch.sim_tools import ask
from scalmarl.launch.traffic import totals
from scalmarl.protocol.keys import SIM, Kind
from scalmarl.sim_server.tasks import FAMILIES

RAW_SECONDS = 1.5
WATCH_EVERY_S = 0.002
PEER_BACK_WITHIN_S = 30.0


def sampling(agents: int, kappa: int, copies: list[int], pairs: int) -> dict[str, Any]:
    """Environment steps/s while sampling with launch's own processes, over the raw batch with the same copies."""
    rows = []
    for envs in copies:
        ours, raw, ratios = [], [], []
        for _ in range(pairs):
            with launched(
                "--agents", str(agents), "--kappa", str(kappa), "--envs", str(envs), "--rounds", "4",
                "--set", "learner.policy_epochs=1", "--set", "learner.critic_epochs=1",
            ) as bench:  # fmt: skip
                bench.wait_for_rounds(4)
                bench.process.wait()
                plan = read_plan(bench.run)
                lines = read_lines(bench.run.metrics)[1:]
                after = _raw(bench.run)
            ours.append(statistics.median(plan.samples / line["sample_s"] for line in lines))
            raw.append(after)
            ratios.append(ours[-1] / after)
        rows.append(
            {
                "envs": envs,
                "raw_steps_per_s": statistics.median(raw),
                "steps_per_s": statistics.median(ours),
                "ratio": statistics.median(ratios),
                "ratios": ratios,
            }
        )
    best = max(rows, key=lambda row: row["ratio"])
    return {"schema": SCHEMA, **{k: best[k] for k in ("raw_steps_per_s", "steps_per_s", "ratio", "envs")}, "all": rows}


def _raw(run: RunDirectory) -> float:
    return float(ask("speed", "raw", str(run.plan), str(RAW_SECONDS)))


def startup(agents: int, kappa: int, runs: int) -> dict[str, Any]:
    """Seconds until every process is ready: since the launcher's interpreter was up, and since the command."""
    up, typed = [], []
    for _ in range(runs):
        with launched("--agents", str(agents), "--kappa", str(kappa), "--rounds", "1", "--steps", "8") as bench:
            bench.wait_for_rounds(1)
            ready = bench.events("ready")[0]
            up.append(ready["seconds"])
            typed.append(ready["time"] - bench.started)
    return {
        "schema": SCHEMA, "agents": agents, "ready_s": statistics.median(up), "ready_all_s": up,
        "from_command_s": statistics.median(typed),
    }  # fmt: skip


def restart(agents: int, kappa: int, kills: int) -> dict[str, Any]:
    """Seconds that sampling stands still when an agent is killed: until it is back in step with the others."""
    gaps: list[float] = []
    with launched("--agents", str(agents), "--kappa", str(kappa), "--rounds", "10000") as bench:
        bench.wait_for_rounds(2)
        while len(gaps) < kills:
            _await_sampling(bench)
            victim = len(gaps) % agents
            pid = next(p["pid"] for p in bench.run.read_state()["processes"] if p["index"] == victim)
            os.kill(pid, signal.SIGKILL)
            gap = _longest_pause(bench)
            if gap is not None:
                gaps.append(gap)
        backs = [line["seconds"] for line in bench.events("back")]
    return {
        "schema": SCHEMA, "agents": agents, "kills": kills, "median_s": statistics.median(gaps),
        "largest_s": max(gaps), "process_back_median_s": statistics.median(backs) if backs else None, "gaps_s": gaps,
    }  # fmt: skip


def _observations(bench: Bench) -> int:
    count = totals(bench.run, read_plan(bench.run), SIM).get((0, int(Kind.OBSERVATION)))
    return count.messages if count else 0


def _await_sampling(bench: Bench) -> None:
    """Wait for the beginning of a rollout: the counter stood still (an update) and moves again."""
    last, still = _observations(bench), 0
    while still < 50:
        time.sleep(WATCH_EVERY_S)
        now = _observations(bench)
        still, last = (still + 1, now) if now == last else (0, now)
    while _observations(bench) < last + 10:
        time.sleep(WATCH_EVERY_S)


def _longest_pause(bench: Bench) -> float | None:
    """The longest time without a new observation after a kill, once sampling moves on; ``None`` if it never paused."""
    began = moved = time.perf_counter()
    last, longest = _observations(bench), 0.0
    while time.perf_counter() - began < PEER_BACK_WITHIN_S:
        time.sleep(WATCH_EVERY_S)
        now = time.perf_counter()
        count = _observations(bench)
        if count > last:
            longest = max(longest, now - moved)
            if longest > 0.05 and count > last:
                return longest
            last, moved = count, now
    return None


def memory(agents: int, kappa: int) -> dict[str, Any]:
    """Proportional set size of every process after two rounds, in MB (10^6 bytes)."""
    with launched("--agents", str(agents), "--kappa", str(kappa), "--rounds", "10000") as bench:
        bench.wait_for_rounds(2)
        sizes = {
            process["name"]: psutil.Process(process["pid"]).memory_full_info().pss / 1e6
            for process in bench.run.read_state()["processes"]
        }
        whole = sum(process.memory_full_info().pss for process in bench.tree()) / 1e6
    own = [size for name, size in sizes.items() if name.startswith("agent/")]
    return {
        "schema": SCHEMA, "agents": agents, "agent_pss_mb": statistics.median(own), "largest_agent_pss_mb": max(own),
        "whole_run_pss_mb": whole, "processes": sizes,
    }  # fmt: skip


WORLDS = (
    "safe-manyant:6x1", "safe-manyant:8x1", "safe-manyant:3x2", "safe-ant:4x2", "safe-ant:8x1", "safe-halfcheetah:2x3",
    "safe-halfcheetah:6x1", "safe-coupled-halfcheetah:1p1", "safe-coupled-halfcheetah:12x1", "cheetahs",
    "formation:path",
    "safe-hopper:3x1", "safe-walker2d:2x3", "safe-walker2d:6x1", "safe-humanoid:9|8", "safe-humanoid:17x1",
    "safe-swimmer:2x1", "safe-swimmer:8x1",
)  # fmt: skip
CHAINS = ("cheetahs", "formation")
CHAIN_LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CHAIN_COPIES = 8


def worlds(copies: int, threads: Sequence[int], pairs: int, tasks: Sequence[str]) -> dict[str, Any]:
    """Control steps/s of the bare batch and of our world on top of it, and their ratio, for every task and number of
    physics threads; then the time that a control step of N ``cheetahs`` takes, and of a ``formation`` of N, with the
    straight lines that fit them best."""
    result: dict[str, Any] = {"schema": SCHEMA}
    result["worlds"] = [_world_speed(task, copies, count, pairs) for task in tasks for count in threads]
    for chain in CHAINS:
        low, _ = FAMILIES[chain].any_number or (1, 1)
        lengths = [length for length in CHAIN_LENGTHS if length >= low]
        result[chain] = [_world_speed(chain, CHAIN_COPIES, threads[0], pairs, length) for length in lengths]
    result["fit"] = {chain: _straight_line(result[chain]) for chain in CHAINS}
    return result


def _straight_line(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Of the time of a step over the number of agents."""
    lengths = np.array([row["agents"] for row in rows], dtype=float)
    took = np.array([1e6 / row["steps_per_s"] for row in rows])
    # Relative errors count: a step of 256 must not be all that is fitted.
    slope, start = np.polyfit(lengths, took, 1, w=1.0 / took)
    worst = np.max(np.abs(start + slope * lengths - took) / took)
    return {
        "us_per_step": float(start), "us_per_step_and_agent": float(slope), "largest_relative_error": float(worst),
    }  # fmt: skip


def _world_speed(task: str, copies: int, threads: int, pairs: int, agents: int | None = None) -> dict[str, Any]:
    numbers = [str(number) for number in (copies, threads, pairs, agents) if number is not None]
    found: dict[str, Any] = json.loads(ask("speed", "worlds", task, *numbers))
    return found


def as_text(result: dict[str, Any]) -> str:
    """A result as lines."""
    lines = []
    for name, value in result.items():
        if name == "worlds" or name in CHAINS:
            lines += [
                f"{row['task']:<30} {row['agents']:>4} agents {row['copies']:>4} copies {row['threads']} thread"
                f"{'s' if row['threads'] > 1 else ' '}: "
                f"{row['steps_per_s']:10,.0f} of {row['raw_steps_per_s']:10,.0f} raw control steps/s, "
                f"ratio {row['ratio']:.2f}"
                for row in value
            ]
        elif name == "fit":
            lines += [
                f"{chain}, N agents: a control step of one copy takes {line['us_per_step']:.1f} + "
                f"{line['us_per_step_and_agent']:.2f} N microseconds, to {100 * line['largest_relative_error']:.0f} %"
                for chain, line in value.items()
            ]
        elif name == "all":
            lines += [
                f"  {row['envs']:>4} copies: {row['steps_per_s']:8,.0f} of {row['raw_steps_per_s']:8,.0f} raw steps/s, "
                f"ratio {row['ratio']:.2f}"
                for row in value
            ]
        elif name != "schema":
            lines.append(f"{name}: {json.dumps(value) if not isinstance(value, float) else f'{value:.3f}'}")
    return "\n".join(lines)
