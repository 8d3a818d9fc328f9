"""``scalmarl plan``: what a run would do on given machines, foreseen from measured costs."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from scalmarl.launch.config import Config, resolve
from scalmarl.launch.errors import UsageProblem
from scalmarl.launch.option_types import keys_of, seconds
from scalmarl.launch.planning import check_widths, draw_plan
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import SCHEMA
from scalmarl.launch.scaling.calibration import DEFAULT_FILE, calibrate, read_calibration
from scalmarl.launch.scaling.engine import Machines
from scalmarl.launch.scaling.forecast import Forecast, forecast
from scalmarl.launch.scaling.task import describe_any
from scalmarl.launch.summary import bytes_text
from scalmarl.protocol.plan import Plan
from scalmarl.sim_server.cheetah_task import MOST

GIGABIT = 1e9 / 8
_DEFAULTS = Config()


@click.command()
@click.option("--agents", type=int, help="Agents, each its own process.  [default: the task's partition, else 8]")
@click.option("--kappa", type=int, help=f"Radius of a neighbourhood.  [default: {_DEFAULTS.run.kappa}]")
@click.option("--task", help=f"NAME or NAME:PARTITION, see env list.  [default: {_DEFAULTS.world.task}]")
@click.option("--algo", help=f"Algorithm.  [default: {_DEFAULTS.run.algo}]")
@click.option("--graph", help="As for launch.  [default: task]")
@click.option("--envs", type=int, help=f"Copies of the world.  [default: {_DEFAULTS.world.envs}]")
@click.option("--steps", type=int, help=f"Control steps of each copy per round.  [default: {_DEFAULTS.world.steps}]")
@click.option("--set", "assignments", multiple=True, metavar="SECTION.KEY=VALUE", help="Set any parameter; repeatable.")
@click.option("--hosts", type=click.IntRange(min=1), default=1, show_default=True, help="Machines.")
@click.option("--cores-per-host", "cores", type=click.IntRange(min=1), help="Cores of each.  [default: this machine's]")
@click.option(
    "--bandwidth", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True, metavar="GBIT/S",
    help="What a host sends, and what it receives.",
)  # fmt: skip
@click.option("--latency", callback=seconds, default="50us", show_default=True, help="Between hosts: 50us, 1ms.")
@click.option(
    "--memory-per-host", "memory", type=click.FloatRange(min=0, min_open=True), metavar="GB",
    help="What a host has; without it memory is told, not judged.",
)  # fmt: skip
@click.option(
    "--calibration", type=click.Path(path_type=Path), default=DEFAULT_FILE, show_default=True,
    help="The file with this machine's unit costs.",
)  # fmt: skip
@click.option(
    "--calibrate", "is_calibration", is_flag=True, help="Measure the unit costs (about a minute) and write it."
)
@click.option(
    "--curve", type=click.Path(path_type=Path), metavar="PNG",
    help="Draw speed, time and memory from 8 to 10,000 agents; minutes.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@guarded
def plan(
    assignments: tuple[str, ...], hosts: int, cores: int | None, bandwidth: float, latency: float,
    memory: float | None, calibration: Path, is_calibration: bool, curve: Path | None, as_json: bool, **flags: Any,
) -> None:  # fmt: skip
    """Foresee a run on other machines: speed, phases, bytes, memory, and what holds it back.

    \b
    scalmarl plan --calibrate                                            once per machine, while it is idle
    scalmarl plan --agents 4096 --kappa 2 --task cheetahs --hosts 64
    scalmarl bench scale --calibration calibration.json                  how well it foresees, by real launches

    Nothing is started but by --calibrate. How it is computed: docs/scaling.md.
    """
    err = (lambda text: None) if as_json else (lambda text: click.echo(text, err=True))
    if is_calibration:
        costs = calibrate(calibration, err)
        click.echo(json.dumps({"schema": SCHEMA, "costs": costs.to_data()}) if as_json else str(calibration))
        return
    costs = read_calibration(calibration)
    named = keys_of(flags)
    own_cores = cores or len(os.sched_getaffinity(0))
    machines = Machines(hosts, own_cores, bandwidth * GIGABIT, latency)
    if curve is not None:
        from scalmarl.launch.scaling.figure import draw

        draw(curve, lambda agents: _plan({**named, "run.agents": agents}, assignments), costs, machines, err)
        click.echo(str(curve))
        return
    planned = _plan(named, assignments)
    if hosts > planned.agents:
        raise UsageProblem(f"--hosts {hosts} for {planned.agents} agents", "use at most one host per agent")
    found = forecast(planned, costs, machines, float("inf") if memory is None else memory * 1e9)
    if as_json:
        click.echo(json.dumps(_document(found, machines)))
    else:
        click.echo("\n".join(forecast_lines(planned, found, machines)))


def _plan(named: dict[str, Any], assignments: tuple[str, ...]) -> Plan:
    drawn = draw_plan(*resolve(None, assignments, named), describe=describe_any).plan
    check_widths(drawn)
    return drawn


def _document(found: Forecast, machines: Machines) -> dict[str, Any]:
    pairs = [{"from": a, "to": b, "bytes": size} for (a, b), size in found.pairs.items()]
    document = {"schema": SCHEMA, **asdict(found), "pairs": pairs, "machines": asdict(machines)}
    if machines.bandwidth == float("inf"):
        document["machines"]["bandwidth"] = None
    return document


def forecast_lines(planned: Plan, found: Forecast, machines: Machines) -> list[str]:
    """A forecast in words."""
    times = found.round
    path = sorted(((spent, name) for name, spent in times.path.items() if spent > 0), reverse=True)
    shares = ", ".join(f"{name} {100 * spent / times.wall_s:.0f} %" for spent, name in path)
    links = ", ".join(f"{sort} {bytes_text(size)}" for sort, size in found.link_bytes.items())
    lines = [
        f"{planned.task.label}, {planned.agents} agents, kappa {planned.kappa}, {planned.copies} copies x "
        f"{planned.steps} steps, on {machines.hosts} host{'s' if machines.hosts > 1 else ''} with {machines.cores} "
        f"core{'s' if machines.cores > 1 else ''}",
        f"speed        {found.env_steps_per_s:,.1f} environment steps/s, {found.agent_steps_per_s:,.0f} agent-steps/s",
        f"a round      {times.wall_s:,.2f} s: {times.sample_s:,.2f} s sampling ({1e3 * times.step_s:,.2f} ms a step), "
        f"{times.update_s:,.2f} s update in {found.phases} phases",
        f"links        per round: {links}",
        *_pair_lines(found),
        f"memory       host 0 {found.host_memory[0] / 1e9:.1f} GB"
        + (f", the others {max(found.host_memory[1:]) / 1e9:.1f} GB at most" if machines.hosts > 1 else ""),
        f"bottleneck   {found.bottleneck}; the critical path: {shares}",
    ]
    if found.bottleneck == "physics" and machines.hosts > 1:
        lines.append("note         one sim server steps all agents: more hosts do not make physics faster")
    if planned.task.name == "cheetahs" and planned.agents > MOST:
        lines.append(f"note         a launch takes at most {MOST} cheetahs today; this is what more would do")
    return lines


def _pair_lines(found: Forecast) -> list[str]:
    """Bytes between hosts: with host 0, where the sim server is, and between the others."""
    first = [size for (a, b), size in found.pairs.items() if 0 in (a, b)]
    others = [size for (a, b), size in found.pairs.items() if 0 not in (a, b)]
    if not first:
        return []
    most, whole = bytes_text(max(first)), bytes_text(sum(first))
    text = f"host pairs   per round, one way: with host 0 at most {most}, in all {whole}"
    return [text + (f"; between others at most {bytes_text(max(others))}" if others else "")]
