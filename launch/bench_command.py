"""placeholder"""

import click


@click.group()
def bench() -> None:
    """Measure."""
