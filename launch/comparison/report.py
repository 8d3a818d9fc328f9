"""What a comparison says: per run and over seeds, on a terminal, as Markdown, as JSON, and as a picture."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from scalmarl.launch.comparison.grid import SCHEMA, Cell, Grid
from scalmarl.launch.comparison.run import standing
from scalmarl.launch.errors import MachineNotFit, UserProblem
from scalmarl.launch.figures.data import find_figures
from scalmarl.launch.figures.draw import drawn
from scalmarl.launch.figures.results_table import HEADINGS, interval_words, markdown_table, measure_words
from scalmarl.launch.figures.runs import Gathered, read_run
from scalmarl.launch.figures.style import written
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import read_plan
from scalmarl.launch.run_statistics import MEASURES, measure, over_seeds, window_rounds
from scalmarl.launch.versions import hardware
from scalmarl.launch.voice import shell_words
from scalmarl.protocol.files import write_durably
from scalmarl.protocol.task import TaskSpec

PICTURE = "![Return and cost against environment steps: interquartile mean over seeds](report.png)"
PICTURE_IN = 10.0
"""How wide it is, inches."""


def require_scipy(command: str = "compare") -> None:
    """Raise ``MachineNotFit`` before hours are spent on runs that could not be reported."""
    if find_spec("scipy") is None:
        raise MachineNotFit(f"{command} needs scipy for its statistics", "pip install 'scalmarl[plot]'")


class Report:
    """The figures of a grid as it stands."""

    def __init__(self, grid: Grid, window: float) -> None:
        require_scipy()
        self._grid, self._window = grid, window
        self._lines: dict[Cell, list[dict[str, Any]]] = {}
        self._tasks: dict[Cell, TaskSpec] = {}
        self.versions: list[dict[str, Any]] = []
        self.rows = [self._row(cell) for cell in grid.cells()]
        self.groups = self._groups()

    def _row(self, cell: Cell) -> dict[str, Any]:
        run = self._grid.run(cell)
        row: dict[str, Any] = {
            "cell": cell.name, "algorithm": cell.algorithm, "kappa": cell.sight, "seed": cell.seed,
            "state": "not started", "rounds": 0, "limits": None, "reward": None, "cost_mode": None,
        }  # fmt: skip
        try:
            how, row["rounds"] = standing(self._grid, cell)
            if how == "new":
                return row | dict.fromkeys(MEASURES)
            row["state"] = {"begun": "unfinished", "live": "running"}.get(how, how)
            task, versions = read_plan(run).task, run.read_state().get("versions")
            self._lines[cell], self._tasks[cell] = read_lines(run.metrics), task
            limits = [list(own) for own in task.cost_limits]
            row |= {"reward": task.reward_mode, "cost_mode": task.cost_mode, "limits": limits}
            if versions and versions not in self.versions:
                self.versions.append(versions)
        except UserProblem as problem:
            return row | {"state": f"unreadable: {problem.what}"} | dict.fromkeys(MEASURES)
        if how != "finished":
            return row | dict.fromkeys(MEASURES)
        return row | measure(self._lines[cell], self._grid.rounds, self._window)

    def _groups(self) -> list[dict[str, Any]]:
        """One per algorithm and kappa; only finished runs count."""
        groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in self.rows:
            groups.setdefault((row["algorithm"], row["kappa"]), []).append(row)
        found = []
        for (algorithm, kappa), rows in groups.items():
            finished = [row for row in rows if row["state"] == "finished"]
            found.append(
                {
                    "algorithm": algorithm, "kappa": kappa, "seeds": [row["seed"] for row in finished],
                    "asked": len(rows), "reward": finished[0]["reward"] if finished else None,
                    "measures": {name: over_seeds([row[name] for row in finished]) for name in MEASURES},
                }
            )  # fmt: skip
        return found

    # ---- what is common to all ----

    def limits(self) -> list[float]:
        """Every limit that an agent has, ascending."""
        return sorted({limit for task in self._tasks.values() for own in task.cost_limits for limit in own})

    def title(self) -> str:
        """Task, limit, steps and window in a line."""
        rounds = self._grid.rounds
        return f"{self._subject()}, last {window_rounds(rounds, self._window)} of {rounds} rounds"

    def _subject(self) -> str:
        task = next(iter(self._tasks.values()), None)
        label = task.label if task else self._grid.settings.world.task
        limits = self.limits()
        limit = " to ".join(f"{x:g}" for x in sorted({limits[0], limits[-1]})) if limits else "-"
        return f"{label}, limit {limit} per episode, {self._grid.env_steps:,} environment steps"

    def finished(self) -> int:
        """How many cells are."""
        return sum(row["state"] == "finished" for row in self.rows)

    def document(self) -> dict[str, Any]:
        """For ``--json`` and ``report.json``."""
        return {
            "schema": SCHEMA, "title": self.title(), "directory": str(self._grid.path),
            "finished": self.finished(), "cells_asked": len(self.rows), "env_steps": self._grid.env_steps,
            "rounds": self._grid.rounds, "window_rounds": window_rounds(self._grid.rounds, self._window),
            "measures": MEASURES, "groups": self.groups, "cells": self.rows, "commands": list(self._grid.commands),
            "versions": self.versions, "hardware": hardware(),
        }  # fmt: skip

    # ---- for people ----

    def table(self) -> Table:
        """One line per algorithm and kappa: interquartile mean, and the interval below it."""
        table = Table(
            title=f"{self.title()}\ninterquartile mean over seeds, [95 % bootstrap interval]", box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )  # fmt: skip
        for name in ("algorithm", "kappa", "seeds", *HEADINGS.values()):
            first = name == "algorithm"
            table.add_column(name, justify="left" if first else "right", overflow="fold", no_wrap=first)
        for group in self.groups:
            figures = ["\n".join(interval_words(name, group["measures"][name])) for name in HEADINGS]
            table.add_row(group["algorithm"], group["kappa"], _seeds(group), *figures)
        return table

    def markdown(self, picture: bool) -> str:
        """``report.md``."""
        heads = ["algorithm", "kappa", "reward", "seeds", *HEADINGS.values()]
        body = [
            [group["algorithm"], group["kappa"], group["reward"] or "-", _seeds(group),
             *(" ".join(interval_words(name, group["measures"][name])) for name in HEADINGS)]
            for group in self.groups
        ]  # fmt: skip
        runs = [
            [
                f"`{row['cell']}`",
                row["state"],
                f"{row['rounds']}",
                *(measure_words(name, row[name]) for name in HEADINGS),
            ]
            for row in self.rows
        ]
        parts = [
            f"# {self.title()}",
            markdown_table(heads, body),
            *([PICTURE] if picture else []),
            self._how(),
            "## The runs\n\n" + markdown_table(["run", "state", "rounds", *HEADINGS.values()], runs),
            self._again(),
        ]
        return "\n\n".join(parts) + "\n"

    def _how(self) -> str:
        meanings = "\n".join(f"- *{head}*: {MEASURES[name]}" for name, head in HEADINGS.items())
        rounds = self._grid.rounds
        return (
            f"## How it is measured\n\n{self.finished()} of {len(self.rows)} runs are finished; only those "
            "count. Every figure but the wall time is taken over the last "
            f"{window_rounds(rounds, self._window)} of {rounds} rounds; figures of episodes are means over the "
            "episodes that ended in them. Over seeds: the interquartile mean (of fewer than four seeds that is the "
            "mean), and in brackets the 95 % percentile bootstrap interval, from three seeds on. With three seeds it "
            f"lies between the least and the largest of three numbers: read it as a range.\n\n{meanings}"
        )

    def _again(self) -> str:
        cells = {row["cell"]: row for row in self.rows}
        one = next(cell for cell in self._grid.cells() if cell.name in cells)
        commands = "\n".join(self._grid.commands) or shell_words("scalmarl", "compare", self._grid.path)
        versions = "; ".join(
            ", ".join(f"{name} {value}" for name, value in some.items()) for some in self.versions
        ) or "-"  # fmt: skip
        mixed = " **The runs were made with different versions.**" if len(self.versions) > 1 else ""
        return (
            f"## To make it again\n\n```bash\n{commands}\n```\n\nEach run is a launch of its own, for example:\n\n"
            f"```bash\n{shell_words('scalmarl', *self._grid.launch_words(one))}\n```\n\n"
            f"Seeds {', '.join(map(str, self._grid.seeds))}. Versions: {versions}.{mixed} Hardware of this report: "
            f"{hardware()}."
        )

    def write(self) -> list[str]:
        """``report.md``, ``report.json`` and ``report.png``; returns what to say about it. Raises ``OSError``."""
        path = self._grid.path
        able = find_spec("matplotlib") is not None
        picture = self._picture() if able else None
        made = picture is not None
        if picture is not None:
            write_durably(path / "report.png", picture)
        write_durably(path / "report.md", self.markdown(made).encode())
        write_durably(path / "report.json", json.dumps(self.document(), indent=1).encode())
        names = ["report.md", "report.json", *(["report.png"] if made else [])]
        said = [f"written: {', '.join(str(path / name) for name in names)}"]
        if self.finished() and not able:
            said.append("no picture: matplotlib is not installed; pip install 'scalmarl[plot]'")
        return said

    def _picture(self) -> bytes | None:
        """The learning curves of the finished runs; ``None`` where no episode has ended in them."""
        finished = {row["cell"] for row in self.rows if row["state"] == "finished"}
        runs = [read_run(self._grid.run(cell).path) for cell in self._grid.cells() if cell.name in finished]
        found, _ = find_figures(Gathered(runs).worlds(), self._window, ("curves",))
        for one in found:
            with drawn(one, PICTURE_IN) as figure:
                command = shell_words("scalmarl", "compare", self._grid.path, "--report-only")
                return written(figure, "png", self.title(), self._subject(), command)
        return None


def _seeds(group: dict[str, Any]) -> str:
    done = len(group["seeds"])
    return str(done) if done == group["asked"] else f"{done} of {group['asked']}"
