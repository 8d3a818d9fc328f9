"""``--on-loss mask``: a stopped run is made ready to go on without some agents, or with some of them again.

Who takes part is fixed for the life of every process (``Plan.absent``), so it changes only between two lives of all:
from the first round that is not committed, everybody starts again under the new plan. What was computed of that round
under the old one is thrown away. Every committed round's record in the commit log names who took part in it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from scalmarl.coordinator.body import read_commit_record
from scalmarl.coordinator.commit_log import log_path, read_commits
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.protocol.files import remove_leftovers, write_durably
from scalmarl.protocol.keys import COORDINATOR, SIM
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.round_files import (
    archive_file,
    frame_round_file,
    kept_rounds,
    process_directory,
    read_round_file,
    round_path,
    row_path,
    sync_round_files,
)

Digests = dict[int, bytes]
"""process -> SHA-256 of its file."""


def regroup(run: RunDirectory, plan: Plan, absent: Collection[int]) -> Plan:
    """The plan from the first round that is not committed on, with these agents ``absent``; files and ``plan.json`` are
    made ready for it. No process of the run may live. Raises ``DamagedFile``.

    ``plan.json`` is written last of all, when the files are durable: a death before leaves a run that goes on under the
    old plan, from the same round."""
    committed = len(read_commits(log_path(run.path))[0])
    new = replace(plan, absent=tuple(sorted(absent)))
    for process in (*range(plan.agents), SIM):
        directory = process_directory(run.path, process)
        _keep_one_file(directory, committed)
        if process in plan.absent and process not in new.absent:
            _come_back(directory, plan, process, committed)
        sync_round_files(directory)
    forget_progress(run, plan)
    write_durably(run.plan, json.dumps(new.to_data()).encode())
    return new


def last_file(directory: Path) -> int | None:
    """The round of the newest kept file: for an absent agent, that in which it left."""
    return max(kept_rounds(directory), default=None)


def took_part(run: RunDirectory) -> list[Digests]:
    """Of every committed round, who took part in it, with the digest of its file, as the commit log says. Raises
    ``DamagedFile``."""
    return [read_commit_record(record) for _, record in read_commits(log_path(run.path))[0]]


def absent_before(run: RunDirectory, plan: Plan, round: int) -> tuple[int, ...]:
    """The agents that took no part in the round before this one. Raises ``DamagedFile``."""
    there = took_part(run)[round - 1] if round > 0 else range(plan.agents)
    return tuple(agent for agent in range(plan.agents) if agent not in there)


def left_with(rounds: Sequence[Collection[int]], process: int, round: int) -> int:
    """The round of the file that a process had at the start of a round: of this round, or, for an agent that was
    absent in those before (``took_part``), of the round in which it left. It has learnt nothing in between."""
    while round > 0 and process not in rounds[round - 1]:
        round -= 1
    return round


def forget_progress(run: RunDirectory, plan: Plan) -> None:
    """How far earlier lives had come says nothing of what is computed from here on."""
    for process in (*range(plan.agents), SIM, COORDINATOR):
        (process_directory(run.path, process) / "progress.bin").unlink(missing_ok=True)


def _keep_one_file(directory: Path, committed: int) -> None:
    """The newest file that holds: nobody may find what was computed of the next round, or begin a round that is
    committed a second time, under another plan."""
    remove_leftovers(directory)
    rounds = kept_rounds(directory)
    for round in (round for round in rounds if round > committed):
        row_path(directory, round - 1).unlink(missing_ok=True)
        round_path(directory, round).unlink()
    for round in [round for round in rounds if round <= committed][:-1]:
        archive_file(directory, round)


def _come_back(directory: Path, plan: Plan, agent: int, round: int) -> None:
    """It has learnt nothing since it left: what it had then is its file of ``round``."""
    left = last_file(directory)
    if left is None or left == round:
        return
    content = read_round_file(round_path(directory, left), plan, agent, left)
    write_durably(round_path(directory, round), *frame_round_file(plan, agent, round, content))
    archive_file(directory, left)
