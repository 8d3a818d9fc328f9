"""Starting operating-system processes: agents from a warm fork server, the others by exec; each tied to this launcher.

The fork server is multiprocessing's own. A child is watched through its pidfd, because the fork server, not this
process, is an agent's parent, and because a killed fork server makes multiprocessing report exits that did not happen.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Protocol

import psutil

from scalmarl.launch.entry import ONE_THREAD
from scalmarl.launch.errors import MachineNotFit
from scalmarl.launch.sim_tools import command_of, environment_of_world
from scalmarl.protocol.control import ControlChannel
from scalmarl.protocol.keys import Role, role_of
from scalmarl.protocol.lifeline import LAUNCHER_VARIABLE

FORK_TRIES = 5
LEAVE_WITHIN_S = 1.0
DIE_WITHIN_S = 5.0
PRELOAD = "scalmarl.agents.preload"
_MODULES = {Role.SIM: "scalmarl.sim_server", Role.COORDINATOR: "scalmarl.coordinator"}
# Give memory back to the kernel: an agent keeps 55 MB instead of 64 (scalmarl bench memory).
_RETURN_MEMORY = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "1048576", "MALLOC_MMAP_THRESHOLD_": "1048576"}


class _Handle(Protocol):
    def exit_code(self) -> int | None:
        """The code once the process has ended (negative: a signal), ``None`` when nobody could tell."""


class Child:
    """One started process: pid, pidfd, and the launcher's end of its control channel. Raises ``ProcessLookupError`` if
    it is gone already."""

    def __init__(self, pid: int, channel: ControlChannel, handle: _Handle) -> None:
        self.pid = pid
        self.channel = channel
        self.pidfd = os.pidfd_open(pid)
        self._handle = handle

    def exit_code(self) -> int | None:
        """The exit code; call it only once the pidfd is readable."""
        return self._handle.exit_code()

    def signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def is_stopped(self) -> bool:
        """Whether somebody holds it up from outside: SIGSTOP, or a debugger."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
        return False

    def kill(self) -> None:
        """SIGKILL, which also ends a stopped process."""
        self.signal(signal.SIGKILL)

    def release(self) -> None:
        """Give back its descriptors."""
        os.close(self.pidfd)
        self.channel.close()


class _Executed:
    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen

    def exit_code(self) -> int | None:
        return self._popen.wait()


class _Forked:
    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process

    def exit_code(self) -> int | None:
        self._process.join(0.5)
        code = self._process.exitcode
        # 255 is what multiprocessing reports when the fork server died; the chain then killed the agent.
        return None if code == 255 else code


def end_children(children: Sequence[Child]) -> None:
    """Ask, wait a moment, kill, and wait until every one is gone and released."""
    for child in children:
        child.channel.send({"type": "stop"})
    _await_ends(children, LEAVE_WITHIN_S)
    for child in children:
        child.kill()
    _await_ends(children, DIE_WITHIN_S)
    for child in children:
        child.exit_code()
        child.release()


def _await_ends(children: Sequence[Child], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    waiting = {child.pidfd for child in children}
    with selectors.DefaultSelector() as selector:
        for pidfd in waiting:
            selector.register(pidfd, selectors.EVENT_READ)
        while waiting and time.monotonic() < deadline:
            for key, _ in selector.select(max(0.0, deadline - time.monotonic())):
                waiting.discard(key.fd)
                selector.unregister(key.fd)


class Nursery:
    """Starts children. Call from the main thread only: the parent-death signal fires when the forking thread ends.

    ``world_python``: the interpreter of the sim server, if it is another one."""

    def __init__(self) -> None:
        self.world_python: str | None = None
        self.began = time.monotonic()
        os.environ[LAUNCHER_VARIABLE] = str(os.getpid())
        os.environ.update(ONE_THREAD | _RETURN_MEMORY)
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([PRELOAD])

        # Started now, so that its imports (torch: most of a launch's time) run beside everything else.
        multiprocessing.forkserver.ensure_running()

    def _fork(self, ours: socket.socket, theirs: socket.socket) -> Child:
        # Imported here, so that the fork server is at work before this process has read what an agent needs.
        from scalmarl.agents import process as agent_process

        for _ in range(FORK_TRIES):
            forked = self._context.Process(target=agent_process.main, args=(theirs,), daemon=True)
            try:
                forked.start()
                assert forked.pid is not None
                return Child(forked.pid, ControlChannel(ours), _Forked(forked))
            except (EOFError, ConnectionError, ProcessLookupError):
                # The fork server died under our hands, and multiprocessing starts another one at the next try; or the
                # agent did before it could be watched, and knew nothing yet.
                time.sleep(0.1)
        raise MachineNotFit(
            f"the fork server, or the agent, died {FORK_TRIES} times while an agent was started",
            "something kills it, often a lack of memory: see scalmarl doctor and the kernel's log, then resume the run",
        )

    def start(self, process: int) -> Child:
        """Start a process; it waits for its charge on the control channel. Raises ``OSError``, ``MachineNotFit``."""
        ours, theirs = ControlChannel.pair()
        try:
            if role_of(process) is Role.AGENT:
                return self._fork(ours, theirs)
            steps_world = role_of(process) is Role.SIM
            command = command_of(_MODULES[role_of(process)], self.world_python if steps_world else None)
            popen = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env=environment_of_world() if steps_world else None,
            )
            return Child(popen.pid, ControlChannel(ours), _Executed(popen))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
