"""A launcher, or a command that prepares a run for one, that dies at a durable step of what it does to the files.

A planting ``{"do": "die", "process": "launcher", "work": ..., "step": n}`` has it killed at the n-th step of
``regroup`` (from the end of all processes until the new plan is written) or of ``prepare`` (all that ``resume`` does).
Steps are counted before a file is synced and after every sync, move and removal. The journal tells where it died.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from planted import die_here, note, plantings_of


class Steps:
    """Counted while ``counts``; at ``last`` the process dies."""

    def __init__(self, work: str, last: int) -> None:
        self.counts, self._work, self._last, self._passed = False, work, last, 0
        for name in ("rename", "replace", "unlink"):
            setattr(os, name, self._step(name, getattr(os, name)))
        self._sync, os.fsync = os.fsync, self._fsync  # type: ignore[assignment]

    def _step(self, name: str, real: Callable[..., None]) -> Callable[..., None]:
        def step(*arguments: Any, **options: Any) -> None:
            real(*arguments, **options)
            self._passes(name, str(arguments[-1]))

        return step

    def _fsync(self, descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if not os.path.isdir(path):
            self._passes("write", path)
        self._sync(descriptor)
        self._passes("sync", path)

    def _passes(self, name: str, path: str) -> None:
        if self.counts:
            self._passed += 1
            if self._passed > self._last:
                note(died_in=self._work, at=name, path=path, step=self._last)
                die_here()


def steps_of(work: str) -> Steps | None:
    """``None`` where no death is planted."""
    return next((Steps(work, p["step"]) for p in plantings_of("launcher", "die") if p["work"] == work), None)


def plant_in_regroup(supervisor: ModuleType) -> None:
    """In everything that a regroup does between the end of the old lives and the start of the new ones."""
    steps = steps_of("regroup")
    if steps is None:
        return
    end_all, regroup = supervisor.Crew.end_all, supervisor.regroup

    def begin(crew: Any) -> None:
        end_all(crew)
        steps.counts = True

    def whole(*arguments: Any) -> Any:
        plan = regroup(*arguments)
        steps.counts = False
        return plan

    supervisor.Crew.end_all, supervisor.regroup = begin, whole


def plant_in_resume(resuming: ModuleType) -> None:
    """In everything that ``resume`` does before it hands over."""
    steps = steps_of("prepare")
    if steps is None:
        return
    prepare = resuming.prepare

    def mortal(*arguments: Any) -> Any:
        steps.counts = True
        lock = prepare(*arguments)
        steps.counts = False
        return lock

    resuming.prepare = mortal
