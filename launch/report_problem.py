"""How a problem is told: what and where, then how to mend it."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from typing import Any

from scalmarl.launch.errors import Exit, UserProblem, blame_machine
from scalmarl.launch.standard_streams import fall_silent


def report_problem(problem: UserProblem, as_json: bool = False) -> None:
    """On stderr as two lines, or on stdout as one JSON document."""
    document = {"error": {"code": int(problem.code), "message": problem.what, "hint": problem.hint}}
    text, stream = (
        (json.dumps(document), sys.stdout) if as_json else (f"error: {problem.what}\nhint: {problem.hint}", sys.stderr)
    )
    try:
        print(text, file=stream, flush=True)
    except OSError:
        # Nobody can be told; the exit code still says it.
        fall_silent(stream.fileno())


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a problem that the user can mend into its text and exit code."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except UserProblem as problem:
            report_problem(problem, bool(kwargs.get("as_json")))
            sys.exit(int(problem.code))
        except KeyboardInterrupt:
            sys.exit(int(Exit.INTERRUPTED))
        except BrokenPipeError:
            # The reader of a pipe went away (``| head``): nothing is wrong, and nothing more can be said.
            fall_silent(1)
            sys.exit(0)
        except OSError as error:
            refused = blame_machine(error)
            if refused is None:
                raise
            report_problem(refused, bool(kwargs.get("as_json")))
            sys.exit(int(refused.code))

    return run
