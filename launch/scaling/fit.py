"""Unit costs from measured launches: least squares whose results are not negative.

Rules of this file: pure. Every cost is found from the figures that it alone decides, given those found before: physics
from the bare world, an agent's from the processor time of agents, the servers' from theirs, waiting from the time that
the simulation without it falls short of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scalmarl.launch.scaling.costs import AGENT_TERMS, Costs, agent_amounts, sample_bytes, server_bytes, server_frames
from scalmarl.launch.scaling.engine import Machines
from scalmarl.launch.scaling.simulation import simulate
from scalmarl.protocol.plan import Plan

Array = NDArray[np.float64]
LONGEST_WAKE_S = 2e-3
BISECTIONS = 16
MOST_ACTIVE_SETS = 100


@dataclass(frozen=True)
class Speed:
    """Control steps/s over all copies of N agents: of the bare batch, and of the world on top of it."""

    agents: int
    copies: int
    threads: int
    raw: float
    ours: float


@dataclass(frozen=True)
class Run:
    """A measured launch: its plan, seconds per round, processor seconds per round, and bytes."""

    plan: Plan
    sample_s: float
    update_s: float
    wall_s: float
    cpu_agents: Sequence[float]
    cpu_sim: float
    cpu_launcher: float
    pss_all: int


def nonnegative(rows: Array, values: Array) -> Array:
    """The least-squares solution of ``rows @ x = values`` with ``x >= 0``, by active sets (Lawson and Hanson)."""
    scale = np.linalg.norm(rows, axis=0)
    scale[scale == 0.0] = 1.0
    rows = rows / scale
    count = rows.shape[1]
    found, active = np.zeros(count), np.zeros(count, bool)
    for _ in range(MOST_ACTIVE_SETS):
        gradient = rows.T @ (values - rows @ found)
        gradient[active] = -np.inf
        if active.all() or gradient.max() <= 1e-12 * max(1.0, float(np.abs(values).max())):
            break
        active[int(gradient.argmax())] = True
        while True:
            wanted = np.zeros(count)
            wanted[active] = np.linalg.lstsq(rows[:, active], values, rcond=None)[0]
            sinking = active & (wanted <= 0.0)
            if not sinking.any():
                break
            share = float(np.min(found[sinking] / np.maximum(found[sinking] - wanted[sinking], 1e-300)))
            found = found + share * (wanted - found)
            active &= found > 1e-15
        found = wanted
    solution: Array = found / scale
    return solution


def relative(rows: Sequence[Sequence[float]], values: Sequence[float]) -> Array:
    """``nonnegative`` with every equation divided by its value, so that small launches count as much as large ones."""
    wanted = np.array(values, dtype=float)
    weights = 1.0 / np.maximum(wanted, 1e-9)
    return nonnegative(np.array(rows, dtype=float) * weights[:, None], wanted * weights)


def fit(speeds: Sequence[Speed], runs: Sequence[Run], cores: int, byte: float, plan_memory: float) -> Costs:
    """All costs; ``cores`` of the machine that was measured, ``byte`` and ``plan_memory`` as they were found."""
    costs = replace(_fit_physics(speeds), byte=byte, plan_memory=plan_memory)
    costs = _fit_agents(costs, runs)
    costs = _fit_servers(costs, runs)
    costs = _fit_memory(costs, runs)
    costs = _fit_saving(costs, runs)
    return _fit_wake(costs, runs, cores)


def _fit_physics(speeds: Sequence[Speed]) -> Costs:
    single = [speed for speed in speeds if speed.threads == 1]
    bare = [speed.copies / speed.raw for speed in single]
    call, copy, agent = relative([(1.0, s.copies, s.copies * s.agents) for s in single], bare)
    above = [max(speed.copies / speed.ours - seconds, 1e-9) for speed, seconds in zip(single, bare)]
    scoring_call, scoring_agent = nonnegative(
        np.array([(1.0, s.copies * s.agents) for s in single], dtype=float), np.array(above)
    )
    gains = [
        (speed.raw / one.raw - 1.0) / (speed.threads - 1)
        for speed in speeds
        for one in single
        if speed.threads > 1 and (one.agents, one.copies) == (speed.agents, speed.copies)
    ]
    gain = float(np.clip(np.median(gains), 0.0, 1.0)) if gains else 0.0
    return Costs(
        physics_call=float(call), physics_copy=float(copy), physics_agent=float(agent),
        scoring_call=float(scoring_call), scoring_agent=float(scoring_agent), thread_gain=gain,
    )  # fmt: skip


def _fit_agents(costs: Costs, runs: Sequence[Run]) -> Costs:
    rows, values = [], []
    for run in runs:
        # Agents that do the same are one equation: their mean.
        alike: dict[tuple[float, ...], list[float]] = {}
        for agent, seconds in enumerate(run.cpu_agents):
            alike.setdefault(agent_amounts(run.plan, agent), []).append(seconds)
        for amounts, seconds_of in alike.items():
            mean = max(float(np.mean(seconds_of)), 1e-9)
            weight = len(seconds_of) ** 0.5 / mean
            size, *others = amounts
            rows.append([weight * amount for amount in others])
            values.append(weight * (mean - size * costs.byte))
    found = nonnegative(np.array(rows), np.array(values))
    return replace(costs, **{name: float(cost) for name, cost in zip(AGENT_TERMS[1:], found)})


def _fit_servers(costs: Costs, runs: Sequence[Run]) -> Costs:
    """What the sim server takes beyond its world; the coordinator's frames are taken to cost the same."""
    rows, values = [], []
    for run in runs:
        plan, whole = run.plan, max(run.cpu_sim, 1e-9)
        world = plan.groups * plan.steps * (costs.physics_s(plan) + costs.scoring_s(plan))
        rows.append((server_frames(plan) / whole, 1.0 / whole))
        values.append((run.cpu_sim - world - server_bytes(plan) * costs.byte) / whole)
    frame, of_round = nonnegative(np.array(rows), np.array(values))
    shares = [run.cpu_launcher / run.wall_s for run in runs]
    launcher, watch = relative([(1.0, run.plan.agents + 2.0) for run in runs], shares)
    return replace(
        costs, server_frame=float(frame), server_round=float(of_round), launcher=float(launcher), watch=float(watch)
    )


def _fit_memory(costs: Costs, runs: Sequence[Run]) -> Costs:
    """What plans take of it is known."""
    rest = [max(run.pss_all - run.plan.agents**2 * costs.plan_memory, 1.0) for run in runs]
    rows = [
        (1.0, run.plan.agents, sum(sample_bytes(run.plan, agent) for agent in range(run.plan.agents))) for run in runs
    ]
    host, agent, sample = (float(cost) for cost in relative(rows, rest))
    return replace(costs, host_memory=host, agent_memory=agent, sample_memory=sample)


def _fit_saving(costs: Costs, runs: Sequence[Run]) -> Costs:
    """A round's time beyond sampling and updating: every process saves on one disk, and the commit."""
    beyond = [max(run.wall_s - run.sample_s - run.update_s, 1e-6) for run in runs]
    save, commit = nonnegative(np.array([(run.plan.agents + 1.0, 1.0) for run in runs]), np.array(beyond))
    return replace(costs, save=float(save), commit=float(commit))


def _fit_wake(costs: Costs, runs: Sequence[Run], cores: int) -> Costs:
    """From the launches whose cores are least busy: the waking with which the simulation samples as slowly as they
    did, by bisection."""
    fewest = min(run.plan.agents for run in runs)
    calm = [run for run in runs if run.plan.agents == fewest]
    low, high = 0.0, LONGEST_WAKE_S
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        there = replace(costs, wake=middle)
        short = sum(run.sample_s / simulate(run.plan, there, Machines(1, cores)).sample_s - 1.0 for run in calm)
        low, high = (middle, high) if short > 0 else (low, middle)
    return replace(costs, wake=low)
