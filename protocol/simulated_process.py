"""A process of the seeded simulator: its lives, its round files in memory, and what may befall it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalmarl.protocol.errors import DeterminismLost
from scalmarl.protocol.keys import COORDINATOR, process_name
from scalmarl.protocol.ledger import Ledger
from scalmarl.protocol.runtime import Runtime

if TYPE_CHECKING:
    from scalmarl.protocol.simulator import Simulation


class InvariantBroken(AssertionError):
    """One of the protocol's promises did not hold."""


class Killed(Exception):
    """Raised inside a store's write: the process dies there."""


@dataclass(frozen=True)
class Faults:
    """Rates of one campaign; all zero is an undisturbed run. ``until``: virtual seconds after which faults stop."""

    kills: float = 0.0
    kills_at_write: float = 0.0
    freezes: float = 0.0
    split_brains: float = 0.0
    cuts: float = 0.0
    drop: float = 0.0
    double: float = 0.0
    delay: float = 0.002
    until: float = 3.0


ALL_FAULTS = Faults(
    kills=4.0, kills_at_write=0.05, freezes=1.0, split_brains=0.7, cuts=1.5, drop=0.1, double=0.05, delay=0.02
)


class SimulatedStore:
    """Round files of one process in memory; they outlive its lives. The coordinator's is its commit log."""

    def __init__(self, simulation: Simulation, process: int) -> None:
        self.simulation = simulation
        self.process = process
        self.files: dict[int, bytes] = {}
        self.rows: dict[int, list[list[int]]] = {}
        self.history: dict[int, bytes] = {}

    def rounds(self) -> list[int]:
        """The kept rounds, ascending."""
        return sorted(self.files)

    def read(self, round: int) -> bytes:
        """The content of a file."""
        return self.files[round]

    def write(self, round: int, content: bytes, figures: dict[str, Any]) -> bytes:
        """Keep a file; the process may die just before or just after it is durable."""
        self.simulation.maybe_die_at_write(self.process)
        if self.history.setdefault(round, content) != content:
            raise DeterminismLost(f"{process_name(self.process)} wrote file {round} twice, differently")
        if self.process == COORDINATOR:
            self.simulation.check_commit(round - 1)
            self.files.clear()
        self.files[round] = content
        if round > 0:
            self.rows[round - 1] = self.simulation.nodes[self.process].ledger.seal(round - 1)
        self.simulation.maybe_die_at_write(self.process)
        return hashlib.sha256(content).digest()

    def delete(self, round: int) -> None:
        """Let go of a file; the coordinator's log keeps its last record."""
        if self.process != COORDINATOR:
            del self.files[round]


@dataclass
class Node:
    """One process: its current life and what outlives it."""

    process: int
    store: SimulatedStore
    runtime: Runtime
    ledger: Ledger
    alive: bool = True
    life: int = 0
    frozen_until: float = 0.0
    alarm: bool = False


@dataclass
class Zombie:
    """A frozen life that thaws after its replacement started."""

    runtime: Runtime
    ledger: Ledger
