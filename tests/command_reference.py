"""The command reference, read off the click tree: what every command does, takes and prints."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import click

from scalmarl.launch.cli import main


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with the words that call it."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, f"{path} {name}")
    else:
        yield path, command


def reference() -> str:
    """A section for each command."""
    return "\n\n".join("\n\n".join(section(path, command)) for path, command in commands(main, "scalmarl"))


def section(path: str, command: click.Command) -> Iterator[str]:
    """Heading, help, examples, and the table of options."""
    yield f"## {path}"
    paragraphs = [paragraph.strip("\n") for paragraph in inspect.cleandoc(command.help or "").split("\n\n")]
    for paragraph in paragraphs:
        if paragraph.startswith("\b"):
            lines = [line.rstrip() for line in paragraph.split("\n")[1:]]
            yield "\n".join(f"    {line}" for line in lines)
        elif paragraph:
            yield " ".join(paragraph.split())
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    words = " ".join([path, *(argument.make_metavar(click.Context(command)) for argument in arguments), "[OPTIONS]"])
    yield f"    {words}"
    rows = [row(option) for option in command.params if isinstance(option, click.Option) and not option.hidden]
    if rows:
        yield "\n".join(["| option | meaning | default |", "|---|---|---|", *rows])


def row(option: click.Option) -> str:
    """Of the table of options."""
    context = click.Context(click.Command("none"))
    value = (
        ""
        if option.is_flag
        else f" {option.metavar or option.type.get_metavar(option, context) or option.type.name.upper()}"
    )
    names = ", ".join([*option.opts, *option.secondary_opts])
    text, _, default = (option.help or "").partition("[default: ")
    given: Any = default.rstrip("] ") if default else option.default
    shown = str(given) if isinstance(given, (str, int, float)) and not isinstance(given, bool) else ""
    escaped = " ".join(text.split()).replace("|", r"\|")
    return f"| `{names}{value}` | {escaped} | {shown} |".replace("  ", " ")
