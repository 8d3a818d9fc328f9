"""``scalmarl top``: a run in the terminal, drawn again and again until it ends, or q."""

from __future__ import annotations

import contextlib
import json
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.live import Live

from scalmarl.launch.errors import Exit
from scalmarl.launch.reading import current_state
from scalmarl.launch.records import last_lines
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import RunDirectory, find, read_plan
from scalmarl.launch.top import HISTORY, Picture, figures_of, picture_data
from scalmarl.launch.voice import console
from scalmarl.protocol.plan import Plan

LEAST_EVERY_S = 0.2


@click.command()
@click.option(
    "--run", "run_path", type=click.Path(path_type=Path), help="Run directory; default: the live or the latest run."
)
@click.option(
    "--every",
    type=click.FloatRange(LEAST_EVERY_S, 60),
    default=1.0,
    show_default=True,
    help="Seconds between drawings.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@guarded
def top(run_path: Path | None, every: float, as_json: bool) -> None:
    """Watch a run: who does what, who waits for whom, cost against limit, and how return and cost went.

    q or Ctrl-C ends it; the run goes on. Of a run that has ended, and where stdout is no terminal, it is one table.
    'trend' is the cost of an agent in its last rounds, from its least to its greatest.
    """
    run = find(run_path)
    plan = read_plan(run)
    found, figures = look(run, plan)
    if as_json:
        click.echo(json.dumps(found))
        return
    out = console()
    if out.is_terminal and found["state"] == "running":
        # As after Ctrl-C, the terminal is left as it was.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(Exit.TERMINATED)))
        with contextlib.suppress(KeyboardInterrupt), Live(console=out, screen=True, auto_refresh=False) as live, keys():
            while found["state"] == "running":
                live.update(Picture(found, figures, "q: end; the run goes on"), refresh=True)
                if _asked_to_end(every):
                    break
                found, figures = look(run, plan)
    out.print(Picture(found, figures))


def look(run: RunDirectory, plan: Plan) -> tuple[dict[str, Any], dict[str, str]]:
    """The run as it stands: the document, and the figures in words."""
    lines = last_lines(run.metrics, HISTORY)
    return picture_data(str(run.path), plan, current_state(run), lines), figures_of(plan, lines)


@contextlib.contextmanager
def keys() -> Iterator[None]:
    """A terminal's keys come one by one and unseen meanwhile."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _asked_to_end(within_s: float) -> bool:
    """Wait; whether q was pressed, or nobody can press it any more."""
    watched = [sys.stdin] if sys.stdin.isatty() else []
    ready, _, _ = select.select(watched, [], [], within_s)
    return bool(ready) and sys.stdin.read(1) in ("q", "Q", "")
