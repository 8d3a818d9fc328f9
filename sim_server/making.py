"""The world of a task, whichever kind it is: the product's own, or one from outside, which needs no MuJoCo."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from scalmarl.protocol.kinds import Value
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.body import SteppedWorld
from scalmarl.sim_server.episodes import Episodes

if TYPE_CHECKING:
    from scalmarl.sim_server.world import World


class CountedWorld(SteppedWorld, Protocol):
    """A world whose episodes can be looked at."""

    episodes: Episodes


def make_world(
    spec: TaskSpec, *, copies: int, groups: int, seed: int, threads: int, staggered: bool = True
) -> CountedWorld:
    """``copies`` copies in ``groups`` groups; ``threads`` of physics, where they are MuJoCo's (see ``World``)."""
    if spec.maker:
        from scalmarl.sim_server.foreign_world import ForeignWorld

        return ForeignWorld(spec, copies=copies, groups=groups, seed=seed, staggered=staggered)
    from scalmarl.sim_server.world import World

    return SavedWorld(World(spec, copies=copies, groups=groups, seed=seed, threads=threads, staggered=staggered))


class SavedWorld:
    """A world whose whole state is one byte string; see ``sim_server.body.SteppedWorld``."""

    def __init__(self, world: World) -> None:
        self.world, self.episodes = world, world.episodes
        self.observation = world.observation

    def begin(self) -> Iterable[None]:
        """It was made at its start."""
        return ()

    def step(self, group: int, actions: Sequence[Value]) -> Iterable[None]:
        """One control step of all copies of a group in one piece."""
        self.world.step(group, actions)
        return ()

    def figures(self) -> dict[str, Any]:
        """Episode figures since the last call."""
        return self.world.figures()

    def save(self) -> bytes:
        """The world's snapshot."""
        return to_archive(self.world.snapshot())

    def load(self, content: bytes) -> Iterable[None]:
        """Go on from a saved snapshot; raises ``ValueError`` if it belongs to another model or MuJoCo."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            self.world.restore({name: arrays[name] for name in arrays.files})
        return ()


def to_archive(arrays: dict[str, Any]) -> bytes:
    """One NumPy archive, whose bytes are a function of the arrays alone."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()
