"""The proof that training is decentralised: drop every packet beyond kappa hops, and nothing changes.

Each process of a run lives in a network namespace of its own. The router between them drops every packet between two
agents more than kappa hops apart, and counts what comes to it. The run must end with the digest of the same run without
a network, and the counters of the forbidden pairs must be zero, because nobody tried. Two controls show that zero is a
finding: datagrams sent across the wall on purpose are counted and do not arrive, and a run that needs one hop more is
counted and gets nowhere.

    sudo .venv/bin/python -m benchmarks.firewall --agents 5 --kappa 1
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.launching import Document
from benchmarks.router import why_not
from benchmarks.walled_run import (
    Disturbance,
    Size,
    cut_off,
    kill_each_agent,
    overreaching,
    try_probes,
    unwalled,
    wall_for,
    walled,
)
from scalmarl.launch.errors import Exit, MachineNotFit, UsageProblem
from scalmarl.launch.report_problem import guarded

SCHEMA = 1
_DEFAULTS = Size()


def prove(size: Size, directory: Path, disturb: Disturbance | None = None) -> Document:
    """Controls, the run behind the wall, controls, the run without a wall; figures and verdicts."""
    with wall_for(size) as wall:
        if all(wall.allows(ends) for ends in wall.pairs()):
            raise UsageProblem(
                f"with kappa {size.kappa} all {size.agents} agents hear one another: there is nothing to forbid",
                "lower --kappa or raise --agents",
            )
        before = try_probes(wall)
        run = walled(wall, size, directory / "walled", disturb)
        after = try_probes(wall)
        further = overreaching(wall, size, directory / "overreaching")
    free = unwalled(size, directory / "open")
    document = {
        "schema": SCHEMA, **vars(size), "cores": len(os.sched_getaffinity(0)),
        "probes": {"before": before, "after": after}, "walled": run, "open": free, "overreaching": further,
    }  # fmt: skip
    return {**document, "verdicts": verdicts(document)}


def verdicts(document: Document) -> dict[str, bool]:
    """What must hold."""
    run, further = document["walled"], document["overreaching"]
    forbidden = [row for row in run["pairs"] if not row["allowed"]]
    found = {
        "probes between agents within kappa hops arrive, the others do not": all(
            p["arrived"] == p["allowed"] and not p["strayed"] for p in document["probes"].values()
        ),
        "every probe is counted, as passed or as dropped": all(p["exact"] for p in document["probes"].values()),
        "the run behind the firewall has the digest of the open one": run["digest"] == document["open"]["digest"],
        "no packet between agents more than kappa hops apart, so none dropped": all(
            row["seen"] == row["dropped"] == 0 for row in forbidden
        ),
        "packets between all others": all(row["seen"] > 0 for row in run["pairs"] if row["allowed"]),
        "nothing but IPv4": run["other_packets"] == 0,
        "a run with kappa + 1 behind the same firewall is dropped and commits no round": (
            further["dropped"] > 0 and further["rounds"] == 0
        ),
    }
    told = run["disturbance"]
    if "killed" in told:
        found["every agent was killed and restarted"] = run["restarts"] == len(told["killed"]) == document["agents"]
    else:
        found["no process was restarted"] = run["restarts"] == 0
    return found


def print_report(document: Document) -> None:
    """The table and the verdicts, for a reader."""
    run = document["walled"]
    click.echo(
        f"{document['agents']} agents, kappa {document['kappa']}, {document['rounds']} rounds of {document['envs']} x "
        f"{document['steps']} samples, {document['cores']} cores\n"
    )
    click.echo(f"{'pair':<24}{'hops':>5}{'allowed':>9}{'packets':>9}{'dropped':>9}")
    for row in run["pairs"]:
        hops = "" if row["hops"] is None else row["hops"]
        click.echo(
            f"{' - '.join(row['pair']):<24}{hops:>5}{'yes' if row['allowed'] else 'no':>9}{row['seen']:>9}"
            f"{row['dropped']:>9}"
        )
    click.echo()
    for when, probes in document["probes"].items():
        told = "{arrived} of {allowed} allowed arrived, {strayed} of {forbidden} forbidden; {dropped} of {seen} dropped"
        click.echo(f"probes {when} the run: {told.format(**probes)}")
    further = document["overreaching"]
    click.echo(
        f"kappa {document['kappa'] + 1} behind the same firewall: {further['dropped']} packets dropped, "
        f"{further['rounds']} rounds committed"
    )
    for name, value in run["disturbance"].items():
        click.echo(f"{name.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}")
    click.echo(
        f"\nbehind the firewall  {run['digest']['run']}\nopen                 {document['open']['digest']['run']}\n"
    )
    for verdict, holds in document["verdicts"].items():
        click.echo(f"{'yes' if holds else 'NO':<4}{verdict}")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--agents", default=_DEFAULTS.agents, show_default=True, help="Agents, on the path of the task.")
@click.option("--kappa", default=_DEFAULTS.kappa, show_default=True, help="Hops that packets may go.")
@click.option("--rounds", default=_DEFAULTS.rounds, show_default=True, help="Collect-and-update cycles.")
@click.option("--envs", default=_DEFAULTS.envs, show_default=True, help="Copies of the world.")
@click.option("--steps", default=_DEFAULTS.steps, show_default=True, help="Control steps of each copy per round.")
@click.option("--seed", default=_DEFAULTS.seed, show_default=True, help="Seed of the run.")
@click.option("--kill", is_flag=True, help="SIGKILL every agent once during the run behind the firewall.")
@click.option("--cut", type=float, metavar="SECONDS", help="Pull the middle agent's cable out for so long meanwhile.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@guarded
def main(kill: bool, cut: float | None, as_json: bool, **size: Any) -> None:
    """Run behind a firewall that drops every packet between agents more than kappa hops apart; needs root.

    Prints who sent how many packets to whom, how many were dropped, and whether the result is that of an open run. Exit
    code 0 if all verdicts hold, 1 if not, 4 if this machine cannot do it.
    """
    if kill and cut is not None:
        raise UsageProblem("--kill and --cut are two variants", "choose one")
    if kill and size["rounds"] < size["agents"] + 2:
        raise UsageProblem("--kill needs a round per agent and two more", f"--rounds {size['agents'] + 2} or more")
    reason = why_not()
    if reason is not None:
        raise MachineNotFit(f"the firewall cannot be built: {reason}", "as root: python -m benchmarks.firewall")
    # Everything is taken away on the way out, so a request to end must be one.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    disturb = kill_each_agent if kill else cut_off(cut) if cut is not None else None
    with tempfile.TemporaryDirectory(prefix="scalmarl-firewall-") as directory:
        document = prove(Size(**size), Path(directory), disturb)
    if as_json:
        click.echo(json.dumps(document, indent=1))
    else:
        print_report(document)
    sys.exit(int(Exit.DONE if all(document["verdicts"].values()) else Exit.TRAINING_FAILED))


if __name__ == "__main__":
    main()
