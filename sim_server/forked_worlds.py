"""Worlds in forked processes, asked through pipes, as the field's trainers run their environments.

For measurement only (``scalmarl bench loop``): the sim server itself steps all copies as one batch, in one process.
Unlike the published ones, a worker's death is an error at once and not a wait for ever, and workers end with their
parent: each closes the ends that it inherited of the others' pipes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from scalmarl.protocol.lifeline import die_with_parent
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.world import World

Floats = NDArray[np.float32]
END_WITHIN_S = 5.0


class WorkerLost(ChildProcessError):
    """A worker ended, so its worlds are gone."""


class ForkedWorlds:
    """``copies`` copies of a task in ``workers`` processes, a multiple of which they are: one copy each, as the field
    has it, or several, which a worker steps as a batch. Raises ``ValueError`` and ``WorkerLost``."""

    def __init__(self, spec: TaskSpec, *, copies: int, workers: int, seed: int) -> None:
        if workers < 1 or copies % workers:
            raise ValueError(f"{copies} copies for {workers} workers; make the copies a multiple of the workers")
        self._size = copies // workers
        self._ends: list[Connection] = []
        self._workers: list[multiprocessing.process.BaseProcess] = []
        fork = multiprocessing.get_context("fork")
        for worker in range(workers):
            here, there = fork.Pipe()
            work = (there, [*self._ends, here], os.getpid(), spec, self._size, seed + worker)
            process = fork.Process(target=_serve, args=work, daemon=True)
            self._ends.append(here)
            self._workers.append(process)
            process.start()
            there.close()
        self._told = self._hear()

    def told(self) -> Floats:
        """See ``step``."""
        return self._told

    def step(self, actions: Floats) -> Floats:
        """One control step of all copies with joint actions ``[E, A]``, agents ascending; returns what every agent is
        told of every copy, side by side, ``[E, sum of (block + 1 + m + 2)]``."""
        for worker, end in enumerate(self._ends):
            try:
                end.send(actions[worker * self._size : (worker + 1) * self._size])
            except OSError:
                raise self._lost(worker) from None
        self._told = self._hear()
        return self._told

    def _hear(self) -> Floats:
        rows = []
        for worker, end in enumerate(self._ends):
            try:
                rows.append(end.recv())
            except (EOFError, OSError):
                raise self._lost(worker) from None
        return np.concatenate(rows)

    def _lost(self, worker: int) -> WorkerLost:
        process = self._workers[worker]
        process.join(END_WITHIN_S)
        return WorkerLost(f"worker {worker} ended with exit code {process.exitcode}")

    def __enter__(self) -> ForkedWorlds:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in self._ends:
            end.close()
        for process in self._workers:
            process.join(END_WITHIN_S)
            if process.is_alive():
                process.kill()
                process.join()


def _serve(end: Connection, foreign: list[Connection], parent: int, spec: TaskSpec, copies: int, seed: int) -> None:
    """A worker's life: one answer to every action, until nobody holds the other end."""
    die_with_parent(parent)
    # Ctrl-C reaches the whole group; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for other in foreign:
        other.close()
    world = World(spec, copies=copies, groups=1, seed=seed, threads=1)
    ends = np.cumsum(spec.action_sizes).tolist()
    owns = [slice(end - size, end) for end, size in zip(ends, spec.action_sizes)]
    while True:
        try:
            end.send(world.told(0))
            actions = end.recv()
        except (EOFError, OSError):
            return
        world.step(0, [actions[:, own] for own in owns])
