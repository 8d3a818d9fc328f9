"""The curves of docs/scaling.md: what is foreseen from 8 to 10,000 agents, as a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from scalmarl.launch.bench.live import Say
from scalmarl.launch.errors import MachineNotFit
from scalmarl.launch.output_file import check_png
from scalmarl.launch.scaling.costs import Costs
from scalmarl.launch.scaling.engine import CATEGORIES, Machines
from scalmarl.launch.scaling.forecast import Forecast, forecast
from scalmarl.protocol.plan import Plan

NUMBERS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 10_000)
HOSTS = (1, 8, 64)


def draw(path: Path, plan_of: Callable[[int], Plan], costs: Costs, machines: Machines, say: Say) -> None:
    """Write the picture; ``machines`` but for their number. Raises ``UserProblem`` where it cannot be written, or
    matplotlib is missing."""
    check_png(path, "--curve", "curve.png")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MachineNotFit("--curve needs matplotlib", "pip install 'scalmarl[plot]'") from None
    found: dict[int, list[Forecast]] = {hosts: [] for hosts in HOSTS}
    for agents in NUMBERS:
        plan = plan_of(agents)
        for hosts in HOSTS:
            if hosts <= agents:
                found[hosts].append(forecast(plan, costs, replace(machines, hosts=hosts)))
        say(f"{agents} agents: " + ", ".join(_words(rows[-1]) for rows in found.values() if rows))
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    speed, shares, memory = figure.subplots(1, 3)
    _lines(speed, found, lambda row: row.agent_steps_per_s, "agent-steps/s")
    speed.set_yscale("linear")
    speed.set_ylim(bottom=0)
    _shares(shares, found[HOSTS[-1]])
    _lines(memory, found, lambda row: max(row.host_memory) / 1e9, "GB on the fullest host")
    figure.suptitle(
        f"cheetahs at fixed kappa, hosts with {machines.cores} cores: foreseen from measured costs", fontsize=11
    )
    figure.savefig(path, dpi=110)


def _words(row: Forecast) -> str:
    return f"{row.hosts} hosts {row.agent_steps_per_s:,.0f}/s ({row.bottleneck})"


def _lines(axes: Any, found: dict[int, list[Forecast]], value: Callable[[Forecast], float], title: str) -> None:
    for hosts, rows in found.items():
        label = f"{hosts} host{'s' if hosts > 1 else ''}"
        axes.loglog([row.agents for row in rows], [value(row) for row in rows], marker=".", label=label)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("agents")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)


def _shares(axes: Any, rows: list[Forecast]) -> None:
    """Where the critical path goes."""
    shares = [[row.round.path[name] / row.round.wall_s for row in rows] for name in CATEGORIES]
    axes.stackplot([row.agents for row in rows], shares, labels=CATEGORIES, alpha=0.85)
    axes.set_xscale("log")
    axes.set_ylim(0, 1)
    axes.set_title(f"share of the critical path, {rows[0].hosts} hosts", fontsize=10)
    axes.set_xlabel("agents")
    axes.legend(loc="lower left", fontsize=8)
