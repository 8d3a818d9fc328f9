"""``scalmarl plot``: the field's figures of runs and comparisons, with the numbers behind each."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from scalmarl.launch.errors import UsageProblem
from scalmarl.launch.exporting import csv_table
from scalmarl.launch.figures import results_table
from scalmarl.launch.figures.data import SORTS, Found, find_figures
from scalmarl.launch.figures.draw import about, drawn
from scalmarl.launch.figures.runs import World, gather
from scalmarl.launch.figures.scope import WINDOW
from scalmarl.launch.figures.style import FORMATS, require_plot, written
from scalmarl.launch.option_types import inches, words
from scalmarl.launch.output_file import make_directory, write_output
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import SCHEMA
from scalmarl.launch.voice import shell_words

NAMES = (results_table.NAME, *(sort.name for sort in SORTS))


def _known(what: str, asked: Sequence[str], known: Sequence[str]) -> None:
    unknown = [word for word in asked if word not in known]
    if unknown:
        raise UsageProblem(f"unknown {what} {unknown[0]!r}", f"choose among {', '.join(known)}")


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option("-o", "--output", "directory", type=click.Path(path_type=Path), default="figures", show_default=True,
              help="Directory to write into; other files there stay as they are.")  # fmt: skip
@click.option("--format", "formats", multiple=True, callback=words, help="Of: png, pdf, svg.  [list; default: all]")
@click.option("--only", multiple=True, callback=words, help=f"Of: {', '.join(NAMES)}.  [list; default: all]")
@click.option("--width", callback=inches, default="7in", show_default=True,
              help="Width of a figure: 3.4in, 8.6cm, 86mm. A paper's column is about 3.4 inches.")  # fmt: skip
@click.option("--window", type=click.FloatRange(0, 1, min_open=True), default=WINDOW, show_default=True,
              help="Share of the rounds, at the end, of final figures; at least 10 rounds.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout: which files were written.")
@guarded
def plot(
    runs: tuple[Path, ...], directory: Path, formats: tuple[str, ...], only: tuple[str, ...], width: float,
    window: float, as_json: bool,
) -> None:  # fmt: skip
    """Draw the field's figures of runs and of comparisons.

    \b
    scalmarl plot runs/c -o figures                       of all finished runs of a comparison
    scalmarl plot runs/a runs/b runs/c/cells/*/           of these runs, finished or not
    scalmarl plot runs/c --format pdf --width 3.4in       for a paper's column
    scalmarl plot runs/c --only curves,kappa

    RUNS are run directories or compare directories; without any, the live or the latest run. Runs that differ in
    nothing but their seed make one line. Beside each figure stands a CSV file with its numbers; the command stands in
    the figure's metadata. The results are a table too, as Markdown, LaTeX and CSV. Figures that the runs have no data
    for are left out, and it is said why.
    """
    require_plot("plot")
    _known("format", formats, FORMATS)
    _known("figure", only, NAMES)
    gathered = gather(runs)
    worlds = gathered.worlds()
    found, lacking = find_figures(worlds, window, only)
    left_out = [*gathered.left_out, *lacking.items()]
    tabled = worlds if not only or results_table.NAME in only else []
    if not found and not tabled:
        raise UsageProblem(
            "these runs have no data for any figure: " + "; ".join(f"{name}: {why}" for name, why in lacking.items()),
            "give more runs, or longer ones",
        )
    make_directory(directory, "-o")
    command = shell_words("scalmarl", *sys.argv[1:])
    figures = []
    for world in tabled:
        name = results_table.NAME if len(worlds) == 1 else f"{results_table.NAME}-{world.slug}"
        paths = _written(directory, name, _table(world, window, command), as_json)
        figures.append({"name": name, "shows": results_table.WORDS, "title": world.title, "files": paths})
    for one in found:
        paths = _written(directory, one.name, _picture(one, formats or FORMATS, width, command), as_json)
        figures.append({"name": one.name, "shows": one.sort.words, "title": one.title, "files": paths})
    if as_json:
        told = [{"what": what, "why": why} for what, why in left_out]
        files = [path for one in figures for path in one["files"]]
        click.echo(json.dumps({"schema": SCHEMA, "files": files, "figures": figures, "left_out": told}))
        return
    for what, why in left_out:
        click.echo(f"left out: {what}: {why}", err=True)


Contents = Iterable[tuple[str, bytes]]
"""Endings of files of one name, and what stands in them."""


def _picture(found: Found, formats: Sequence[str], width: float, command: str) -> Contents:
    with drawn(found, width) as figure:
        yield from [(kind, written(figure, kind, found.name, about(found), command)) for kind in formats]
    yield "csv", csv_table(found.rows)


def _table(world: World, window: float, command: str) -> Contents:
    found = results_table.results(world, window)
    yield "md", results_table.markdown(found).encode()
    yield "tex", results_table.latex(found, world.title, command).encode()
    yield "csv", csv_table(results_table.numbers(found))


def _written(directory: Path, name: str, contents: Contents, silent: bool) -> list[str]:
    """The files, each as soon as it is there."""
    paths = []
    for suffix, content in contents:
        path = directory / f"{name}.{suffix}"
        write_output(path, content)
        if not silent:
            click.echo(str(path))
        paths.append(str(path))
    return paths
