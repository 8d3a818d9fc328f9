"""Every round file that a run of real processes kept, loaded by a fresh learner or world, is saved as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scalmarl.protocol.keys import SIM, process_name
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.round_files import process_directory, read_round_file
from scalmarl.protocol.shell import read_plan


def saved_again(plan: Plan, process: int, content: bytes) -> bytes:
    if process == SIM:
        from scalmarl.sim_server.making import SavedWorld
        from scalmarl.sim_server.world import World

        world = SavedWorld(World(plan.task, copies=plan.copies, groups=plan.groups, seed=plan.seed, threads=1))
        world.load(content)
        return world.save()
    from scalmarl.agents.learner import Learner

    learner = Learner(plan, process)
    learner.load(content)
    return learner.save()


def test_every_kept_file_is_loaded_and_saved_to_the_same_bytes(calm: Any) -> None:
    plan: Plan = read_plan(calm.path)
    for process in (*range(plan.agents), SIM):
        directory: Path = process_directory(calm.path, process)
        kept = sorted([*directory.glob("*.round"), *directory.glob("archive/*.round")])
        assert len(kept) >= 7, "the last one, three behind it, and every tenth"
        for path in kept:
            content = read_round_file(path, plan, process, int(path.stem))
            assert saved_again(plan, process, content) == content, f"{process_name(process)}: {path.name}"
