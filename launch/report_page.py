"""A report of runs as one HTML file: tables, figures, configuration, versions and commands; nothing is fetched."""

from __future__ import annotations

import tomllib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scalmarl import __version__
from scalmarl.launch.figures.data import Found, find_figures
from scalmarl.launch.figures.draw import about, drawn
from scalmarl.launch.figures.results_table import HEADINGS, interval_words, results
from scalmarl.launch.figures.runs import Gathered, Group, Run, World, differing
from scalmarl.launch.figures.style import seeds_words, written
from scalmarl.launch.run_statistics import agent_costs, final_window, over_seeds, window_rounds
from scalmarl.launch.summary import bytes_text, each_cost
from scalmarl.launch.traffic import predicted_bytes
from scalmarl.launch.versions import hardware
from scalmarl.launch.voice import shell_words

TEMPLATE = Path(__file__).with_name("report_page.html")
FIGURE_IN = 8.0
MORE = {
    "curves": "Interquartile mean over seeds; the band is the 95 % percentile bootstrap interval, from three seeds on. "
    "Crosses on the lower edge mark deaths of processes.",
    "tradeoff": "Small marks are runs, large ones the interquartile mean over seeds.",
    "improvement": "Ties count as a half; seeds of both sides are resampled for the interval.",
    "profiles": "The band is the 95 % percentile bootstrap interval.",
    "kappa": "Horizontal lines are algorithms that hear nobody (independent) or everybody (full state).",
    "bytes-kappa": "Mean over agents; first sendings, as ZeroMQ writes them.",
    "bytes-agents": "Flat where kappa is fixed; all-to-all grows with the agents.",
    "wall-time": "Means over the middle half of the rounds by wall time, and over agents. Where processes outnumber "
    "cores, work includes the wait for a core.",
}


@dataclass(frozen=True)
class Cell:
    """A number in words with its interval; ``over``: it is above its limit."""

    text: str
    interval: str = ""
    over: bool = False


@dataclass(frozen=True)
class Grid:
    """A table; the first ``texts`` columns hold words, the others numbers."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    texts: int = 1
    caption: str = ""


def page(gathered: Gathered, window: float, command: str) -> str:
    """The whole file. ``command``: the line that makes it."""
    from jinja2 import Environment, StrictUndefined

    worlds = gathered.worlds()
    found, lacking = find_figures(worlds, window)
    left_out = [*gathered.left_out, *lacking.items()]
    groups = [group for world in worlds for group in world.groups]
    contents = {
        "results": "Results", "figures": "Figures", "agents": "Agents", "configuration": "Configuration",
        "runs": "Runs", "again": "To make it again",
    }  # fmt: skip
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return template.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=f"scalmarl: {', '.join(dict.fromkeys(world.title for world in worlds))}",
        summary=_summary(gathered, groups), contents=contents.items(), how=_how(groups, window),
        worlds=[_world(world, window) for world in worlds], figures=[_figure(one, command) for one in found],
        left_out=left_out, agents=[_agents(world, group, window) for world in worlds for group in world.groups],
        runs=_runs(gathered.runs), commands=_commands(gathered), versions=_versions(gathered.runs), command=command,
        software=f"scalmarl {__version__}", hardware=hardware(),
    )  # fmt: skip


def _summary(gathered: Gathered, groups: Sequence[Group]) -> str:
    runs = gathered.runs
    deaths = sum(len(run.deaths) for run in runs)
    steps = sum(run.lines[-1]["env_steps"] for run in runs)
    numbers = ((len(runs), "run"), (len(groups), "group"))
    counts = [f"{count} {name}{'' if count == 1 else 's'}" for count, name in numbers]
    return (
        f"{' in '.join(counts)}; runs of a group differ in their seed alone. {steps:,} environment steps together; "
        f"{deaths} process{'' if deaths == 1 else 'es'} died on the way."
    )


def _how(groups: Sequence[Group], window: float) -> str:
    spans = {(window_rounds(group.rounds, window), group.rounds) for group in groups}
    words = " or ".join(f"{last} of {rounds}" for last, rounds in sorted(spans))
    seeds = sorted(len(group.runs) for group in groups)
    return (
        f"Over the last {words} rounds and the episodes that ended in them; the wall time is of all rounds. "
        f"Interquartile mean over {seeds_words((seeds[0], seeds[-1]))}, in brackets the 95 % percentile bootstrap "
        "interval, from three seeds on. Violations: share of (agent, round) pairs whose mean episode cost is above the "
        "limit. Bytes: wire bytes that an agent sends in a round."
    )


def _interval(name: str, found: dict[str, Any]) -> Cell:
    middle, *interval = interval_words(name, found, ())
    return Cell(middle, "".join(interval))


def _world(world: World, window: float) -> dict[str, Any]:
    rows: list[list[str | Cell]] = []
    for one in results(world, window):
        cells = [_interval(name, one.measures[name]) for name in HEADINGS]
        rows.append([one.group.family, one.group.sight, str(len(one.group.runs)), *cells])
    names = differing(world.groups)
    different = [[group.label, *(_value(group.runs[0].settings.get(name)) for name in names)] for group in world.groups]
    limits = " to ".join(f"{limit:g}" for limit in dict.fromkeys((world.limits()[0], world.limits()[-1])))
    example = world.groups[0].runs[0]
    return {
        "title": f"{world.title}, limit {limits} per episode",
        "results": Grid(["algorithm", "kappa", "seeds", *HEADINGS.values()], rows),
        "differences": Grid(["", *names], different if names else [], 1 + len(names), "What differs"),
        "example": str(example.path), "config": _plain_config(example.config),
    }  # fmt: skip


def _value(value: Any) -> str:
    return "default" if value is None else str(value)


def _plain_config(text: str) -> str:
    """A configuration without comments: what the run really used."""
    sections = tomllib.loads(text)
    kept = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return "\n".join(f"\n{line}" if line.strip("[]") in sections else line for line in kept).strip()


def _figure(found: Found, command: str) -> dict[str, str]:
    words = about(found)
    with drawn(found, FIGURE_IN) as figure:
        content = written(figure, "svg", found.name, words, command)
    source = f"data:image/svg+xml;base64,{b64encode(content).decode()}"
    return {"name": found.name, "about": words, "more": MORE.get(found.sort.name, ""), "source": source}


def _agents(world: World, group: Group, window: float) -> Grid:
    plan = group.plan
    windows = [final_window(group.lines(run), group.rounds, window) for run in group.runs]
    costs = [agent_costs(lines) for lines in windows]
    names = plan.task.cost_names
    rows: list[list[str | Cell]] = []
    for agent, limits in enumerate(plan.task.cost_limits):
        for at, limit in enumerate(limits):
            cell = _interval("cost", over_seeds([own[agent][at] if own else None for own in costs]))
            iqm = over_seeds([own[agent][at] if own else None for own in costs])["iqm"]
            over = iqm is not None and iqm > limit
            name = f"{agent}" if len(limits) == 1 else f"{agent}, {names[agent][at]}"
            sent = float(np.mean([line["bytes_agent"][agent] for run in group.runs for line in group.lines(run)]))
            rows.append(
                [
                    name, ", ".join(map(str, plan.neighbours[agent])) or "nobody",
                    Cell(f"{'> ' if over else ''}{cell.text}", cell.interval, over), f"{limit:g}",
                    _multiplier(group, agent, at), bytes_text(sent),
                    bytes_text(predicted_bytes(plan, agent, group.runs[0].absences())),
                ]
            )  # fmt: skip
    heads = ["agent", "hears", "cost", "limit", "multiplier", "sent", "formula"]
    return Grid(heads, rows, 2, f"{world.title}: {group.label}")


def _multiplier(group: Group, agent: int, cost: int) -> str:
    """Of the last round, interquartile mean over seeds."""
    values: list[float | None] = []
    for run in group.runs:
        own = each_cost(group.lines(run)[-1].get("lambda_agent", {agent: None})[agent])
        values.append(own[cost] if own else None)
    iqm = over_seeds(values)["iqm"]
    return "-" if iqm is None else f"{iqm:.2f}"


def _runs(runs: Sequence[Run]) -> Grid:
    rows = [
        [
            str(run.path), run.algorithm, run.sight, str(run.plan.seed), str(run.state["state"]), f"{run.rounds:,}",
            f"{run.lines[-1]['env_steps']:,}", str(len(run.deaths)), run.plan.config_hash[:12],
        ]
        for run in runs
    ]  # fmt: skip
    heads = [
        "directory",
        "algorithm",
        "kappa",
        "seed",
        "state",
        "rounds",
        "environment steps",
        "deaths",
        "configuration",
    ]
    return Grid(heads, rows, 2)


def _commands(gathered: Gathered) -> list[str]:
    """What made the comparisons, and what makes each other run again."""
    lines = [command for grid in gathered.grids for command in grid.commands]
    cells = {grid.run(cell).path.resolve() for grid in gathered.grids for cell in grid.cells()}
    for run in gathered.runs:
        if run.path.resolve() not in cells:
            # The configuration of a run that 'resume --rounds' has extended keeps the first number of rounds.
            more = () if run.settings["run.rounds"] == run.plan.rounds else ("--rounds", run.plan.rounds)
            again = f"runs/again-{run.path.name}"
            lines.append(shell_words("scalmarl", "launch", "--config", run.path / "config.toml", *more, "--run", again))
    return lines


def _versions(runs: Sequence[Run]) -> Grid:
    """One row per set of versions, commit and hardware that runs were made with."""
    sorts: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for run in runs:
        told = dict(run.state.get("versions") or {})
        for name in ("commit", "hardware"):
            told[name] = str(run.state.get(name) or "not recorded")
        sorts.setdefault(tuple(told.items()), []).append(run.path.name)
    names = list(dict.fromkeys(name for told in sorts for name, _ in told))
    rows = [[", ".join(own), *(dict(told).get(name, "-") for name in names)] for told, own in sorts.items()]
    return Grid(["runs", *names], rows, 1 + len(names), "What the runs were made with")
