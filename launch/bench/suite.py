"""``scalmarl bench ratios``: the figures that the regression guard keeps, each measured several times in one run.

Ratios of pairs, where there is something to measure against; they travel between machines. The few times and sizes
among them do not: compare those of one machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from scalmarl.launch.bench import baseline, measures
from scalmarl.launch.bench.busy import busy
from scalmarl.launch.bench.live import Say
from scalmarl.launch.bench.machinery import PARTS
from scalmarl.launch.bench.ratios import Figure, document
from scalmarl.launch.bench.recovery import cost_of
from scalmarl.launch.versions import processor, versions

DEFAULT_COPIES, MANY_COPIES = 32, 256
AGENTS, KAPPA = 8, 2
STEPS, WORKERS = 128, 32


def ratios(pairs: int, label: str, say: Say) -> dict[str, Any]:
    """Every figure, of 8 agents with kappa 2; ``label`` says of what commit."""
    figures = []
    for figure in _figures(pairs):
        figures.append(figure)
        say(figure_text(figure))
    about = {"label": label, "versions": versions(), "cores": len(os.sched_getaffinity(0)), "processor": processor()}
    return document(figures, about)


def _figures(pairs: int) -> Iterator[Figure]:
    copies = [DEFAULT_COPIES, MANY_COPIES]
    for row in measures.sampling(AGENTS, KAPPA, copies, pairs)["all"]:
        goal = 0.8 if row["envs"] == MANY_COPIES else None
        yield Figure(f"sampling over raw physics, {row['envs']} copies", "ratio", "higher", tuple(row["ratios"]), goal)
    for row in baseline.price(AGENTS, KAPPA, copies, 5, pairs, _silent)["rows"]:
        name = f"sampling over one process, {row['envs']} copies"
        yield Figure(name, "ratio", "higher", tuple(row["ratios"]), 0.9)
    loop = baseline.loop(AGENTS, KAPPA, DEFAULT_COPIES, STEPS, WORKERS, 1, 4, pairs, _silent)
    for row, goal in zip(loop["rows"], (5.0, 10.0)):
        name = f"whole loop over centralised, {row['physics']} physics"
        yield Figure(name, "ratio", "higher", tuple(row["ratios"]), goal)
    yield Figure("cores at work", "share", "higher", tuple(busy(AGENTS, KAPPA, 10, pairs)["shares"]), 0.9)
    shares = cost_of(tuple(PARTS), AGENTS, KAPPA, 6, pairs)
    yield Figure("round files, digests, encryption", "share", "lower", tuple(shares), 0.05)
    yield Figure("ready", "s", "lower", tuple(measures.startup(AGENTS, KAPPA, pairs)["ready_all_s"]), 3.0)
    yield Figure(
        "killed agent back in step", "s", "lower", tuple(measures.restart(AGENTS, KAPPA, 4 * pairs)["gaps_s"]), 0.3
    )
    sizes = measures.memory(AGENTS, KAPPA)["processes"]
    own = tuple(size for name, size in sizes.items() if name.startswith("agent/"))
    yield Figure("memory of an agent (PSS)", "MB", "lower", own, 60.0)


def _silent(text: str) -> None:
    """A figure is told when it is whole."""


def figure_text(figure: Figure) -> str:
    """A figure in words."""
    goal = ""
    if figure.goal is not None:
        sign = ">=" if figure.better == "higher" else "<="
        goal = f"   goal {sign} {figure.goal:g}: {'reached' if figure.reached else 'missed'}"
    return f"{figure.name:<46} {figure.median:8.3f} {figure.unit:<6} +-{100 * figure.noise:3.0f} %{goal}"
