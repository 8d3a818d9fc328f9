"""``--on-loss mask``: a stopped run is made ready to go on without some agents, or with some of them again.

Who takes part is fixed for the life of every process (``Plan.absent``), so it changes only between two lives of all:
from the first round that is not committed, everybody starts again under the new plan. What was computed of that round
under the old one is thrown away. Every committed round's record in the commit log names who took part in it.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from scalmarl.coordinator.body import read_commit_record
from scalmarl.coordinator.commit_log import log_path, read_commits
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.protocol.files import write_durably
from scalmarl.protocol.keys import SIM
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.round_files import (
    frame_round_file,
    process_directory,
    read_round_file,
    round_path,
    row_path,
)


def regroup(run: RunDirectory, plan: Plan, absent: Collection[int]) -> Plan:
    """The plan from the first round that is not committed on, with these agents ``absent``; files and ``plan.json`` are
    made ready for it. No process of the run may live. Raises ``DamagedFile``."""
    committed = len(read_commits(log_path(run.path))[0])
    new = replace(plan, absent=tuple(sorted(absent)))
    for process in (*range(plan.agents), SIM):
        directory = process_directory(run.path, process)
        _forget_uncommitted(directory, committed)
        if process in plan.absent and process not in new.absent:
            _come_back(directory, plan, process, committed)
    write_durably(run.plan, json.dumps(new.to_data()).encode())
    return new


def last_file(directory: Path) -> int | None:
    """The round of the newest kept file: for an absent agent, that in which it left."""
    return max((int(path.stem) for path in directory.glob("*.round")), default=None)


def absent_before(run: RunDirectory, plan: Plan, round: int) -> tuple[int, ...]:
    """The agents that took no part in the round before this one, as the commit log says. Raises ``DamagedFile``."""
    if round == 0:
        return ()
    took_part = read_commit_record(read_commits(log_path(run.path))[0][round - 1][1])
    return tuple(agent for agent in range(plan.agents) if agent not in took_part)


def _forget_uncommitted(directory: Path, committed: int) -> None:
    for path in directory.glob("*.round"):
        if int(path.stem) > committed:
            row_path(directory, int(path.stem) - 1).unlink(missing_ok=True)
            path.unlink()


def _come_back(directory: Path, plan: Plan, agent: int, round: int) -> None:
    """It has learnt nothing since it left: what it had then is its file of ``round``."""
    left = last_file(directory)
    if left is None or left == round:
        return
    content = read_round_file(round_path(directory, left), plan, agent, left)
    write_durably(round_path(directory, round), *frame_round_file(plan, agent, round, content))
    archive = directory / "archive"
    archive.mkdir(exist_ok=True)
    round_path(directory, left).replace(round_path(archive, left))
