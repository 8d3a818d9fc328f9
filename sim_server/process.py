"""The sim server's process: physics of all copies, and no torch."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from scalmarl.protocol.charge import Charge
from scalmarl.protocol.effects import Body
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.round_files import RoundFiles, SealRow
from scalmarl.protocol.shell import Parts
from scalmarl.sim_server.body import sim_body
from scalmarl.sim_server.world import World


class SavedWorld:
    """A world whose whole state is one byte string; see ``sim_server.body.SteppedWorld``."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.step = world.step
        self.observation = world.observation

    def figures(self) -> dict[str, Any]:
        """Episode figures since the last call."""
        return self._world.figures()

    def save(self) -> bytes:
        """The world's snapshot as one NumPy archive (its bytes are a function of the arrays alone)."""
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **self._world.snapshot())
        return file.getvalue()

    def load(self, content: bytes) -> None:
        """Go on from a saved snapshot; raises ``ValueError`` if it belongs to another model or MuJoCo."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            self._world.restore({name: arrays[name] for name in arrays.files})


def make_parts(plan: Plan, charge: Charge, seal: SealRow) -> Parts:
    """The sim server's body around its world, and its round files."""

    def make_body(round: int, content: bytes | None) -> Body:
        world = World(plan.task, copies=plan.copies, groups=plan.groups, seed=plan.seed, threads=plan.world_threads)
        return sim_body(plan, SavedWorld(world), round, content)

    return Parts(make_body, RoundFiles(charge.run_directory, charge.process, plan, seal))
