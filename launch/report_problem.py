"""How a problem is told: what and where, then how to mend it."""

from __future__ import annotations

import json
import sys

from scalmarl.launch.errors import UserProblem


def report_problem(problem: UserProblem, as_json: bool = False) -> None:
    """On stderr as two lines, or on stdout as one JSON document."""
    if as_json:
        print(json.dumps({"error": {"code": int(problem.code), "message": problem.what, "hint": problem.hint}}))
        return
    print(f"error: {problem.what}\nhint: {problem.hint}", file=sys.stderr)
