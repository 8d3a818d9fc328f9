"""stdin, stdout and stderr as the launcher wants them: always open, and harmless when nobody listens any more."""

from __future__ import annotations

import contextlib
import os
import sys


def hold_standard_streams() -> None:
    """Open what was closed of stdin, stdout and stderr (``>&-``), so that no file of a run ever takes its number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def fall_silent(descriptor: int) -> None:
    """From here on, what is written to a stream goes nowhere."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
