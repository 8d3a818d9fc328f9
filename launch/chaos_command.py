"""``scalmarl chaos``: kill and freeze processes of a live run by a seeded schedule, and say what it cost."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np

from scalmarl.launch.chaos import FREEZE, KILL, Campaign, schedule
from scalmarl.launch.errors import Exit, NoSuchRun, UsageProblem
from scalmarl.launch.option_types import seconds
from scalmarl.launch.records import read_lines
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import SCHEMA, RunDirectory, find
from scalmarl.launch.voice import shell_words
from scalmarl.protocol.keys import Role

ROLES = tuple(role.value for role in Role)


def _roles(ctx: click.Context, param: click.Parameter, text: str) -> tuple[str, ...]:
    roles = tuple(word.strip() for word in text.split(",") if word.strip())
    strange = [role for role in roles if role not in ROLES]
    if strange or not roles:
        raise click.BadParameter(f"{text!r} is not a list of roles; choose from {', '.join(ROLES)}")
    return roles


@click.command()
@click.option("--run", "run_path", type=click.Path(path_type=Path), help="Run directory; default: the live run.")
@click.option("--kill-every", callback=seconds, help="Mean time between kills, e.g. 2s; SIGKILL, exponential gaps.")
@click.option("--freeze-every", callback=seconds, help="Mean time between freezes, e.g. 10s; SIGSTOP.")
@click.option("--freeze-for", callback=seconds, default="1s", show_default=True, help="Time until SIGCONT.")
@click.option("--roles", callback=_roles, default=",".join(ROLES), show_default=True, help="Who may be hit.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides times and victims.")
@click.option("--for", "for_seconds", callback=seconds, help="End after this time.  [default: when the run ends]")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@guarded
def chaos(
    run_path: Path | None, kill_every: float | None, freeze_every: float | None, freeze_for: float,
    roles: tuple[str, ...], seed: int, for_seconds: float | None, as_json: bool,
) -> None:  # fmt: skip
    """Kill and freeze processes of a live run; the result does not change by a bit.

    \b
    scalmarl chaos --kill-every 2s
    scalmarl chaos --run runs/a --kill-every 2s --freeze-every 10s --roles agent,sim --seed 7
    scalmarl verify runs/a                   afterwards: the same bits as an undisturbed run?

    It ends when the run ends; Ctrl-C ends it before, and thaws whoever is frozen.
    """
    if kill_every is None and freeze_every is None:
        raise UsageProblem("there is nothing to do", "give --kill-every 2s, --freeze-every 10s, or both")
    for option, value in (("--kill-every", kill_every), ("--freeze-every", freeze_every)):
        if value is not None and value < 0.01:
            raise UsageProblem(f"{option} {value:g} s is too often", "use at least 10ms")
    run = find(run_path)
    if not run.is_live():
        raise NoSuchRun(f"{run.path} is not live", f"continue it: {shell_words('scalmarl', 'resume', run.path)}")
    already = len(read_lines(run.events))

    def said(at: float, kind: str, name: str, pid: int) -> None:
        if not as_json:
            click.echo(f"{at:8.2f} s  {kind:<6}  {name} (pid {pid})")

    # As after Ctrl-C, nobody stays frozen.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(Exit.TERMINATED)))
    campaign = Campaign(run, roles, freeze_for, said)
    interrupted = False
    try:
        campaign.carry_out(schedule(seed, kill_every, freeze_every), for_seconds)
    except KeyboardInterrupt:
        interrupted = True
    result = outcome(run, campaign, seed, already)
    click.echo(json.dumps(result) if as_json else words(run, result))
    if interrupted:
        sys.exit(int(Exit.INTERRUPTED))
    if result["state"] == "failed":
        sys.exit(int(Exit.TRAINING_FAILED))


def outcome(run: RunDirectory, campaign: Campaign, seed: int, already: int) -> dict[str, Any]:
    """What was done and what it cost, from the events since line ``already``."""
    events = read_lines(run.events)[already:]
    in_step = [line for line in events if line["event"] == "in step"]
    times = [line["seconds"] for line in in_step]
    state = run.read_state()
    return {
        "schema": SCHEMA,
        "seed": seed,
        "kills": {role: campaign.done[KILL, role] for role in ROLES if campaign.done[KILL, role]},
        "freezes": {role: campaign.done[FREEZE, role] for role in ROLES if campaign.done[FREEZE, role]},
        "deaths": sum(line["event"] == "death" for line in events),
        "in_step_s": {
            "median": float(np.median(times)),
            "p99": float(np.quantile(times, 0.99)),
            "largest": max(times),
        } if times else None,
        "redone_steps": sum(line["redone_steps"] for line in in_step),
        "state": state["state"],
        "round": state["round"],
    }  # fmt: skip


def words(run: RunDirectory, result: dict[str, Any]) -> str:
    """The outcome in lines."""
    did = [
        f"{sum(result[name].values())} {name} (" + ", ".join(f"{n} {role}" for role, n in result[name].items()) + ")"
        for name in ("kills", "freezes")
        if result[name]
    ]
    lines = [
        f"{', '.join(did) or 'nothing was done'}; the run is {result['state']}, {result['round']} rounds committed"
    ]
    if result["in_step_s"]:
        took = result["in_step_s"]
        lines.append(
            f"back in step after {took['median']:.2f} s (median), {took['p99']:.2f} s (p99), "
            f"{took['largest']:.2f} s (largest); {result['redone_steps']} control steps done again"
        )
    lines.append(f"the story: {shell_words('scalmarl', 'events', '--run', run.path)}")
    if result["state"] == "finished":
        lines.append(f"the same bits as without? {shell_words('scalmarl', 'verify', run.path)}")
    return "\n".join(lines)
