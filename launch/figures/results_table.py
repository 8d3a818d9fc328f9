"""The results of groups as a table: its cells, and as Markdown, LaTeX and CSV for a paper."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scalmarl.launch.comparison.run import duration_words
from scalmarl.launch.figures.runs import Group, World
from scalmarl.launch.figures.scope import Rows, finals
from scalmarl.launch.run_statistics import MEASURES, over_seeds
from scalmarl.launch.summary import bytes_text

NAME = "results"
WORDS = "Results over the final rounds: interquartile mean, interval, mean and median over seeds"
HEADINGS = {
    "return": "return", "cost": "cost", "largest_cost": "largest cost", "violation_rate": "violations %",
    "distance": "distance m", "bytes_agent_round": "bytes/agent", "wall_s": "wall time",
}  # fmt: skip
"""The measures that people are shown; files of numbers hold all ``MEASURES``."""
WITHOUT_INTERVAL = ("bytes_agent_round", "wall_s")
"""Files of numbers have theirs as well."""
ON_PAPER = ("return", "cost", "largest_cost", "violation_rate", "bytes_agent_round")
"""What a page is wide enough for, and what another machine measures too."""
_LATEX = {letter: rf"\{letter}" for letter in "&%_#${}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One group's line: ``measures`` has ``over_seeds`` of each of ``MEASURES``."""

    group: Group
    measures: dict[str, dict[str, Any]]


def results(world: World, window: float) -> list[Result]:
    """Of every group of a world, over its final rounds."""
    each = [(group, finals(group, window)) for group in world.groups]
    return [Result(group, {name: over_seeds([one[name] for one in runs]) for name in MEASURES}) for group, runs in each]


def interval_words(name: str, found: dict[str, Any], without: tuple[str, ...] = ("[-]",)) -> tuple[str, ...]:
    """The interquartile mean of a measure, and its interval where people are shown one, or what stands where too few
    seeds give none."""
    if found["iqm"] is None:
        return ("-",)
    middle = measure_words(name, found["iqm"])
    if name in WITHOUT_INTERVAL:
        return (middle,)
    if found["low"] is None:
        return (middle, *without)
    return middle, f"[{measure_words(name, found['low'])}, {measure_words(name, found['high'])}]"


def measure_words(name: str, value: float | None) -> str:
    """A figure of ``MEASURES`` as a table has it; the share of violations in per cent."""
    if value is None:
        return "-"
    if name == "violation_rate":
        return f"{100 * value:.1f}"
    if name.startswith("bytes"):
        return bytes_text(value)
    if name == "wall_s":
        return duration_words(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def numbers(found: Sequence[Result]) -> Rows:
    """One row per group and measure, every digit."""
    return [
        {
            "label": one.group.label, "algorithm": one.group.algorithm, "kappa": one.group.sight,
            "seeds": len(one.group.runs), "measure": name,
            **{statistic: over[statistic] for statistic in ("iqm", "low", "high", "mean", "median")},
        }
        for one in found
        for name, over in one.measures.items()
    ]  # fmt: skip


def markdown(found: Sequence[Result]) -> str:
    """A line per group."""
    heads = ["algorithm", "kappa", "seeds", *HEADINGS.values()]
    return markdown_table(
        heads,
        [[*_names(one), *(" ".join(interval_words(name, one.measures[name])) for name in HEADINGS)] for one in found],
    )


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Heads and rows of a table."""
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def latex(found: Sequence[Result], about: str, command: str) -> str:
    """A ``tabular`` for the package booktabs, a line per group; what it shows and the command as comments."""
    rows = [
        [*map(_escaped, _names(one)), *(_latex_cell(interval_words(name, one.measures[name], ())) for name in ON_PAPER)]
        for one in found
    ]
    heads = ["algorithm", r"$\kappa$", "seeds", *(_escaped(HEADINGS[name]) for name in ON_PAPER)]
    return "\n".join(
        [
            f"% {about}",
            "% Interquartile mean over seeds, in brackets the 95 % percentile bootstrap interval. Needs booktabs.",
            f"% {' '.join(command.split())}",
            rf"\begin{{tabular}}{{ll{'r' * (len(heads) - 2)}}}",
            r"\toprule",
            rf"{' & '.join(heads)} \\",
            r"\midrule",
            *(rf"{' & '.join(row)} \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _names(one: Result) -> list[str]:
    return [one.group.family, one.group.sight, str(len(one.group.runs))]


def _latex_cell(words: tuple[str, ...]) -> str:
    middle, *interval = (re.sub(r"-(?=\d)", "$-$", _escaped(text)) for text in words)
    return rf"{middle} {{\footnotesize {interval[0]}}}" if interval else middle


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
