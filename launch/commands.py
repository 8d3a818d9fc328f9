"""The group of all commands: with ``--json`` also what click itself refuses is told as one JSON document."""

from __future__ import annotations

import sys
from typing import Any

import click

from scalmarl.launch.errors import Exit, UsageProblem
from scalmarl.launch.report_problem import report_problem


class Commands(click.Group):
    """A click group whose usage errors follow ``--json``."""

    def main(self, *args: Any, **options: Any) -> Any:
        """As ``click.Group.main``."""
        given = args[0] if args else options.get("args")
        words = sys.argv[1:] if given is None else given
        if "--json" not in words or not options.get("standalone_mode", True):
            return super().main(*args, **options)
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
        except click.ClickException as error:
            report_problem(_problem(error), as_json=True)
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(int(Exit.INTERRUPTED))
        sys.exit(code if isinstance(code, int) else 0)


def _problem(error: click.ClickException) -> UsageProblem:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "scalmarl"
    return UsageProblem(error.format_message().rstrip("."), f"see: {command} --help")
