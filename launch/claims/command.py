"""``scalmarl claims``: put the paper's claims to the test and write down what came of it."""

from __future__ import annotations

import json
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
from rich.table import Table

from scalmarl.launch.claims.battery import Measured, battery, expected_s, families
from scalmarl.launch.claims.laboratory import Laboratory, known_runs
from scalmarl.launch.claims.report import Battery, document, write_report
from scalmarl.launch.claims.sampled_learning import FULL, QUICK
from scalmarl.launch.errors import Exit, UsageProblem
from scalmarl.launch.output_file import make_directory
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.starting import require_linux
from scalmarl.launch.voice import Patient, console, shell_words


@click.command()
@click.option("--quick", is_flag=True, help="Five minutes on two cores; decides little about learning.  [default]")
@click.option("--full", is_flag=True, help="A million steps per setting and seed: hours; resumable.")
@click.option("--only", help="Only these, for example T7,T14.")
@click.option(
    "--seeds", type=click.IntRange(min=1),
    help="Seeds of every setting that must learn (T12, T13, T17).  [default: 1, or 3 with --full]",
)  # fmt: skip
@click.option(
    "--reuse", "reused", type=click.Path(path_type=Path), multiple=True, metavar="DIR",
    help="Runs, or a comparison: where one is what a claim asks for, it is not made again. Repeatable.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("claims"), show_default=True,
    help="Directory of the report and of the runs.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@guarded
def claims(
    quick: bool, full: bool, only: str | None, seeds: int | None, reused: tuple[Path, ...], out: Path, as_json: bool
) -> None:
    """Put the claims to the test: claim, setting, measured value, bound, verdict.

    \b
    scalmarl claims                          a report in claims/, within five minutes
    scalmarl claims --full                   the same with honest budgets; Ctrl-C and call it again to go on
    scalmarl claims --full --seeds 10        goes on with what is there: seven seeds more
    scalmarl claims --full --reuse runs/manyant
    scalmarl claims --only T7,T14 --json

    A claim that fails is a result: the exit code is 0 whenever the battery ran.
    """
    if quick and full:
        raise UsageProblem("--quick and --full exclude each other", "choose one")
    wanted = families(only)
    require_linux()
    say = Patient(stderr=True)
    known = known_runs(reused, lambda words: _tell(say, words))
    make_directory(out, "--out")
    again = shell_words("scalmarl", "claims", *_flags(full, only, seeds, reused, out))
    budget = FULL if full else QUICK
    budget = replace(budget, seeds=seeds or budget.seeds)
    expected = expected_s(wanted, not full, budget)
    _tell(say, f"claims {', '.join(wanted)}: about {_duration(expected)} on two cores; report in {out}")
    # A request to end must end the live run too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(Exit.TERMINATED)))
    laboratory = Laboratory(out, lambda words: _tell(say, words), again, known)
    found: list[Measured] = []
    stopped, began = "", time.monotonic()
    try:
        for measured in battery(laboratory, wanted, not full, budget):
            found.append(measured)
            claim = measured.claim
            _tell(say, f"{claim.id} {claim.verdict}: {claim.claim} ({claim.variant}), {measured.seconds:.1f} s")
    except BaseException as reason:
        stopped = f"stopped after {len(found)} claims ({str(reason) or type(reason).__name__}); go on with `{again}`"
        raise
    finally:
        took = time.monotonic() - began
        told = Battery(again, budget.words(), expected, took, stopped, found, laboratory.commits)
        paths = write_report(out, told)
        _tell(say, f"{stopped or f'{len(found)} claims in {took:.0f} s'}: {', '.join(map(str, paths))}")
        if stopped == "" or not as_json:
            _show(found, as_json)


def _flags(full: bool, only: str | None, seeds: int | None, reused: tuple[Path, ...], out: Path) -> list[str]:
    chosen = ["--full" if full else "--quick"]
    chosen += [word for directory in reused for word in ("--reuse", str(directory))]
    chosen += ["--seeds", str(seeds)] if seeds else []
    chosen += ["--only", only] if only else []
    return [*chosen, "--out", str(out)]


def _tell(say: Patient, words: str) -> None:
    """One line, however long."""
    say.print(words, soft_wrap=True)


def _show(found: list[Measured], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(document(found)))
        sys.stdout.flush()
        return
    table = Table(box=None, title="claims")
    for name in ("id", "verdict", "claim", "variant", "measured"):
        table.add_column(name, overflow="fold")
    for measured in found:
        claim = measured.claim
        table.add_row(claim.id, claim.verdict, claim.claim, claim.variant, claim.measured)
    console().print(table)


def _duration(seconds: float) -> str:
    return (
        f"{seconds / 3600:.1f} h"
        if seconds >= 5400
        else f"{seconds / 60:.0f} min"
        if seconds >= 120
        else f"{seconds:.0f} s"
    )
