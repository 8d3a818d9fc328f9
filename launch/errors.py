"""Problems that a user can mend: what, where, how; each kind with its exit code."""

from __future__ import annotations

import errno
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    TRAINING_FAILED = 1
    USAGE = 2
    NO_SUCH_RUN = 3
    MACHINE_NOT_FIT = 4
    TIMED_OUT = 124
    INTERRUPTED = 130
    TERMINATED = 143


class UserProblem(Exception):
    """What and where in ``what``; how to mend it in ``hint``."""

    code = Exit.USAGE

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


class UsageProblem(UserProblem):
    """A wrong flag, configuration or file."""


class NoSuchRun(UserProblem):
    """The run is not there, or not live although the command needs it to be."""

    code = Exit.NO_SUCH_RUN


class MachineNotFit(UserProblem):
    """This machine cannot do it: memory, disk, ports, platform."""

    code = Exit.MACHINE_NOT_FIT


_MACHINES_FAULT = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "choose a --run on a disk that you can write to",
    errno.EACCES: "choose a --run on a disk that you can write to",
    errno.EPERM: "choose a --run on a disk that you can write to",
    errno.EMFILE: "raise the limit of open files, see: scalmarl doctor",
    errno.ENFILE: "raise the limit of open files, see: scalmarl doctor",
    errno.ENOMEM: "close other programs, or lower --agents or --envs",
    errno.EAGAIN: "raise the limit of processes (ulimit -u), or lower --agents",
}


def blame_machine(error: OSError) -> MachineNotFit | None:
    """What the operating system refused, and the cure; ``None`` where the fault is not the machine's."""
    cure = _MACHINES_FAULT.get(error.errno or 0)
    where = f": {error.filename}" if error.filename else ""
    return MachineNotFit(f"{error.strerror}{where}", f"{cure}; then try again, nothing is lost") if cure else None


class TimedOut(UserProblem):
    """Something that should have happened by now has not."""

    code = Exit.TIMED_OUT


class TrainingFailed(UserProblem):
    """The run cannot go on."""

    code = Exit.TRAINING_FAILED
