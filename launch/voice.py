"""How the command line speaks: consoles that print text as it is, and never fail because nobody listens any more."""

from __future__ import annotations

import shlex
import sys
from typing import Any

from rich.console import Console

from scalmarl.launch.standard_streams import fall_silent


def console(stderr: bool = False) -> Console:
    """A console that takes square brackets for what they are."""
    return _Plain(stderr=stderr, markup=False, emoji=False, highlight=False)


class _Plain(Console):
    def on_broken_pipe(self) -> None:
        """The reader of a pipe went away (``| head``): nothing is wrong, and nothing more can be said."""
        fall_silent(self.file.fileno())
        sys.exit(0)


class Patient:
    """A console for the launcher: when it can no longer be written to, the run goes on in silence."""

    def __init__(self, stderr: bool = False) -> None:
        self.console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
        self._descriptor = 2 if stderr else 1

    def print(self, *what: Any, **how: Any) -> None:
        """Print, if anybody listens."""
        try:
            self.console.print(*what, **how)
            self.console.file.flush()
        except (OSError, SystemExit):
            self.give_up()

    def give_up(self) -> None:
        """Say nothing more."""
        fall_silent(self._descriptor)


def shell_words(*words: object) -> str:
    """A command to copy, quoted for the shell."""
    return " ".join(shlex.quote(str(word)) for word in words)
