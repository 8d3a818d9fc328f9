"""``scalmarl verify``: was the run what its configuration says, bit by bit, whatever happened to it?"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from scalmarl.launch.errors import Exit, UsageProblem
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import SCHEMA, RunDirectory
from scalmarl.launch.starting import require_linux
from scalmarl.launch.verification import Difference, again, committed_digests, run_again
from scalmarl.launch.versions import changed_versions

SAY_EVERY_S = 2.0


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--rounds", type=click.IntRange(min=1), help="Only so many first rounds.  [default: all committed ones]")
@click.option("--keep", type=click.Path(path_type=Path), help="Make the second run here and keep it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@guarded
def verify(directory: Path, rounds: int | None, keep: Path | None, as_json: bool) -> None:
    """Run a run's configuration once more, undisturbed, and compare the digests round by round.

    \b
    scalmarl verify runs/a
    scalmarl verify runs/a --rounds 10       its first rounds only

    Exit code 0: every committed file of every process is identical. 1: not; the first difference is named. Agents that
    were absent (--on-loss mask) are left out in the same rounds.
    """
    require_linux()
    if keep is not None and keep.exists():
        raise UsageProblem(f"{keep} (--keep) exists already", "choose another --keep, or remove it")
    # As after Ctrl-C, the second run ends and its directory goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(Exit.TERMINATED)))
    run = RunDirectory(directory)
    state = run.read_state()
    digests = committed_digests(run)
    if not digests:
        raise UsageProblem(f"{run.path} has not committed a round", "there is nothing to verify yet")
    digests = digests[:rounds]
    began = said = time.monotonic()
    told = 0

    def progress(equal: int) -> None:
        nonlocal said, told
        if not as_json and equal > told and time.monotonic() - said > SAY_EVERY_S:
            said, told = time.monotonic(), equal
            click.echo(f"{equal} of {len(digests)} rounds are identical", err=True)

    changed = changed_versions(state)
    if changed and not as_json:
        click.echo(f"note: made with other versions ({changed}); equal bits are not promised", err=True)
    with tempfile.TemporaryDirectory(prefix="scalmarl-verify-") as scratch:
        second = again(run, keep or Path(scratch) / "second")
        difference = run_again(second, digests, progress)
    took = time.monotonic() - began
    click.echo(
        json.dumps(_document(digests, difference, changed)) if as_json else _words(run, digests, difference, took)
    )
    if difference is not None:
        sys.exit(int(Exit.TRAINING_FAILED))


def _document(digests: list[dict[int, bytes]], difference: Difference | None, changed: str) -> dict[str, Any]:
    found = None
    if difference is not None:
        found = {"round": difference.round, "processes": list(difference.processes)}
    return {
        "schema": SCHEMA, "identical": difference is None, "rounds": len(digests), "first_difference": found,
        "versions_changed": changed,
    }  # fmt: skip


def _words(run: RunDirectory, digests: list[dict[int, bytes]], difference: Difference | None, took: float) -> str:
    if difference is None:
        files = sum(len(took_part) for took_part in digests)
        return f"identical: {len(digests)} rounds, {files} files of {run.path}, compared in {took:.0f} s"
    return (
        f"DIFFERENT: round {difference.round} of {len(digests)} is the first that differs, in the files of "
        f"{', '.join(difference.processes)}; the rounds before are identical"
    )
