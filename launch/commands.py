"""The group of all commands: with ``--json`` also what click itself refuses is told as one JSON document."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from scalmarl.launch.errors import Exit, UsageProblem
from scalmarl.launch.report_problem import report_problem

ELSEWHERE = {
    "bench": "bench.command:bench",
    "chaos": "chaos_command:chaos",
    "claims": "claims.command:claims",
    "compare": "comparison.command:compare",
    "completion": "completion_command:completion",
    "config": "config_command:config",
    "dash": "dash.command:dash",
    "doctor": "doctor:doctor_command",
    "env": "env_command:env",
    "eval": "eval_command:evaluate",
    "explain": "explain_command:explain",
    "plan": "scaling.command:plan",
    "plot": "figures.command:plot",
    "replay": "replay_command:replay",
    "report": "report_command:report",
    "runs": "runs_command:runs",
    "top": "top_command:top",
    "verify": "verify_command:verify",
}
"""Commands that are read when they are called for, and not by everybody who launches a run: module and name."""


class Commands(click.Group):
    """A click group whose usage errors follow ``--json``, and which reads most of its commands late."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Of both kinds."""
        return sorted({*super().list_commands(ctx), *ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """As ``click.Group.get_command``."""
        if cmd_name in ELSEWHERE and cmd_name not in self.commands:
            module, _, name = ELSEWHERE[cmd_name].partition(":")
            self.add_command(getattr(importlib.import_module(f"scalmarl.launch.{module}"), name), cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As ``click.Group.resolve_command``, with all names to choose a misspelt one's neighbour from."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=self.list_commands(ctx), ctx=ctx
            ) from None

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
