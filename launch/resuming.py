"""Preparing a run to go on: checks, the new number of rounds, and going back to an archived round."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from scalmarl.coordinator.commit_log import cut_commits, log_path, read_commits
from scalmarl.launch.absence import absent_before, forget_progress, left_with, took_part
from scalmarl.launch.bad_links import bad_links
from scalmarl.launch.config import resolve
from scalmarl.launch.ctrl_c import heed_ctrl_c
from scalmarl.launch.endpoint_book import remove_private_directory
from scalmarl.launch.errors import TrainingFailed, UsageProblem
from scalmarl.launch.places import check_places, places_of
from scalmarl.launch.planning import check_sockets, check_widths
from scalmarl.launch.records import cut_torn_line, forget_after, note_event, read_lines
from scalmarl.launch.run_directory import RunDirectory, read_plan
from scalmarl.launch.versions import changed_versions
from scalmarl.launch.voice import shell_words
from scalmarl.protocol.errors import DamagedFile
from scalmarl.protocol.files import remove_leftovers, write_durably
from scalmarl.protocol.keys import COORDINATOR, SIM, process_name
from scalmarl.protocol.lifeline import hold_stop_signals, release_stop_signals
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.round_files import (
    kept_rounds,
    process_directory,
    read_round_file,
    round_path,
    round_paths,
    sync_round_files,
)


def prepare(run: RunDirectory, rounds: int | None, from_round: int | None) -> int:
    """Take the lock and make the run ready; returns the lock's descriptor. Raises ``UserProblem``; loses nothing."""
    state = run.read_state()
    lock = run.take_lock()
    # From the first change on, the supervisor answers every request to stop.
    hold_stop_signals()
    try:
        heed_ctrl_c()
        plan = read_plan(run)
        config, _ = resolve(run.config, (), {})
        check_sockets(config.processes.transport, plan.agents)
        check_places(places_of(plan.agents, config.processes.model_dump()))
        bad_links(config.processes.links, plan)
        for path in (run.metrics, run.traffic, run.events):
            read_lines(path)
        committed = len(_commits(run))
        check_log(run, plan, committed)
        _check_versions(run, state)
        if from_round is not None:
            _check_archive(run, plan, from_round)
        for path in (run.metrics, run.traffic, run.events):
            cut_torn_line(path)
        plan = _with_rounds(run, plan, rounds, committed if from_round is None else from_round)
        if from_round is None:
            _check_files(run, plan, committed)
        else:
            plan = replace(plan, absent=absent_before(run, plan, from_round))
            go_back(run, plan, from_round)
        _remove_leftovers(run, plan)
        write_durably(run.plan, json.dumps(plan.to_data()).encode())
        remove_private_directory(state["control"], run.path)
        again = {"state": "running", "reason": "", "rounds": plan.rounds, "processes": [], "control": ""}
        run.write_state({**state, **again})
    except BaseException:
        release_stop_signals()
        os.close(lock)
        raise
    return lock


def _remove_leftovers(run: RunDirectory, plan: Plan) -> None:
    """Of a launcher that was killed while it wrote, also in the directory of an agent that does not start."""
    for directory in (run.path, *(process_directory(run.path, process) for process in range(plan.agents))):
        remove_leftovers(directory)


def check_log(run: RunDirectory, plan: Plan, committed: int) -> None:
    """The commit log must not be behind the round files: what it does not know of would be redone without its inputs.
    Raises ``TrainingFailed``."""
    for process in plan.processes():
        kept = kept_rounds(process_directory(run.path, process))
        if process != COORDINATOR and kept and kept[0] > committed:
            raise TrainingFailed(
                f"{log_path(run.path)} knows of {committed} rounds, but {process_name(process)} has left round "
                f"{kept[0] - 1} behind",
                "put back a copy of the commit log, or start a new run",
            )


def _commits(run: RunDirectory) -> list[tuple[int, bytes]]:
    try:
        return read_commits(log_path(run.path))[0]
    except DamagedFile as damage:
        raise TrainingFailed(str(damage).partition(";")[0], "put back a copy, or start a new run") from None


def _with_rounds(run: RunDirectory, plan: Plan, rounds: int | None, committed: int) -> Plan:
    """The plan with the number of rounds that the run shall have."""
    wanted = plan.rounds if rounds is None else rounds
    if wanted <= committed:
        raise UsageProblem(
            f"{run.path} has committed {committed} rounds of {wanted}; nothing is left to do",
            f"extend it: {shell_words('scalmarl', 'resume', run.path, '--rounds', 2 * max(committed, 1))}",
        )
    plan = replace(plan, rounds=wanted)
    check_widths(plan)
    return plan


def _check_versions(run: RunDirectory, state: dict[str, object]) -> None:
    if changed := changed_versions(state):
        raise UsageProblem(
            f"{run.path} was made with other versions ({changed}): its bits cannot be continued",
            "install those versions again, or start a new run",
        )


def _check_files(run: RunDirectory, plan: Plan, committed: int) -> None:
    """Every process must have a sound file to start from: that of the first round that is not committed."""
    for process in plan.processes():
        directory = process_directory(run.path, process)
        if process == COORDINATOR or (committed == 0 and not kept_rounds(directory)):
            continue
        path = round_path(directory, committed)
        try:
            read_round_file(path, plan, process, committed)
        except (DamagedFile, OSError) as error:
            what = str(error).partition(";")[0] if isinstance(error, DamagedFile) else f"{path}: {error.strerror}"
            raise TrainingFailed(
                f"{process_name(process)} cannot go on: {what}",
                f"go back to a round in the archive: {_archived(run, plan)}",
            ) from None


def archived_rounds(run: RunDirectory, plan: Plan) -> list[int]:
    """The rounds of the sim server's archive at whose start everybody's state is still there, ascending."""
    rounds = took_part(run)
    return [
        round
        for round in kept_rounds(process_directory(run.path, SIM) / "archive")
        if round <= len(rounds)
        and all(file_of(run, rounds, process, round) is not None for process in (*range(plan.agents), SIM))
    ]


def _archived(run: RunDirectory, plan: Plan) -> str:
    rounds = archived_rounds(run, plan)
    if not rounds:
        return "it holds none; start a new run"
    return shell_words("scalmarl", "resume", run.path, "--from-round", rounds[-1])


def _check_archive(run: RunDirectory, plan: Plan, round: int) -> None:
    if round not in archived_rounds(run, plan):
        there = ", ".join(str(r) for r in archived_rounds(run, plan)) or "none"
        raise UsageProblem(f"round {round} is not in the archive of {run.path}", f"archived rounds: {there}")


def go_back(run: RunDirectory, plan: Plan, round: int) -> None:
    """Put every process back to the start of an archived round, under this plan. Raises ``UserProblem`` before it
    changes anything. The commit log is cut last of all: a death before leaves a run that can only go back again."""
    everybody = (*range(plan.agents), SIM)
    rounds = took_part(run)
    contents = {}
    for process in everybody:
        found = file_of(run, rounds, process, round)
        assert found is not None  # the round is one of ``archived_rounds``
        at, path = found
        try:
            contents[process] = at, path.read_bytes()
            read_round_file(path, plan, process, at)
        except DamagedFile as damage:
            raise TrainingFailed(str(damage), "choose an older archived round") from None
    for process in everybody:
        directory = process_directory(run.path, process)
        at, content = contents[process]
        write_durably(round_path(directory, at), content)
        for place in (directory, directory / "archive"):
            for other in kept_rounds(place):
                if other > at or (place == directory and other != at):
                    round_path(place, other).unlink()
        sync_round_files(directory)
    forget_progress(run, plan)
    forget_after(run, plan, round)
    write_durably(run.plan, json.dumps(plan.to_data()).encode())
    cut_commits(log_path(run.path), round)
    note_event(run, "back to round", rounds=round)


def file_of(run: RunDirectory, rounds: Sequence[Collection[int]], process: int, round: int) -> tuple[int, Path] | None:
    """What a process had at the start of a round, if it is still there: its file of that round, or, if it was absent
    before, the one with which it had left or a copy of it."""
    files = round_paths(process_directory(run.path, process))
    at = max((n for n in files if left_with(rounds, process, round) <= n <= round), default=None)
    return None if at is None else (at, files[at])
