"""Who is taken for frozen."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalmarl.launch.crew import Crew
from scalmarl.launch.display import Display
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.launch.supervisor import Supervisor
from scalmarl.launch.watched import Watched
from scalmarl.protocol.control import ControlChannel

BEAT = {"type": "beat", "round": 3, "step": 0, "phase": "sampling", "watermark": 2}


class Child:
    """A process that runs, with the other end of its channel in the test's hands."""

    def __init__(self) -> None:
        ours, theirs = ControlChannel.pair()
        self.channel, self.its_end = ControlChannel(ours), ControlChannel(theirs)
        self.signals: list[int] = []

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
    made.run_directory, made.display, made._stall_kill_s = RunDirectory(tmp_path), Display(), 15.0
    made._crew = Crew.__new__(Crew)
    made._crew._hears = made._hear
    return made


def beating(child: Child) -> Watched:
    return Watched(0, "running", child, beat_at=time.monotonic() - 20.0, beat=BEAT)  # type: ignore[arg-type]


def test_a_process_that_has_said_nothing_for_too_long_is_killed(supervisor: Supervisor, child: Child) -> None:
    watched = beating(child)
    supervisor._watch_for_stall(watched, time.monotonic())
    assert child.signals == [signal.SIGKILL]
    assert watched.suspected


def test_a_launcher_that_was_held_up_itself_hears_out_everybody_first(supervisor: Supervisor, child: Child) -> None:
    watched = beating(child)
    for _ in range(100):
        child.its_end.send(BEAT)
    supervisor._watch_for_stall(watched, time.monotonic())
    assert child.signals == []
    assert not watched.suspected
