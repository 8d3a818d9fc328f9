"""Who is taken for frozen, and who is left out."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scalmarl.launch.crew import Crew
from scalmarl.launch.display import Display
from scalmarl.launch.errors import Exit
from scalmarl.launch.requests import answer
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.launch.supervisor import Supervisor
from scalmarl.launch.vigil import Vigil
from scalmarl.launch.watched import Watched
from scalmarl.protocol.control import ControlChannel
from scalmarl.protocol.errors import DamagedFile
from scalmarl.protocol.standins import toy_plan

BEAT = {"type": "beat", "round": 3, "step": 0, "phase": "sampling", "watermark": 2}


class Child:
    """A process that runs, with the other end of its channel in the test's hands."""

    def __init__(self) -> None:
        ours, theirs = ControlChannel.pair()
        self.channel, self.its_end = ControlChannel(ours), ControlChannel(theirs)
        self.signals: list[int] = []
        self.stopped = False

    def is_stopped(self) -> bool:
        return self.stopped

    def signal(self, number: int) -> None:
        self.signals.append(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)


@pytest.fixture
def child() -> Iterator[Child]:
    made = Child()
    yield made
    made.channel.close()
    made.its_end.close()


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    """As much of one as it takes to watch."""
    made = Supervisor.__new__(Supervisor)
    made.run_directory, made.display, made._committed = RunDirectory(tmp_path), Display(), 2
    made._crew = Crew.__new__(Crew)
    made._crew._hears = made._hear
    made._vigil = Vigil(made.run_directory, made.display, made._crew, 15.0)
    return made


def beating(child: Child) -> Watched:
    return Watched(0, "running", child, beat_at=time.monotonic() - 20.0, beat=BEAT)  # type: ignore[arg-type]


def test_a_process_that_has_said_nothing_for_too_long_is_killed(supervisor: Supervisor, child: Child) -> None:
    watched = beating(child)
    supervisor._keep_vigil(watched, time.monotonic())
    assert child.signals == [signal.SIGKILL]
    assert watched.suspected
    assert watched.error == "hung: it said nothing for 20 s", "nobody held it up, so it counts as a crash"


def test_a_process_that_somebody_stopped_did_not_hang_by_itself(supervisor: Supervisor, child: Child) -> None:
    watched, child.stopped = beating(child), True
    supervisor._keep_vigil(watched, time.monotonic())
    assert child.signals == [signal.SIGKILL]
    assert watched.error == ""


def test_a_launcher_that_was_held_up_itself_hears_out_everybody_first(supervisor: Supervisor, child: Child) -> None:
    watched = beating(child)
    for _ in range(100):
        child.its_end.send(BEAT)
    supervisor._keep_vigil(watched, time.monotonic())
    assert child.signals == []
    assert not watched.suspected


@pytest.fixture
def masked(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    """Of a run under ``mask`` in round 4; a regroup changes its plan only."""
    supervisor.plan = replace(toy_plan([[1], [0, 2], [1]], [0, 1, 0]), on_loss="mask")
    supervisor.watched = {process: Watched(process, "running") for process in supervisor.plan.processes()}
    supervisor._loss_after_s, supervisor._committed, supervisor._exit = 5.0, 3, None

    def regroup(absent: set[int]) -> None:
        supervisor.plan = replace(supervisor.plan, absent=tuple(sorted(absent)))

    monkeypatch.setattr(supervisor, "_regroup", regroup)
    return supervisor


def killed(supervisor: Supervisor, agent: int, ago: float) -> None:
    watched = supervisor.watched[agent]
    watched.state, watched.hold, watched.died_at = "down", True, time.monotonic() - ago


def test_an_agent_is_left_out_once_it_has_been_down_for_long_enough(masked: Supervisor) -> None:
    killed(masked, 1, ago=4.0)
    masked._watch_for_absence(time.monotonic())
    assert not masked.plan.absent
    masked._watch_for_absence(time.monotonic() + 2.0)
    assert list(masked.plan.absent) == [1]


def test_nobody_is_left_out_of_the_first_round(masked: Supervisor) -> None:
    killed(masked, 1, ago=60.0)
    masked._committed = -1
    masked._watch_for_absence(time.monotonic())
    assert not masked.plan.absent


def test_an_absent_agent_is_taken_back_after_the_next_commit_unless_it_is_killed_again(masked: Supervisor) -> None:
    masked.plan = replace(masked.plan, absent=(1,))
    masked.watched[1].is_absent()
    answer(masked, {"command": "restart", "process": "1"})
    masked._watch_for_absence(time.monotonic())
    assert list(masked.plan.absent) == [1]
    answer(masked, {"command": "kill", "process": "1"})
    masked._committed += 1
    masked._watch_for_absence(time.monotonic())
    assert list(masked.plan.absent) == [1]
    answer(masked, {"command": "restart", "process": "1"})
    masked._committed += 1
    answer(masked, {"command": "restart", "process": "1"})  # asked twice, it does not come later
    masked._watch_for_absence(time.monotonic())
    assert not masked.plan.absent


def test_a_damaged_file_of_an_agent_that_returns_ends_the_run_in_words(
    masked: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def regroup(absent: set[int]) -> None:
        raise DamagedFile("agents/001/000004.round is damaged")

    killed(masked, 1, ago=60.0)
    monkeypatch.setattr(masked, "_regroup", regroup)
    masked._watch_for_absence(time.monotonic())
    assert masked._exit == ("failed", Exit.TRAINING_FAILED, "agents/001/000004.round is damaged")
