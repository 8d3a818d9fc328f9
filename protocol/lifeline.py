"""A process dies with its parent: Linux's parent-death signal, armed in every link of the chain.

The launcher's SIGKILL must leave nothing behind. The signal is cleared by fork and is not retroactive, so every process
arms it for itself and then checks that its parent is still the one it expects.
"""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
LAUNCHER_VARIABLE = "SCALMARL_LAUNCHER_PID"
"""In the environment of a process that has no better way to learn whose it is."""
STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""Whoever is going to answer them later holds them back meanwhile; a child must not inherit that."""


def hold_stop_signals() -> None:
    """From here on a request to stop waits, also over an exec, until ``release_stop_signals``."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def release_stop_signals() -> None:
    """Let waiting and coming requests through."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def die_with_parent(parent: int, by: signal.Signals = signal.SIGKILL) -> None:
    """Arrange to be killed when ``parent`` dies, and exit now if it is dead already. Raises ``OSError``."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, by, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(0)


def end_with(parent: int) -> None:
    """In a launch that a command runs for itself, before it begins: when the command dies, end at the next commit; and
    let requests to stop through."""
    die_with_parent(parent, signal.SIGINT)
    release_stop_signals()


def die_with_launcher() -> None:
    """The same, for the parent that the environment names; a process that was started by hand has none."""
    if LAUNCHER_VARIABLE in os.environ:
        die_with_parent(int(os.environ[LAUNCHER_VARIABLE]))
