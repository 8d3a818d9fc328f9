"""What may go wrong while a child is started."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from scalmarl.launch import children
from scalmarl.launch.children import FORK_TRIES, Child, Nursery
from scalmarl.launch.errors import MachineNotFit
from scalmarl.protocol.control import ControlChannel


class Forked:
    pid = os.getpid()

    def start(self) -> None: ...


class Context:
    def Process(self, **_: Any) -> Forked:
        return Forked()


@pytest.fixture
def nursery(monkeypatch: pytest.MonkeyPatch) -> Nursery:
    """One whose fork server has always just forked this very process."""
    made = Nursery.__new__(Nursery)
    made._context = Context()  # type: ignore[assignment]
    monkeypatch.setattr(children.time, "sleep", lambda seconds: None)
    return made


@pytest.mark.parametrize("deaths", [1, FORK_TRIES])
def test_an_agent_that_is_gone_before_it_can_be_watched_is_forked_again(
    deaths: int, nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, opened = [deaths], os.pidfd_open

    def gone_at_first(pid: int) -> int:
        left[0] -= 1
        if left[0] >= 0:
            raise ProcessLookupError
        return opened(pid)

    monkeypatch.setattr(children.os, "pidfd_open", gone_at_first)
    if deaths == FORK_TRIES:
        with pytest.raises(MachineNotFit, match=f"died {FORK_TRIES} times"):
            nursery.start(0)
    else:
        child = nursery.start(0)
        assert child.pid == os.getpid()
        child.release()


def test_whether_somebody_holds_a_process_up() -> None:
    import signal

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        ours, theirs = ControlChannel.pair()
        child = Child(process.pid, ControlChannel(ours), None)  # type: ignore[arg-type]
        assert not child.is_stopped()
        child.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert child.is_stopped()
        child.kill()
        process.wait()
        assert not child.is_stopped()
        child.release()
        theirs.close()
