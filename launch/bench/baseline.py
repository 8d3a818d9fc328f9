"""``scalmarl bench loop`` and ``bench price``: a launch against the same work in a single process.

``loop``: the whole training loop against a centralised MAPPO-L with forked workers, as the field runs it
(``agents.centralised``). ``price``: the sampling phase against a loop that steps the same batch and asks the same
learners with no message (``launch.bench.sampling_loop``). Every ratio is of a pair measured one after the other.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import Any

from scalmarl.launch.bench.live import Say, launched
from scalmarl.launch.config import resolve
from scalmarl.launch.errors import UsageProblem
from scalmarl.launch.planning import make_plan
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import SCHEMA, read_plan
from scalmarl.launch.sim_tools import ask
from scalmarl.protocol.plan import Plan

TOOL_WITHIN_S = 900.0
EVERY_EPOCH = ("--set", "learner.radius=off", "--set", "learner.kl_max=1e9")
"""The published code stops no turn early; a launch that did would have less to do."""
OTHER_PHYSICS = {"same": "fast", "default": "parity"}
"""What the centralised trainer steps while the launch steps ``fast``: the same, or what published environments step."""


def loop(
    agents: int,
    kappa: int,
    copies: int,
    steps: int,
    workers: int,
    torch_threads: int,
    rounds: int,
    pairs: int,
    say: Say,
) -> dict[str, Any]:
    """Environment steps/s of the whole loop, sampling and updates, over those of the centralised MAPPO-L."""
    if copies % workers:
        raise UsageProblem(
            f"{copies} copies (--envs) do not split over {workers} workers (--workers)",
            "choose a number of workers that divides the copies",
        )
    size = ("--agents", str(agents), "--kappa", str(kappa), "--envs", str(copies), "--steps", str(steps))
    plans = {name: _centralised_plan(agents, copies, steps, physics) for name, physics in OTHER_PHYSICS.items()}
    ours: list[dict[str, float]] = []
    theirs: dict[str, list[dict[str, float]]] = {name: [] for name in plans}
    for pair in range(pairs):
        ours.append(_launch(size, rounds))
        say(f"pair {pair + 1} of {pairs}: launch {_speed_text(ours[-1])}")
        for name, plan in plans.items():
            theirs[name].append(_centralised(plan, workers, torch_threads, rounds))
            say(f"pair {pair + 1} of {pairs}: centralised, {name} physics {_speed_text(theirs[name][-1])}")
    rows = [_loop_row(name, ours, theirs[name]) for name in plans]
    for row in rows:
        say(loop_text(row))
    sizes = {"agents": agents, "kappa": kappa, "envs": copies, "steps": steps, "workers": workers}
    return {"schema": SCHEMA, **sizes, "torch_threads": torch_threads, "rounds": rounds, "rows": rows}


def _centralised_plan(agents: int, copies: int, steps: int, physics: str) -> Plan:
    """The defaults of ``launch --algo mappo-l``: every agent is paid the team's reward and reads all blocks."""
    chosen = {
        "run.algo": "mappo-l", "run.agents": agents, "world.envs": copies, "world.steps": steps,
        "world.physics": physics,
    }  # fmt: skip
    return make_plan(*resolve(None, (), chosen)).plan


def _launch(size: Sequence[str], rounds: int) -> dict[str, float]:
    """Of the rounds after the first, in which everything is new: median seconds, and what became of them."""
    with launched(*size, "--rounds", str(rounds), *EVERY_EPOCH) as bench:
        bench.wait_for_rounds(rounds)
        samples = read_plan(bench.run).samples
        lines = read_lines(bench.run.metrics)[1:]
    wall, sampling = (statistics.median(line[name] for line in lines) for name in ("wall_s", "sample_s"))
    return {"steps_per_s": samples / wall, "sampling_share": sampling / wall}


def _centralised(plan: Plan, workers: int, torch_threads: int, rounds: int) -> dict[str, float]:
    told = json.dumps(plan.to_data()).encode()
    numbers = (str(workers), str(torch_threads), str(rounds))
    lines = json.loads(ask("mappo_l_loop", *numbers, about=told, folder="launch.bench", within_s=TOOL_WITHIN_S))[1:]
    wall = statistics.median(line["sample_s"] + line["update_s"] for line in lines)
    sampling = statistics.median(line["sample_s"] for line in lines)
    return {"steps_per_s": plan.samples / wall, "sampling_share": sampling / wall}


def _loop_row(name: str, ours: Sequence[dict[str, float]], theirs: Sequence[dict[str, float]]) -> dict[str, Any]:
    ratios = [one["steps_per_s"] / other["steps_per_s"] for one, other in zip(ours, theirs)]
    row: dict[str, Any] = {"physics": name, "centralised_integrator": OTHER_PHYSICS[name]}
    for figure in ("steps_per_s", "sampling_share"):
        row[figure] = statistics.median(one[figure] for one in ours)
        row[f"centralised_{figure}"] = statistics.median(other[figure] for other in theirs)
    return {**row, **_spread(ratios)}


def _spread(ratios: Sequence[float]) -> dict[str, Any]:
    return {
        "ratio": statistics.median(ratios), "smallest": min(ratios), "largest": max(ratios), "ratios": list(ratios)
    }  # fmt: skip


def _speed_text(figures: dict[str, float]) -> str:
    return f"{figures['steps_per_s']:,.0f} steps/s, {100 * figures['sampling_share']:.0f} % of the time sampling"


def loop_text(row: dict[str, Any]) -> str:
    """A row in words."""
    return (
        f"{row['physics']} physics: {row['steps_per_s']:,.0f} against {row['centralised_steps_per_s']:,.0f} "
        f"environment steps/s, ratio {row['ratio']:.2f} ({row['smallest']:.2f} to {row['largest']:.2f})"
    )


def price(agents: int, kappa: int, copies: Sequence[int], rounds: int, pairs: int, say: Say) -> dict[str, Any]:
    """Environment steps/s of a launch's sampling phase over those of a single process with no message."""
    rows = []
    for count in copies:
        pairs_seen = [_price_pair(agents, kappa, count, rounds) for _ in range(pairs)]
        rows.append(
            {
                "envs": count,
                "steps_per_s": statistics.median(ours for ours, _ in pairs_seen),
                "single_process_steps_per_s": statistics.median(single for _, single in pairs_seen),
                **_spread([ours / single for ours, single in pairs_seen]),
            }
        )
        say(price_text(rows[-1]))
    return {"schema": SCHEMA, "agents": agents, "kappa": kappa, "rounds": rounds, "rows": rows}


def _price_pair(agents: int, kappa: int, copies: int, rounds: int) -> tuple[float, float]:
    """Steps/s (launch, single process) in the median round after the first; updates are cut short, they are not
    measured."""
    with launched(
        "--agents", str(agents), "--kappa", str(kappa), "--envs", str(copies), "--rounds", str(rounds),
        "--set", "learner.policy_epochs=1", "--set", "learner.critic_epochs=1",
    ) as bench:  # fmt: skip
        bench.wait_for_rounds(rounds)
        bench.process.wait()
        samples, told = read_plan(bench.run).samples, bench.run.plan.read_bytes()
        ours = statistics.median(line["sample_s"] for line in read_lines(bench.run.metrics)[1:])
    answer = ask("sampling_loop", str(rounds), about=told, folder="launch.bench", within_s=TOOL_WITHIN_S)
    return samples / ours, samples / statistics.median(json.loads(answer)[1:])


def price_text(row: dict[str, Any]) -> str:
    """A row in words."""
    return (
        f"{row['envs']:>4} copies: {row['steps_per_s']:8,.0f} of {row['single_process_steps_per_s']:8,.0f} steps/s "
        f"in a single process, ratio {row['ratio']:.2f} ({row['smallest']:.2f} to {row['largest']:.2f})"
    )
