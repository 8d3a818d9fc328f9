"""``scalmarl report``: runs and comparisons as one HTML file to hand on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from scalmarl.launch.errors import UsageProblem
from scalmarl.launch.figures.runs import gather
from scalmarl.launch.figures.scope import WINDOW
from scalmarl.launch.figures.style import require_plot
from scalmarl.launch.output_file import make_directory, write_output
from scalmarl.launch.report_page import page
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import SCHEMA
from scalmarl.launch.voice import shell_words


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option("-o", "--output", "path", type=click.Path(path_type=Path), default="report.html", show_default=True,
              help="File to write.")  # fmt: skip
@click.option("--window", type=click.FloatRange(0, 1, min_open=True), default=WINDOW, show_default=True,
              help="Share of the rounds, at the end, of final figures; at least 10 rounds.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout: which file was written.")
@guarded
def report(runs: tuple[Path, ...], path: Path, window: float, as_json: bool) -> None:
    """Write a report of runs and comparisons: one HTML file, which fetches nothing.

    \b
    scalmarl report runs/c -o report.html
    scalmarl report runs/a runs/b

    It holds the figures of 'scalmarl plot', tables of return, cost, violations, bytes and time over seeds, every
    agent's cost against its limit, the configuration and what differs in it, versions, and the commands that make it
    again. RUNS are run directories or compare directories; without any, the live or the latest run.
    """
    require_plot("report")
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageProblem(f"-o {path} does not end in .html", "name an HTML file, as in -o report.html")
    gathered = gather(runs)
    make_directory(path.parent, "-o")
    content = page(gathered, window, shell_words("scalmarl", *sys.argv[1:]))
    write_output(path, content.encode())
    if as_json:
        told = [{"what": what, "why": why} for what, why in gathered.left_out]
        click.echo(json.dumps({"schema": SCHEMA, "files": [str(path)], "left_out": told}))
    else:
        click.echo(str(path))
