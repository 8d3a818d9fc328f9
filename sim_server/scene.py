"""A scene: one MuJoCo model, and what of its state is reward, cost and observation. ``world`` steps copies of it.

Everything is computed for all copies of a group at once, elementwise or by sums along the last axis, so that the bits
of a copy depend neither on its group nor on which other copies are reset.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.velocity_cost import VELOCITY, threshold_of

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]
Floats = NDArray[np.float32]


class Outcome(NamedTuple):
    """What a control step was worth to a group of E/G copies."""

    rewards: Array
    """``[E/G, A]``: every agent's own share; they sum to the team reward."""
    costs: Array
    """``[E/G, A]``, or ``[E/G, 1]`` where everybody has the same."""
    fallen: Bools | None
    """``[E/G]``: the episode ends by itself; ``None`` where it never does."""
    moved: Array
    """``[E/G]``: metres travelled."""


class Scene(ABC):
    """The model and its meaning; ``features`` names the columns that ``observe`` fills.

    ``substeps`` physics steps are one control step. ``persistent`` keeps an MjData per copy, for what a batch does not
    compute. Methods take a group's copies as a slice of all E.
    """

    model: mujoco.MjModel
    substeps: int
    features: tuple[str, ...]
    persistent = False

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec
        self.limits_speed = spec.cost_mode == VELOCITY
        self._fastest = threshold_of(spec.name, spec.partition) if self.limits_speed else np.inf

    def bind(self, batch: Batch) -> None:
        """Attach to the batch that steps the copies."""
        self._batch = batch
        self._qpos, self._qvel, self._ctrl = (batch.bind(name) for name in ("qpos", "qvel", "ctrl"))

    @abstractmethod
    def start(self, copy: int, draw: np.random.Generator) -> None:
        """Put one copy, which has just been reset to the model's defaults, at a drawn start."""

    def drive(self, copies: slice, elapsed: Array) -> None:
        """Set the controls of the next step that are nobody's action; ``elapsed`` ``[E/G]``: control steps since the
        start. They are part of the state."""
        return

    @abstractmethod
    def marks(self, copies: slice) -> Array:
        """``[E/G, M]``: where everything stands that is paid for moving (m)."""

    @abstractmethod
    def refresh(self, copies: slice) -> None:
        """Compute from the current state what ``score`` and ``observe`` both need."""

    @abstractmethod
    def score(self, copies: slice, efforts: Array, moved: Array) -> Outcome:
        """``efforts`` ``[E/G, A]``: squared length of each agent's action as it was sent; ``moved`` ``[E/G, M]``: by
        how much each mark moved in this control step."""

    def speed(self, moved: Array) -> Array:
        """``[E/G, A]``, or ``[E/G, 1]`` where everybody has the same: what the velocity cost is about (m/s), from how
        far the marks moved. Here: of a robot that moves along x alone, in either direction."""
        speed: Array = np.abs(moved) / self.spec.control_dt
        return speed

    def too_fast(self, moved: Array) -> Bools:
        """Of whom the speed is above the task's threshold."""
        fast: Bools = self.speed(moved) > self._fastest
        return fast

    @abstractmethod
    def observe(self, copies: slice, out: Floats) -> None:
        """Fill ``[E/G, len(features)]``."""


class Owned:
    """Columns that belong to agents, gathered agent by agent and reduced for each: ``columns[i]`` are agent i's."""

    def __init__(self, columns: Sequence[Sequence[int]]) -> None:
        sizes = [len(own) for own in columns]
        self.columns: Ints = np.array([column for own in columns for column in own], dtype=np.intp)
        self._starts: Ints = np.cumsum([0, *sizes[:-1]]).astype(np.intp)
        self._in_order = bool((self.columns == np.arange(len(self.columns))).all())

    def sum(self, values: Array) -> Array:
        """``[E/G, A]`` sums of ``[E/G, columns]``."""
        owned = values if self._in_order else np.take(values, self.columns, axis=1)
        sums: Array = np.add.reduceat(owned, self._starts, axis=1)
        return sums

    def any(self, values: Bools) -> Bools:
        """``[E/G, A]``: whether any of an agent's columns holds."""
        owned = values if self._in_order else np.take(values, self.columns, axis=1)
        found: Bools = np.logical_or.reduceat(owned, self._starts, axis=1)
        return found
