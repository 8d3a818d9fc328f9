"""Claims about messages, waiting and faults, measured on real processes: T7, T11, T14, T19."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil

from scalmarl.launch.bench.live import Bench
from scalmarl.launch.claims.claim import Claim, verdict_of
from scalmarl.launch.claims.laboratory import GROUPS, Finished, Laboratory
from scalmarl.launch.config import resolve
from scalmarl.launch.errors import MachineNotFit
from scalmarl.launch.planning import make_plan
from scalmarl.protocol.order import ORDERS, phases
from scalmarl.protocol.plan import Plan

TINY = ("--envs", "4", "--steps", "8", "--rounds", "2")
SMALL = (
    "--agents", "4", "--kappa", "1", "--envs", "8", "--steps", "32", "--rounds", "3", "--set", "learner.kl_max=1.0",
)  # fmt: skip
"""A step that is never taken back, so that whatever data flows between turns shows in the digest."""
PHASE_ROUNDS = 50
PHASE_AGENTS = (8, 16, 32, 64, 128)
ENOUGH_ROUNDS = 40
"""The run to be disturbed is alive after its first commit."""


def plan_of(algo: str, agents: int, kappa: int, order: str = "colour") -> Plan | None:
    """The plan of cheetahs in a chain; ``None`` where this machine cannot hold it."""
    named: dict[str, Any] = {"run.algo": algo, "run.agents": agents, "run.kappa": kappa, "run.order": order}
    named |= {"world.task": "cheetahs", "world.envs": 4, "world.steps": 8}
    try:
        return make_plan(*resolve(None, (), named)).plan
    except MachineNotFit:
        return None


def bytes_claims(laboratory: Laboratory, quick: bool) -> Iterator[Claim]:
    """T7: bytes per agent against N at fixed kappa, and the all-gather line beside it."""
    sizes = [n for n in ((4, 8, 16) if quick else (4, 8, 16, 32, 64, 128)) if plan_of("mappo-l", n, 1)]
    found: dict[tuple[str, int], Finished] = {}

    def launch(algo: str, agents: int, kappa: int) -> Finished:
        flags = ("--task", "cheetahs", "--algo", algo, "--agents", str(agents), "--kappa", str(kappa), *TINY)
        found[algo, agents] = laboratory.run(f"bytes of {algo}, N {agents}, kappa {kappa}", *flags)
        return found[algo, agents]

    curves: dict[str, list[float]] = {}
    for kappa in (1, 2):
        wide = [n for n in sizes if n > 2 * kappa]
        runs = [launch("scal-mappo-l", n, kappa) for n in wide]
        yield _flat_bytes(f"T7.{kappa}", kappa, wide, runs)
        curves[f"kappa {kappa}"] = [run.sent[run.interior()[0]]["all"] for run in runs]
    runs = [launch("mappo-l", n, 1) for n in sizes]
    yield _line_of_bytes(sizes, runs, curves)


def _flat_bytes(id: str, kappa: int, sizes: list[int], runs: list[Finished]) -> Claim:
    rows = [[run.sent[agent] for agent in run.interior()] for run in runs]
    kinds = {tuple(sorted(row.items())) for of_size in rows for row in of_size}
    one = rows[0][0]
    control = [float(np.mean([run.control(agent) for agent in run.interior()])) for run in runs]
    split = ", ".join(f"{name} {one[name]:,.0f}" for name in GROUPS)
    values = sorted({row["all"] for of_size in rows for row in of_size})
    return Claim(
        id,
        "What an interior agent sends in a round does not depend on the number of agents",
        "repaired",
        f"cheetahs in a chain, kappa {kappa}, N = {', '.join(map(str, sizes))}; 4 copies x 8 steps, 2 rounds; first "
        "sendings counted at the sockets",
        f"{', '.join(f'{value:,.0f}' for value in values)} wire bytes ({split}); beside it watermarks, needs and "
        "hellos, over the whole run, its start included, so that they depend on timing: "
        f"{', '.join(f'{value:,.0f}' for value in control)}",
        "every interior agent's bytes equal to the byte, kind by kind, at every N; without watermarks, needs, hellos",
        verdict_of(len(kinds) == 1),
        {
            "agents": [float(n) for n in sizes],
            **{name: [of_size[0][name] for of_size in rows] for name in GROUPS},
            "watermarks, needs, hellos": control,
        },
    )


def _line_of_bytes(sizes: list[int], runs: list[Finished], curves: dict[str, list[float]]) -> Claim:
    values = [run.sent[n // 2]["all"] for n, run in zip(sizes, runs)]
    slope, start = np.polyfit(sizes, values, 1)
    off = float(np.max(np.abs(start + slope * np.array(sizes) - values) / values))
    figures = {"agents": [float(n) for n in sizes], "all-gather (mappo-l)": values}
    # Where the smallest N has no interior agent, the curve begins later.
    figures |= {name: [float("nan")] * (len(sizes) - len(curve)) + curve for name, curve in curves.items()}
    return Claim(
        "T7.3",
        "Where every agent hears every other, what an agent sends grows in proportion to the number of agents",
        "all-gather (mappo-l)",
        f"as T7.1 with --algo mappo-l, N = {', '.join(map(str, sizes))}",
        f"{', '.join(f'{value:,.0f}' for value in values)} wire bytes a round, {slope:,.0f} more with every agent; "
        f"off the straight line by at most {100 * off:.2f} %",
        "slope positive, off the straight line by at most 1 %",
        verdict_of(slope > 0 and off <= 0.01),
        figures,
    )


def phase_claims(laboratory: Laboratory, quick: bool) -> Iterator[Claim]:
    """T11: rounds of waiting against N for every order, and the wavefront against the serial schedule."""
    curves: dict[str, list[float]] = {"agents": [float(n) for n in PHASE_AGENTS if plan_of("scal-mappo-l", n, 2)]}
    for number, order in enumerate(ORDERS, start=1):
        claim = phase_claim(f"T11.{number}", order, [int(n) for n in curves["agents"]])
        curves[order] = claim.figures["longest"]
        whole = dict(curves) if number == len(ORDERS) else {}
        yield Claim(**claim.to_data(), figures=whole)
    runs = [laboratory.run(f"the {name} schedule", *SMALL, "--schedule", name) for name in ("serial", "wavefront")]
    yield Claim(
        "T11.4",
        "Waiting for predecessors inside kappa hops alone gives the bits of the serial schedule",
        "repaired",
        f"two launches: {' '.join(SMALL)}",
        f"digests {runs[0].digest[:12]} (serial) and {runs[1].digest[:12]} (wavefront)",
        "digests of all weights, optimiser states and multipliers equal",
        verdict_of(runs[0].digest == runs[1].digest),
    )


def phase_claim(id: str, order: str, sizes: list[int]) -> Claim:
    """The longest chain of waiting under one order, over many rounds of plans of every size."""
    plans = [plan for n in sizes if (plan := plan_of("scal-mappo-l", n, 2, order))]
    counted = [[phases(plan, round) for round in range(PHASE_ROUNDS)] for plan in plans]
    longest, colours = [max(row) for row in counted], [max(plan.colours) + 1 for plan in plans]
    constant = len(set(colours)) == 1
    means = ", ".join(f"{np.mean(row):.1f}" for row in counted)
    return Claim(
        id,
        "The number of phases of a round does not grow with the number of agents",
        f"order {order}",
        f"plans of cheetahs in a chain, kappa 2, N = {', '.join(map(str, sizes))}, {PHASE_ROUNDS} rounds each",
        f"at most {', '.join(map(str, longest))} phases, on average {means}",
        f"at most the number of colours of the graph's kappa-th power ({', '.join(map(str, sorted(set(colours))))}), "
        "at every N",
        verdict_of(constant and all(most <= count for most, count in zip(longest, colours))),
        {"agents": [float(n) for n in sizes], "longest": [float(most) for most in longest]},
    )


def turn_claims(laboratory: Laboratory, quick: bool) -> Iterator[Claim]:
    """T14: whether it matters that the agents update in turn."""
    for id, variant, algo in (
        ("T14.1", "printed", "scal-mappo-l-printed"),
        ("T14.2", "repaired", "scal-mappo-l"),
    ):
        flags = ("--algo", algo, *SMALL)
        runs = {order: laboratory.run(f"{variant}, order {order}", *flags, "--order", order) for order in ORDERS}
        if variant == "printed":
            runs["serial"] = laboratory.run(f"{variant}, serial", *flags, "--order", "colour", "--schedule", "serial")
        yield turn_claim(id, variant, algo, {name: run.digest for name, run in runs.items()})


def turn_claim(id: str, variant: str, algo: str, found: dict[str, str]) -> Claim:
    """Digests by order (and schedule) -> whether updating in turn changes anything."""
    orders = {found[order] for order in ORDERS}
    return Claim(
        id,
        "Updating in turn changes what is learnt",
        variant,
        f"--algo {algo} {' '.join(SMALL)}, by {', '.join(found)} (orders under the wavefront "
        "schedule; serial: the order of colours)",
        f"{len(set(found.values()))} different digests in {len(found)} launches: "
        + ", ".join(f"{name} {value[:8]}" for name, value in found.items()),
        "holds if the digests of all orders differ; fails if all are equal: then no data flows between turns",
        "holds" if len(orders) == len(ORDERS) else "fails" if len(set(found.values())) == 1 else "undecided",
    )


def fault_claims(laboratory: Laboratory, quick: bool) -> Iterator[Claim]:
    """T19: an agent killed in the middle of a round."""
    flags = ("--agents", "4", "--kappa", "1", "--envs", "4", "--steps", "24", "--rounds", str(ENOUGH_ROUNDS))
    calm = laboratory.run("undisturbed", *flags)
    killed = laboratory.run("agent 1 killed in a round", *flags, disturb=_kill)
    deaths, same = len(killed.events("death")), killed.digest == calm.digest
    yield Claim(
        "T19.1",
        "A late or lost message never becomes a stale value",
        "all",
        f"launch {' '.join(flags)}, undisturbed, and with SIGKILL for agent 1 in the middle of a round. Training with "
        "values that are 1 to 5 rounds old is nothing that the product can do (a missing value is waited for), so its "
        "effect on violations is not measured",
        f"{deaths} death, digest {'equal to' if same else 'other than'} the undisturbed one ({calm.digest[:12]})",
        "one death at least, digests equal",
        verdict_of(same) if deaths else "undecided",
    )


def _kill(bench: Bench) -> None:
    """SIGKILL agent 1 once rounds are being made, a little after a commit."""
    bench.wait_for_rounds(2)
    time.sleep(0.03)
    state = bench.run.read_state()
    pid = next(process["pid"] for process in state["processes"] if process["name"] == "agent/1")
    if state["state"] == "running" and psutil.pid_exists(pid):
        os.kill(pid, signal.SIGKILL)
