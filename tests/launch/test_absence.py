"""Round files and the commit log of a run whose agents come and go, without a process."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import msgpack
import pytest

from scalmarl.coordinator.commit_log import CommitLog, log_path, read_commits
from scalmarl.launch.absence import last_file, left_with, regroup
from scalmarl.launch.committed import committed
from scalmarl.launch.config import resolve
from scalmarl.launch.errors import TrainingFailed, UsageProblem
from scalmarl.launch.planning import make_plan, write_plan
from scalmarl.launch.resuming import archived_rounds, go_back
from scalmarl.launch.run_directory import RunDirectory, create, read_plan
from scalmarl.protocol.files import write_durably
from scalmarl.protocol.keys import COORDINATOR, SIM
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.round_files import (
    archive_file,
    encode_row,
    frame_round_file,
    process_directory,
    read_round_file,
    round_path,
)

EVERYBODY = (0, 1, 2, SIM)


class Run:
    """A run of three agents under ``mask``. A file's content is the number of rounds that its owner took part in."""

    def __init__(self, path: Path) -> None:
        self.directory: RunDirectory = create(path, "")
        options = {"run.agents": 3, "run.kappa": 1, "run.on_loss": "mask"}
        write_plan(self.directory, make_plan(*resolve(None, (), options)))
        self.log = CommitLog(path, lambda round, figures: encode_row(round, figures, [], {}))
        self.done = dict.fromkeys(EVERYBODY, 0)
        for process in EVERYBODY:
            self.write(process, 0)

    @property
    def plan(self) -> Plan:
        return read_plan(self.directory)

    def folder(self, process: int) -> Path:
        return process_directory(self.directory.path, process)

    def write(self, process: int, round: int) -> None:
        self.folder(process).mkdir(parents=True, exist_ok=True)
        content = self.said(process)
        write_durably(round_path(self.folder(process), round), *frame_round_file(self.plan, process, round, content))

    def said(self, process: int) -> bytes:
        return str(self.done[process]).encode()

    def rounds(self, first: int, last: int) -> None:
        """Play these rounds; the last one's commit nobody but the coordinator knows of yet."""
        who = (*self.plan.present, SIM)
        for round in range(first, last + 1):
            for process in who:
                for kept in sorted(int(path.stem) for path in self.folder(process).glob("*.round")):
                    if kept < round:
                        archive_file(self.folder(process), kept)
                self.done[process] += 1
                self.write(process, round + 1)
            self.log.write(round + 1, msgpack.packb([[process, self.digest(process)] for process in who]), {})

    def digest(self, process: int) -> bytes:
        return hashlib.sha256(self.said(process)).digest()

    def kept(self, process: int) -> list[int]:
        return sorted(int(path.stem) for path in self.folder(process).glob("*.round"))

    def content(self, process: int) -> int:
        """That of the file with which a process starts."""
        round = self.kept(process)[0]
        return int(read_round_file(round_path(self.folder(process), round), self.plan, process, round))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


def test_what_an_agent_left_with_follows_from_the_commit_log() -> None:
    rounds = [{0, 1}, {0}, {0}, {0, 1}]
    assert [left_with(rounds, 1, round) for round in range(5)] == [0, 1, 1, 1, 4]
    assert left_with([{0}, {0}], 1, 2) == 0


def test_nobody_begins_a_committed_round_again_under_another_plan(run: Run) -> None:
    run.rounds(0, 4)
    for process in EVERYBODY:
        assert run.kept(process) == [4, 5], "the commit was not heard yet"
        write_durably(run.folder(process) / "progress.bin", b"\1" * 24)
    run.write(0, 6)
    regroup(run.directory, run.plan, (1,))
    assert run.plan.absent == (1,)
    assert [run.kept(process) for process in EVERYBODY] == [[5]] * 4
    assert not list(run.directory.path.rglob("progress.bin"))


def test_an_agent_comes_back_with_what_it_left_with(run: Run) -> None:
    run.rounds(0, 4)
    regroup(run.directory, run.plan, (1,))
    run.rounds(5, 7)
    assert last_file(run.folder(1)) == 5
    regroup(run.directory, run.plan, ())
    assert run.kept(1) == [8]
    assert run.content(1) == 5


def test_what_the_agents_had_after_a_round_and_who_was_absent(run: Run) -> None:
    run.rounds(0, 4)
    regroup(run.directory, run.plan, (1,))
    run.rounds(5, 6)
    regroup(run.directory, run.plan, ())
    run.rounds(7, 11)
    for round, absent, contents in (
        (None, (), (b"12", b"10", b"12")),
        (10, (), (b"10", b"8", b"10")),
        (0, (), (b"0", b"0", b"0")),
    ):
        found = committed(run.directory, round)
        assert (found.round, found.plan.absent) == (12 if round is None else round, absent)
        assert tuple(found.contents[agent] for agent in range(3)) == contents
    with pytest.raises(UsageProblem, match="no files of round 6") as told:
        committed(run.directory, 6)
    assert told.value.hint == "give --round one of: 0, 8, 9, 10, 11, 12"


def test_an_absent_agent_has_what_it_left_with(run: Run) -> None:
    run.rounds(0, 4)
    regroup(run.directory, run.plan, (1,))
    run.rounds(5, 6)
    found = committed(run.directory)
    assert (found.round, found.plan.absent) == (7, (1,))
    assert found.contents == {0: b"7", 1: b"5", 2: b"7"}


def test_a_file_that_is_not_the_committed_one_is_not_taken(run: Run) -> None:
    run.rounds(0, 2)
    run.done[2] = 9
    run.write(2, 3)
    with pytest.raises(TrainingFailed, match="agent/2: the file of round 3 is not the committed one"):
        committed(run.directory)


def test_a_run_goes_back_to_a_round_in_which_an_agent_was_absent(run: Run) -> None:
    run.rounds(0, 4)
    regroup(run.directory, run.plan, (1,))
    run.rounds(5, 6)
    regroup(run.directory, run.plan, ())
    run.rounds(7, 7)
    write_durably(run.folder(COORDINATOR) / "progress.bin", b"\1" * 24)
    assert {5, 6} <= set(archived_rounds(run.directory, run.plan))
    go_back(run.directory, replace(run.plan, absent=(1,)), 6)
    assert run.plan.absent == (1,)
    assert len(read_commits(log_path(run.directory.path))[0]) == 6
    assert [run.content(process) for process in EVERYBODY] == [6, 5, 6, 6]
    assert not list(run.directory.path.rglob("progress.bin"))


def test_a_round_is_not_offered_where_an_absent_agents_file_was_thinned_out(run: Run) -> None:
    """Left with 8, back at 11: round 10 stays in the archives of the others, and file 8 does not in its own."""
    run.rounds(0, 7)
    regroup(run.directory, run.plan, (1,))
    run.rounds(8, 10)
    regroup(run.directory, run.plan, ())
    run.rounds(11, 14)
    assert not round_path(run.folder(1) / "archive", 8).exists()
    assert round_path(run.folder(0) / "archive", 10).exists()
    assert 10 not in archived_rounds(run.directory, run.plan)
    assert {0, 12, 13} <= set(archived_rounds(run.directory, run.plan))
