"""The runs that figures and reports are made of: read from their directories, and sorted into worlds and groups.

A *group* is runs that differ in nothing but their seed. A *world* is groups whose returns and costs can stand in one
picture: the same task with the same agents and horizon.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.launch.comparison.grid import Grid, flat, grid_file, kappa_words, read_grid
from scalmarl.launch.comparison.run import standing
from scalmarl.launch.config import Config, decides_bits
from scalmarl.launch.errors import NoSuchRun, UsageProblem, UserProblem
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import RunDirectory, find, read_plan
from scalmarl.launch.starting import task_slug
from scalmarl.protocol.plan import Plan

NEEDED = (
    "round", "env_steps", "episodes", "return_team", "cost_agent", "cost_limit", "distance", "bytes_agent", "wall_s"
)  # fmt: skip
"""What every line of metrics must have; a figure that needs more is left out where that is missing."""
_NOT_A_SETTING = {
    "run.algo", "run.kappa", "run.kappa_unit", "run.seed", "run.rounds", "run.agents", "world.task",
    "world.horizon", "world.threads", "world.python", "world.directory",
}  # fmt: skip
"""What the label says otherwise, or what changes neither bits nor time much."""
_OF_PROCESSES = ("processes.links", "processes.transport")
"""Of how processes are run, what changes the time."""


@dataclass(frozen=True)
class Run:
    """One run as it was read: ``settings`` (``section.key`` -> value) with today's defaults where its configuration
    has none, ``lines`` of metrics, and ``deaths`` (the round of each)."""

    path: Path
    plan: Plan
    config: str
    settings: dict[str, Any]
    state: dict[str, Any]
    lines: list[dict[str, Any]]
    deaths: list[int]

    @property
    def algorithm(self) -> str:
        """Its name."""
        return str(self.settings["run.algo"])

    @property
    def sight(self) -> str:
        """kappa as a table has it: a number, or ``all`` where everybody is heard."""
        known = ALGORITHMS.get(self.algorithm)
        return str(self.plan.kappa) if known is None or known.hears == "kappa" else kappa_words(self.algorithm)

    @property
    def identity(self) -> str:
        """What two runs have in common of which one repeats the other: all that decides the bits, where a key did not
        exist yet its default, and who was absent for how long; and what a reader may want to compare times by."""
        told = [self.settings.get(name) for name in ("run.schedule", *_OF_PROCESSES)]
        away = sorted((absent, rounds) for absent, rounds in self.absences().items() if absent)
        decided = sorted((name, value) for name, value in self.settings.items() if decides_bits(name))
        return repr((decided, away, told))

    @property
    def rounds(self) -> int:
        """How many it has committed."""
        return int(self.lines[-1]["round"]) + 1

    def absences(self) -> Counter[tuple[int, ...]]:
        """The absent agents -> in how many rounds it was these."""
        return Counter(tuple(line.get("absent", ())) for line in self.lines)


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed, cut to the rounds that all of them have; ``other``: what else than
    algorithm and kappa sets the group apart (``learner.clip`` -> value)."""

    algorithm: str
    sight: str
    other: dict[str, Any]
    runs: list[Run]

    @property
    def family(self) -> str:
        """The label without kappa."""
        return ", ".join((self.algorithm, *(f"{name.partition('.')[2]} {_short(x)}" for name, x in self.other.items())))

    @property
    def label(self) -> str:
        """``scal-mappo-l, kappa 2, clip 0.1``."""
        return ", ".join((self.algorithm, f"kappa {self.sight}", *self.family.split(", ")[1:]))

    @property
    def rounds(self) -> int:
        """The rounds that every run of the group has."""
        return min(run.rounds for run in self.runs)

    @property
    def plan(self) -> Plan:
        """The plan of the first seed; the others' differ in nothing that a figure shows."""
        return self.runs[0].plan

    def lines(self, run: Run) -> list[dict[str, Any]]:
        """A run's lines of the common rounds."""
        return [line for line in run.lines if line["round"] < self.rounds]


@dataclass(frozen=True)
class World:
    """Groups whose returns and costs can be compared; ``slug`` names it in a file."""

    slug: str
    title: str
    groups: list[Group]

    def limits(self) -> list[float]:
        """Every limit that an agent has, ascending."""
        tasks = [group.plan.task for group in self.groups]
        return sorted({limit for task in tasks for own in task.cost_limits for limit in own})


@dataclass
class Gathered:
    """What the directories hold: the runs, their comparisons, and what was left out of these with the reason."""

    runs: list[Run] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def worlds(self) -> list[World]:
        """Worlds in the order of their first run."""
        sorts: dict[tuple[Any, ...], list[Run]] = {}
        for run in self.runs:
            task = run.plan.task
            world = (task_slug(task), task.agents, task.horizon, run.settings["world.physics"])
            sorts.setdefault(world, []).append(run)
        taken: Counter[str] = Counter()
        worlds = []
        for (slug, *_), runs in sorts.items():
            taken[slug] += 1
            named = slug if taken[slug] == 1 else f"{slug}-{taken[slug]}"
            worlds.append(World(named, _title(runs[0].plan), _groups(runs)))
        return worlds


def gather(paths: Sequence[Path]) -> Gathered:
    """The runs of run directories and of ``compare`` directories, each once; without any, the live or the latest run.

    Of a comparison only finished cells count; of runs with the same configuration and seed only the longest: a
    repetition is no further seed. Raises ``UserProblem`` where a named directory is neither, or its run
    cannot be shown.
    """
    found = Gathered()
    seen: set[Path] = set()
    for path in paths or [find(None).path]:
        if grid_file(path).exists():
            _gather_grid(path, found, seen)
        elif path.resolve() not in seen:
            seen.add(path.resolve())
            found.runs.append(read_run(path))
    _leave_out_repetitions(found)
    if not found.runs:
        named = ", ".join(str(grid.path) for grid in found.grids)
        raise UsageProblem(
            f"no run of {named} is finished ({len(found.left_out)} are not)",
            f"go on with it: scalmarl compare {named}; or name unfinished runs: {named}/cells/*/",
        )
    return found


def _leave_out_repetitions(found: Gathered) -> None:
    longest: dict[str, Run] = {}
    for run in sorted(found.runs, key=lambda run: -run.rounds):
        same = longest.setdefault(run.identity, run)
        if same is not run:
            why = f"it is a repetition of {same.path}: the same configuration and seed"
            found.left_out.append((str(run.path), why))
    found.runs = [run for run in found.runs if longest[run.identity] is run]


def _gather_grid(path: Path, found: Gathered, seen: set[Path]) -> None:
    grid = read_grid(path)
    assert grid is not None
    found.grids.append(grid)
    for cell in grid.cells():
        run = grid.run(cell)
        if run.path.resolve() in seen:
            continue
        seen.add(run.path.resolve())
        try:
            how, committed = standing(grid, cell)
            if how == "finished":
                found.runs.append(read_run(run.path))
            elif how == "new":
                found.left_out.append((str(run.path), "it has not been started"))
            else:
                found.left_out.append((str(run.path), f"it is not finished: {committed} of {grid.rounds} rounds"))
        except UserProblem as problem:
            found.left_out.append((str(run.path), problem.what))


def read_run(path: Path) -> Run:
    """One run. Raises ``UserProblem`` where it is none, has committed nothing, or lacks what every figure needs."""
    directory = RunDirectory(path)
    if not directory.state.exists():
        raise NoSuchRun(
            f"{path} is neither a run directory (it has no run.json) nor a comparison (no compare.json)",
            "name a directory that 'scalmarl launch' or 'scalmarl compare' has made",
        )
    state, plan, lines = directory.read_state(), read_plan(directory), read_lines(directory.metrics)
    if not lines:
        raise UsageProblem(
            f"{path} has no finished round (no line in {directory.metrics.name})",
            f"wait for its first commit (scalmarl ps --run {path}), or leave it out",
        )
    missing = [name for name in NEEDED if any(name not in line for line in lines)]
    if missing:
        version = (state.get("versions") or {}).get("scalmarl", "unknown")
        raise UsageProblem(
            f"{directory.metrics} has no {', '.join(missing)}; another version of scalmarl ({version}) wrote it",
            "leave this run out, make it again, or use that version",
        )
    try:
        text = directory.config.read_text(encoding="utf-8")
        told = {f"{name}.{key}": value for name, part in tomllib.loads(text).items() for key, value in part.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise UsageProblem(f"{directory.config} cannot be read ({error})", "put back a copy") from None
    deaths = [int(event["round"]) for event in read_lines(directory.events) if _is_death(event)]
    return Run(path, plan, text, {**flat(Config()), **told}, state, lines, deaths)


def _is_death(event: dict[str, Any]) -> bool:
    return event.get("event") == "death" and isinstance(event.get("round"), int)


def _groups(runs: list[Run]) -> list[Group]:
    """Groups of one world, by algorithm as they came, then by kappa."""
    varying = {
        algorithm: _varying([run for run in runs if run.algorithm == algorithm])
        for algorithm in dict.fromkeys(run.algorithm for run in runs)
    }
    sorts: dict[str, list[Run]] = {}
    others = {}
    for run in runs:
        other = {name: run.settings.get(name) for name in varying[run.algorithm]}
        key = repr((run.algorithm, run.sight, other))
        sorts.setdefault(key, []).append(run)
        others[key] = other
    groups = [Group(same[0].algorithm, same[0].sight, others[key], same) for key, same in sorts.items()]
    algorithms = list(varying)
    return sorted(groups, key=lambda group: (algorithms.index(group.algorithm), group.plan.kappa))


def _varying(runs: Sequence[Run], not_these: Collection[str] = _NOT_A_SETTING) -> list[str]:
    """The settings in which runs differ, but for some; of how processes are run only what changes the time."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    return [
        name
        for name in names
        if name not in not_these and (not name.startswith("processes.") or name in _OF_PROCESSES)
        and len({repr(run.settings.get(name)) for run in runs}) > 1
    ]  # fmt: skip


def differing(groups: Sequence[Group]) -> list[str]:
    """The settings in which groups differ, the algorithm's own switches included."""
    apart = _NOT_A_SETTING - {"run.algo", "run.kappa", "world.task", "run.agents", "world.horizon"}
    return _varying([group.runs[0] for group in groups], apart)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "/".join(_short(item) for item in value)
    return "default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _title(plan: Plan) -> str:
    return f"{plan.task.label}, {plan.agents} agents"
