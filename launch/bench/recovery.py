"""``scalmarl bench recovery``: faults of every kind against real launches, and what the machinery costs without any.

A fault's run is a small configuration that is struck several times; it must end, with the digest of the calm run.
Times are the launcher's own: from the death of a process until it had come as far as before (the event ``in step``).
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from scalmarl.launch.bench.live import RUN_WITHIN_S, Bench, Say, begun
from scalmarl.launch.bench.machinery import PARTS, environment
from scalmarl.launch.control_socket import ask
from scalmarl.launch.reading import digests
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import SCHEMA, RunDirectory, read_plan
from scalmarl.launch.traffic import report

SIZE = ("--agents", "4", "--kappa", "1", "--envs", "8", "--steps", "64", "--rounds", "40")
FAULT_WITHIN_S = 60.0
MOST_STRIKES = 19
"""A run is struck after every other round, and the last strike must leave it one."""


@dataclass(frozen=True)
class Fault:
    """``strike(bench, number)`` does it once, when the run is where ``phase`` says (of an agent; empty: anywhere)."""

    name: str
    phase: str
    strike: Callable[[Bench, int], None]


def _send(bench: Bench, name: str, number: str) -> None:
    ask(bench.run, {"command": "signal", "process": name, "signal": number, "by": "bench"})


def _agent(bench: Bench, number: int) -> None:
    _send(bench, f"agent/{number % 4}", "SIGKILL")


def _everybody(bench: Bench, number: int) -> None:
    for process in ask(bench.run, {"command": "status"})["processes"]:
        _send(bench, process["name"], "SIGKILL")


def _fork_server(bench: Bench, number: int) -> None:
    for child in psutil.Process(bench.process.pid).children():
        if "forkserver" in " ".join(child.cmdline()):
            child.kill()


def _freeze(bench: Bench, number: int) -> None:
    name = (*(f"agent/{agent}" for agent in range(4)), "sim", "coordinator")[number % 6]
    _send(bench, name, "SIGSTOP")
    time.sleep(1.0)
    _send(bench, name, "SIGCONT")


FAULTS = (
    Fault("agent killed while sampling", "sampling", _agent),
    Fault("agent killed in its update", "policy", _agent),
    Fault("sim server killed", "", lambda bench, number: _send(bench, "sim", "SIGKILL")),
    Fault("coordinator killed", "", lambda bench, number: _send(bench, "coordinator", "SIGKILL")),
    Fault("all processes killed at once", "", _everybody),
    Fault("fork server killed", "", _fork_server),
    Fault("a process frozen for 1 s", "", _freeze),
)


LAUNCHER = "launcher killed, then resume"


@dataclass(frozen=True)
class Struck:
    """What came of one run under one fault. ``digest`` and ``repeat_bytes`` are ``None`` where it did not end."""

    digest: str | None
    seconds: list[float]
    redone_steps: list[int]
    repeat_bytes: int | None


def recovery(runs: int, strikes: int, say: Say) -> dict[str, Any]:
    """One row per fault: runs, how many survived and were identical, times to recover, work and bytes done again."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="scalmarl-bench-") as scratch:
        calm = Path(scratch) / "calm"
        with begun(calm, "launch", "--run", str(calm), *SIZE) as bench:
            bench.process.wait()
        reference = digests(RunDirectory(calm))["run"]
        for fault in (*FAULTS, LAUNCHER):
            paths = [Path(scratch) / f"{len(rows)}-{number}" for number in range(runs)]
            if isinstance(fault, Fault):
                struck = [_struck(path, fault, strikes) for path in paths]
            else:
                struck = [_without_launcher(path, strikes) for path in paths]
            rows.append(_row(fault.name if isinstance(fault, Fault) else fault, struck, reference))
            say(row_text(rows[-1]))
    return {"schema": SCHEMA, "configuration": " ".join(SIZE), "strikes_per_run": strikes, "faults": rows}


def _struck(path: Path, fault: Fault, strikes: int) -> Struck:
    with begun(path, "launch", "--run", str(path), *SIZE) as bench:
        for number in range(strikes):
            _await_place(bench, 2 * number + 1, fault.phase)
            fault.strike(bench, number)
        _await_end(bench)
    in_step = [line["seconds"] for line in read_lines(bench.run.events) if line["event"] == "in step"]
    return _outcome(bench.run, in_step)


def _without_launcher(path: Path, strikes: int) -> Struck:
    """Seconds from the launcher's death until every process is ready again after ``resume``."""
    seconds: list[float] = []
    at = 0.0
    for number in range(strikes + 1):
        words = ("resume", str(path)) if number else ("launch", "--run", str(path), *SIZE)
        with begun(path, *words) as bench:
            _await_place(bench, 2 * number + 1, "")
            if number:
                seconds.append(bench.events("ready")[-1]["time"] - at)
            if number == strikes:
                _await_end(bench)
            at = time.time()
            bench.process.kill()
            bench.process.wait()
    return _outcome(bench.run, seconds)


def _await_end(bench: Bench) -> None:
    """A run that does not end has not survived; it is stopped."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        bench.process.wait(FAULT_WITHIN_S)


def _await_place(bench: Bench, rounds: int, phase: str) -> None:
    """Wait for so many rounds, and then for an agent in this phase."""
    bench.wait_for_rounds(rounds)
    deadline = time.monotonic() + FAULT_WITHIN_S
    while phase and time.monotonic() < deadline and bench.process.poll() is None:
        processes = ask(bench.run, {"command": "status"})["processes"]
        if any(process["role"] == "agent" and process["phase"] == phase for process in processes):
            return
        time.sleep(0.01)


def _outcome(run: RunDirectory, seconds: list[float]) -> Struck:
    redone = [line["redone_steps"] for line in read_lines(run.events) if line["event"] == "in step"]
    finished = run.read_state()["state"] == "finished"
    if not finished:
        return Struck(None, seconds, redone, None)
    repeats = sum(pair["repeat_bytes"] for pair in report(run, read_plan(run))["pairs"])
    return Struck(digests(run)["run"], seconds, redone, repeats)


def _row(name: str, struck: list[Struck], reference: str) -> dict[str, Any]:
    seconds = [took for run in struck for took in run.seconds]
    redone = [steps for run in struck for steps in run.redone_steps]
    repeats = [run.repeat_bytes for run in struck if run.repeat_bytes is not None]
    return {
        "fault": name,
        "runs": len(struck),
        "survived": sum(run.digest is not None for run in struck),
        "identical": sum(run.digest == reference for run in struck),
        "recoveries": len(seconds),
        "median_s": statistics.median(seconds) if seconds else None,
        "p99_s": float(np.quantile(seconds, 0.99)) if seconds else None,
        "redone_steps_mean": statistics.fmean(redone) if redone else 0.0,
        "redone_steps_largest": max(redone, default=0),
        "repeat_bytes_per_run": statistics.fmean(repeats) if repeats else None,
    }


def row_text(row: dict[str, Any]) -> str:
    """A row in words."""
    took = "" if row["median_s"] is None else f"{row['median_s']:.2f} s median, {row['p99_s']:.2f} s p99, "
    repeats = row["repeat_bytes_per_run"]
    return (
        f"{row['fault']:<30} {row['runs']} runs, {row['survived']} survived, {row['identical']} identical; "
        f"{row['recoveries']} recoveries: {took}{row['redone_steps_mean']:.0f} steps done again "
        f"(largest {row['redone_steps_largest']})"
        + ("" if repeats is None else f", {repeats / 1e3:,.0f} kB repeated a run")
    )


def cost(agents: int, kappa: int, rounds: int, pairs: int, say: Say) -> dict[str, Any]:
    """Share of a round's wall time that each part of the machinery takes, without any fault: median over interleaved
    pairs of launches with it and without it, default configuration."""
    rows = []
    for name, parts in (*((part, (part,)) for part in PARTS), ("all of it", tuple(PARTS))):
        shares = cost_of(parts, agents, kappa, rounds, pairs)
        share = statistics.median(shares)
        rows.append({"part": name, "share": share, "shares": shares})
        say(f"{name:<12} {100 * share:5.1f} % of a round's wall time")
    return {"schema": SCHEMA, "agents": agents, "kappa": kappa, "rounds": rounds, "parts": rows}


def cost_of(parts: Sequence[str], agents: int, kappa: int, rounds: int, pairs: int) -> list[float]:
    """The share that these parts take, pair by pair."""
    arguments = ("--agents", str(agents), "--kappa", str(kappa), "--rounds", str(rounds))
    return [1.0 - _round_s(arguments, parts) / _round_s(arguments, ()) for _ in range(pairs)]


def _round_s(arguments: Sequence[str], without: Sequence[str]) -> float:
    """Median wall time of a round; the first, in which everything is new, is left out."""
    with tempfile.TemporaryDirectory(prefix="scalmarl-bench-") as scratch:
        path = Path(scratch) / "run"
        with begun(path, "launch", "--run", str(path), *arguments, env=environment(without, Path(scratch))) as bench:
            bench.process.wait(RUN_WITHIN_S)
        return float(statistics.median(line["wall_s"] for line in read_lines(bench.run.metrics)[1:]))
