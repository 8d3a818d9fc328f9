"""Kill every process of a run at random moments and show that not a bit of the result changes.

Launches the same run twice, undisturbed and under fire, and once with another seed. Under fire, each process (agents,
sim server, coordinator) is hit with SIGKILL at least once, at moments drawn from ``--kill-seed``. At the end the three
digests and the two tables of first sendings are compared.

    python examples/kill_and_compare.py --agents 8 --kappa 2 --rounds 20
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

Document = dict[str, Any]


def scalmarl(*arguments: str) -> Document:
    """A reading command's JSON document."""
    command = [sys.executable, "-m", "scalmarl", *arguments, "--json"]
    document: Document = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return document


def launch(run: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    """A launch of its own; what it says goes to ``RUN.txt``."""
    with run.with_suffix(".txt").open("wb") as words:
        command = [sys.executable, "-m", "scalmarl", "launch", "--run", str(run), *arguments]
        return subprocess.Popen(command, stdout=words, stderr=words)


def finish(run: Path, process: subprocess.Popen[bytes]) -> tuple[Document, list[Document]]:
    """Wait for the end of a run; its digest, and its first sendings."""
    if process.wait() != 0:
        sys.exit(f"the launch of {run} failed:\n{run.with_suffix('.txt').read_text()}")
    pairs = scalmarl("traffic", "--run", str(run))["pairs"]
    first = [{name: value for name, value in pair.items() if name != "repeat_bytes"} for pair in pairs]
    return scalmarl("digest", "--run", str(run)), first


def processes(run: Path) -> list[Document]:
    """Who runs now, from ``run.json``."""
    try:
        found: list[Document] = json.loads((run / "run.json").read_text())["processes"]
    except (OSError, ValueError):
        return []
    return found


def kill_at_random(run: Path, process: subprocess.Popen[bytes], names: list[str], draw: random.Random) -> int:
    """SIGKILL the named processes one after the other, at random moments, until the run ends; how many were hit."""
    hits = 0
    while process.poll() is None and hits < len(names):
        time.sleep(draw.uniform(0.05, 0.6))
        running = {p["name"]: p["pid"] for p in processes(run) if p["state"] == "running"}
        if len(running) == len(set(names)) and names[hits] in running:
            click.echo(f"  SIGKILL {names[hits]} (pid {running[names[hits]]})")
            os.kill(running[names[hits]], signal.SIGKILL)
            hits += 1
    return hits


@click.command()
@click.option("--agents", default=8, show_default=True)
@click.option("--kappa", default=2, show_default=True)
@click.option("--rounds", default=20, show_default=True)
@click.option("--envs", default=32, show_default=True)
@click.option("--steps", default=32, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--kill-seed", default=1, show_default=True, help="Decides when whom is killed.")
@click.option("--times", default=1, show_default=True, help="How often each process is killed.")
def main(agents: int, kappa: int, rounds: int, envs: int, steps: int, seed: int, kill_seed: int, times: int) -> None:
    """Exit code 0 if the kills changed no bit of the result and no byte of the first sendings, else 1."""
    arguments = [
        "--agents", str(agents), "--kappa", str(kappa), "--rounds", str(rounds),
        "--envs", str(envs), "--steps", str(steps), "--seed",
    ]  # fmt: skip
    draw = random.Random(kill_seed)
    names = [*(f"agent/{agent}" for agent in range(agents)), "sim", "coordinator"] * times
    draw.shuffle(names)
    with tempfile.TemporaryDirectory(prefix="scalmarl-example-") as directory:
        runs = {name: Path(directory) / name for name in ("undisturbed", "under-fire", "another-seed")}
        click.echo("undisturbed")
        calm, calm_bytes = finish(runs["undisturbed"], launch(runs["undisturbed"], [*arguments, str(seed)]))
        click.echo("under fire")
        target = launch(runs["under-fire"], [*arguments, str(seed)])
        hits = kill_at_random(runs["under-fire"], target, names, draw)
        fire, fire_bytes = finish(runs["under-fire"], target)
        restarts = sum(process["restarts"] for process in processes(runs["under-fire"]))
        click.echo("another seed")
        other, _ = finish(runs["another-seed"], launch(runs["another-seed"], [*arguments, str(seed + 1)]))
    click.echo(f"kills that hit: {hits} of {len(names)}, restarts: {restarts}")
    for name, found in (("undisturbed", calm), ("under fire", fire), ("another seed", other)):
        click.echo(f"{name:<13}{found['run']}")
    verdicts = {
        "every process was killed": hits == len(names),
        "same digest": calm == fire,
        "same first sendings, to the byte": calm_bytes == fire_bytes,
        "another seed, another digest": other["run"] != calm["run"],
    }
    for verdict, holds in verdicts.items():
        click.echo(f"{'yes' if holds else 'NO':<4}{verdict}")
    sys.exit(0 if all(verdicts.values()) else 1)


if __name__ == "__main__":
    main()
