"""Problems that a user can mend: what, where, how; each kind with its exit code."""

from __future__ import annotations

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


class TrainingFailed(UserProblem):
    """The run cannot go on."""

    code = Exit.TRAINING_FAILED
