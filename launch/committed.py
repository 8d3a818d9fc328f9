"""What the agents of a run had at the start of a round, read from their files and checked against the commit log."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace

from scalmarl.launch.absence import Digests, took_part
from scalmarl.launch.errors import TrainingFailed, UsageProblem
from scalmarl.launch.resuming import check_log, file_of
from scalmarl.launch.run_directory import RunDirectory, read_plan
from scalmarl.launch.voice import shell_words
from scalmarl.protocol.errors import DamagedFile
from scalmarl.protocol.keys import process_name
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.round_files import process_directory, read_round_file, round_paths

TRIES, AGAIN_AFTER_S = 20, 0.05


@dataclass(frozen=True)
class Committed:
    """``round``: how many rounds had been committed; ``plan.absent``: who had no part in the last of them;
    ``contents[i]``: agent i's round file. An absent agent has what it had when it left."""

    plan: Plan
    round: int
    contents: dict[int, bytes]


def committed(run: RunDirectory, round: int | None = None) -> Committed:
    """The state after the last commit, or at the start of an earlier ``round`` that the archive has. Works on live runs
    too. Raises ``UserProblem``."""
    plan = read_plan(run)
    for _ in range(TRIES):
        try:
            return _read_once(run, plan, round)
        except FileNotFoundError:
            # A commit moved the files on while they were read.
            time.sleep(AGAIN_AFTER_S)
        except DamagedFile as damage:
            raise TrainingFailed(str(damage).partition(";")[0], _go_back(run)) from None
    raise TrainingFailed(f"{run.path} lacks the file of a committed round", _go_back(run))


def _read_once(run: RunDirectory, plan: Plan, wanted: int | None) -> Committed:
    rounds = took_part(run)
    check_log(run, plan, len(rounds))
    round = len(rounds) if wanted is None else wanted
    if wanted is not None:
        _check_there(run, plan, rounds, wanted)
    contents = {agent: _content(run, plan, rounds, agent, round) for agent in range(plan.agents)}
    there = rounds[round - 1] if round else range(plan.agents)
    absent = tuple(agent for agent in range(plan.agents) if agent not in there)
    return Committed(replace(plan, absent=absent), round, contents)


def _content(run: RunDirectory, plan: Plan, rounds: list[Digests], agent: int, round: int) -> bytes:
    found = file_of(run, rounds, agent, round)
    if found is None:
        raise FileNotFoundError
    at, path = found
    content = read_round_file(path, plan, agent, at)
    digest = hashlib.sha256(content).digest()
    if at and rounds[at - 1].get(agent, digest) != digest:
        raise DamagedFile(f"{process_name(agent)}: the file of round {at} is not the committed one")
    return content


def _check_there(run: RunDirectory, plan: Plan, rounds: list[Digests], round: int) -> None:
    if 0 <= round <= len(rounds) and all(file_of(run, rounds, agent, round) for agent in range(plan.agents)):
        return
    there = [
        str(number)
        for number in round_paths(process_directory(run.path, 0))
        if number <= len(rounds) and all(file_of(run, rounds, agent, number) for agent in range(plan.agents))
    ]
    raise UsageProblem(
        f"{run.path} has no files of round {round}", f"give --round one of: {', '.join(there) or 'none is there'}"
    )


def _go_back(run: RunDirectory) -> str:
    back = shell_words("scalmarl", "resume", run.path, "--from-round", "R")
    return f"put back a copy, or go back to an archived round: {back}"
