"""``scalmarl completion``: the script that lets a shell complete commands and options, as click makes it."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
WHERE = {
    "bash": 'eval "$(scalmarl completion bash)"          # in ~/.bashrc',
    "zsh": 'eval "$(scalmarl completion zsh)"           # in ~/.zshrc',
    "fish": "scalmarl completion fish | source           # in ~/.config/fish/config.fish",
}


@click.command(
    help="Print the completion script of a shell.\n\n\b\n" + "\n".join(WHERE.values()),
    short_help="Print the completion script of a shell.",
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script."""
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(context.find_root().command, {}, "scalmarl", "_SCALMARL_COMPLETE").source())
