"""The sim server's process: physics of all copies, and no torch."""

from __future__ import annotations

from scalmarl.protocol.charge import Charge
from scalmarl.protocol.effects import Body
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.round_files import RoundFiles, RoundRow
from scalmarl.protocol.shell import Parts
from scalmarl.sim_server.body import sim_body
from scalmarl.sim_server.making import make_world


def make_parts(plan: Plan, charge: Charge, row: RoundRow) -> Parts:
    """The sim server's body around its world, and its round files."""

    def make_body(round: int, content: bytes | None) -> Body:
        world = make_world(
            plan.task, copies=plan.copies, groups=plan.groups, seed=plan.seed, threads=plan.world_threads
        )
        return sim_body(plan, world, round, content)

    return Parts(make_body, RoundFiles(charge.run_directory, charge.process, plan, row))
