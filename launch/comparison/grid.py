"""A grid over algorithm, kappa and seed: what was asked, its cells, and whether they can be run.

``compare.json`` in the grid's directory holds what was asked, with every setting written out, so that a grid that is
taken up later, with other defaults perhaps, is still one experiment. Asking again may add to it, never contradict it.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.launch.config import SWITCH_KEYS, Config, decides_bits, resolve, to_toml
from scalmarl.launch.errors import MachineNotFit, UsageProblem, UserProblem
from scalmarl.launch.planning import Planned, make_plan
from scalmarl.launch.run_directory import RunDirectory, hold
from scalmarl.protocol.files import write_durably
from scalmarl.sim_server.tasks import is_foreign

SCHEMA = 1
DEFAULT_SEEDS = (0, 1, 2)
OF_A_CELL = ("run.algo", "run.kappa", "run.seed", "run.rounds")
"""What the grid decides for each cell."""
_OF_A_WORLD = ("world.python", "world.directory")
"""They decide no bit by themselves, but what code the world of a grid is."""


@dataclass(frozen=True)
class Cell:
    """One run of the grid; ``kappa`` is ``None`` for an algorithm that does not use it."""

    algorithm: str
    kappa: int | None
    seed: int

    @property
    def name(self) -> str:
        """``scal-mappo-l-k2-s0``, or ``mappo-l-s0``."""
        return f"{self.algorithm}{'' if self.kappa is None else f'-k{self.kappa}'}-s{self.seed}"

    @property
    def sight(self) -> str:
        """kappa in a table: a number, or ``all`` where everybody is heard."""
        return kappa_words(self.algorithm) if self.kappa is None else str(self.kappa)


def kappa_words(algorithm: str) -> str:
    """What stands for kappa where an algorithm hears all, or nobody."""
    return "all" if ALGORITHMS[algorithm].hears == "all" else "0"


@dataclass(frozen=True)
class Asked:
    """What one call asks for; what is ``None`` or empty it leaves to the stored grid."""

    algorithms: tuple[str, ...] = ()
    kappas: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    env_steps: int | None = None
    file: Path | None = None
    assignments: tuple[str, ...] = ()
    flags: Mapping[str, Any] | None = None

    def named(self) -> dict[str, Any]:
        """``section.key`` -> value of everything that the call names. Raises ``UsageProblem``.

        A file may be another run's ``config.toml``: what the grid or the algorithm decides is left out of it.
        """
        config, origins = resolve(self.file, self.assignments, dict(self.flags or {}))
        values = flat(config)
        found = {}
        for name, origin in origins.items():
            if name in OF_A_CELL and origin == "--set":
                raise UsageProblem(f"--set {name}: the grid decides it", "use --algo, --kappa, --seeds or --env-steps")
            if name in OF_A_CELL or (name in SWITCH_KEYS and origin == str(self.file)):
                continue
            found[name] = values[name]
        graph = found.get("run.graph")
        if graph and Path(graph).is_file():
            found["run.graph"] = str(Path(graph).resolve())
        if is_foreign(str(found.get("world.task") or "")):
            found.setdefault("world.directory", str(Path.cwd()))
        return found


@dataclass(frozen=True)
class Grid:
    """A grid and its directory."""

    path: Path
    algorithms: tuple[str, ...]
    kappas: tuple[int, ...]
    seeds: tuple[int, ...]
    env_steps: int
    settings: Config
    commands: tuple[str, ...] = ()

    def cells(self) -> list[Cell]:
        """Every cell once: an algorithm that does not use kappa has one per seed."""
        return [
            Cell(algorithm, kappa, seed)
            for algorithm in self.algorithms
            for kappa in (self.kappas if ALGORITHMS[algorithm].hears == "kappa" else (None,))
            for seed in self.seeds
        ]

    @property
    def rounds(self) -> int:
        """The rounds of every cell."""
        return math.ceil(self.env_steps / (self.settings.world.envs * self.settings.world.steps))

    @property
    def settings_file(self) -> Path:
        """The configuration that all cells are launched with."""
        return self.path / "settings.toml"

    def run(self, cell: Cell) -> RunDirectory:
        """The run directory of a cell."""
        return RunDirectory(self.path / "cells" / cell.name)

    def log(self, cell: Cell) -> Path:
        """What the launcher of a cell said."""
        return self.path / "cells" / f"{cell.name}.log"

    def launch_words(self, cell: Cell) -> list[str]:
        """The arguments of ``scalmarl`` that start a cell."""
        kappa = [] if cell.kappa is None else ["--kappa", str(cell.kappa)]
        return [
            "launch", "--config", str(self.settings_file), "--algo", cell.algorithm, *kappa,
            "--seed", str(cell.seed), "--rounds", str(self.rounds), "--run", str(self.run(cell).path),
        ]  # fmt: skip

    def planned(self, cell: Cell) -> Planned:
        """The plan of a cell. Raises ``UserProblem``, which names the cell."""
        flags: dict[str, Any] = {
            **flat(self.settings), "run.algo": cell.algorithm, "run.seed": cell.seed, "run.rounds": self.rounds
        }  # fmt: skip
        if cell.kappa is not None:
            flags["run.kappa"] = cell.kappa
        try:
            return make_plan(*resolve(None, (), flags))
        except UserProblem as problem:
            raise type(problem)(f"cell {cell.name}: {problem.what}", problem.hint) from None

    def check(self) -> None:
        """Plan every cell, and compare those that exist with their plans. Raises ``UserProblem``."""
        for cell in self.cells():
            planned, path = self.planned(cell), self.run(cell).config
            if path.exists():
                changed = _differences(planned.config, path)
                if changed:
                    raise UsageProblem(
                        f"cell {cell.name} was run with other settings ({', '.join(changed)})",
                        f"move {path.parent} away to run it anew, or give another directory",
                    )

    def write(self) -> None:
        """Store the grid and the configuration of its cells. Raises ``OSError``."""
        data = {
            "schema": SCHEMA, "algorithms": self.algorithms, "kappas": self.kappas, "seeds": self.seeds,
            "env_steps": self.env_steps, "settings": self.settings.model_dump(), "commands": self.commands,
        }  # fmt: skip
        (self.path / "cells").mkdir(parents=True, exist_ok=True)
        write_durably(self.settings_file, to_toml(self.settings).encode())
        write_durably(grid_file(self.path), json.dumps(data, indent=1).encode())


def flat(config: Config) -> dict[str, Any]:
    """``section.key`` -> value of a whole configuration."""
    return {f"{section}.{key}": value for section, part in config.model_dump().items() for key, value in part.items()}


def _differences(config: Config, path: Path) -> list[str]:
    """What of a stored configuration is otherwise; keys that only one of both knows are of another version."""
    try:
        stored = tomllib.loads(path.read_text(encoding="utf-8"))
        before = {f"{section}.{key}": value for section, part in stored.items() for key, value in part.items()}
    except (OSError, ValueError, AttributeError):
        raise UsageProblem(f"{path} cannot be read", f"put back a copy, or move {path.parent} away") from None
    now = json.loads(json.dumps(flat(config)))
    return [
        f"{name} {before[name]!r}, not {value!r}"
        for name, value in now.items()
        if name in before and before[name] != value
        and (decides_bits(name) or name in _OF_A_WORLD)
    ]  # fmt: skip


def grid_file(path: Path) -> Path:
    """Where a grid is stored."""
    return path / "compare.json"


def read_grid(path: Path) -> Grid | None:
    """The stored grid of a directory, or ``None``. Raises ``UsageProblem`` where it cannot be used."""
    file = grid_file(path)
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UsageProblem(f"{file} cannot be read ({error})", "mend it or put back a copy") from None
    try:
        if data["schema"] != SCHEMA or unknown(data["algorithms"]):
            raise ValueError(f"schema {data['schema']}, algorithms {data['algorithms']}")
        return Grid(
            path, tuple(data["algorithms"]), tuple(data["kappas"]), tuple(data["seeds"]), int(data["env_steps"]),
            Config.model_validate(data["settings"]), tuple(data["commands"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise UsageProblem(
            f"{file} is damaged, or of another version of scalmarl ({error})",
            "put back a copy, or give another directory",
        ) from None


def unknown(algorithms: Iterable[str]) -> list[str]:
    """Those names that are no algorithms."""
    return [name for name in algorithms if name not in ALGORITHMS]


def build(path: Path, asked: Asked, command: str = "") -> Grid:
    """The stored grid with what is asked added, or a new one. Raises ``UsageProblem``; writes nothing."""
    wrong = unknown(asked.algorithms)
    if wrong:
        raise UsageProblem(f"unknown algorithm {wrong[0]!r} (--algo)", f"choose among {', '.join(ALGORITHMS)}")
    if asked.env_steps is not None and asked.env_steps < 1:
        raise UsageProblem(f"--env-steps {asked.env_steps} is not at least 1", "for example --env-steps 1e6")
    stored, named = read_grid(path), asked.named()
    if stored is None:
        grid = _new(path, asked, named)
    else:
        _check_same(stored, asked, named)
        grid = replace(
            stored,
            algorithms=tuple(dict.fromkeys((*stored.algorithms, *asked.algorithms))),
            kappas=tuple(sorted({*stored.kappas, *asked.kappas})),
            seeds=tuple(sorted({*stored.seeds, *asked.seeds})),
            env_steps=asked.env_steps or stored.env_steps,
        )
    return replace(grid, commands=tuple(dict.fromkeys((*grid.commands, *([command] if command else [])))))


def _new(path: Path, asked: Asked, named: dict[str, Any]) -> Grid:
    missing = [flag for flag, value in (("--algo", asked.algorithms), ("--env-steps", asked.env_steps)) if not value]
    if missing:
        raise UsageProblem(
            f"{path} holds no grid yet, and {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing",
            f"for example: scalmarl compare {path} --algo scal-mappo-l --kappa 1,2 --seeds 0,1,2 --env-steps 1e6",
        )
    settings, _ = resolve(None, (), named)
    return Grid(
        path, tuple(dict.fromkeys(asked.algorithms)), tuple(sorted(set(asked.kappas))) or (settings.run.kappa,),
        tuple(sorted(set(asked.seeds))) or DEFAULT_SEEDS, int(asked.env_steps or 0), settings,
    )  # fmt: skip


def _check_same(stored: Grid, asked: Asked, named: dict[str, Any]) -> None:
    before = flat(stored.settings)
    other = [
        f"{name} is {'the default' if before[name] is None else repr(before[name])} there, {value!r} here"
        for name, value in named.items()
        if before[name] != value
    ]
    if asked.env_steps is not None and asked.env_steps < stored.env_steps:
        other.append(f"--env-steps is {stored.env_steps:,} there, only {asked.env_steps:,} here")
    if other:
        raise UsageProblem(
            f"{grid_file(stored.path)} holds another experiment: {'; '.join(other)}",
            "leave these options out to go on with it, or give another directory",
        )


def take_lock(path: Path) -> int:
    """Make the grid's directory and hold it; returns the lock's descriptor. Raises ``UserProblem``."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = hold(path / "compare.lock")
    except OSError as error:
        raise MachineNotFit(
            f"the directory {path} cannot be used ({error.strerror})", "choose one on a disk that you can write to"
        ) from None
    if descriptor is None:
        raise UsageProblem(
            f"another compare is at work in {path}",
            f"see how far it is with 'scalmarl compare {path} --report-only', end it with Ctrl-C, or wait for it",
        )
    return descriptor
