"""Readings of option texts that more than one command shares."""

from __future__ import annotations

import click


def limits(ctx: click.Context, param: click.Parameter, text: str | None) -> float | list[float] | None:
    """``5``, or ``5,5,10``: one number, or one per agent."""
    if text is None:
        return None
    try:
        found = [float(word) for word in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a number like 5 nor a list like 5,5,10") from None
    return found[0] if len(found) == 1 else found


def several(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> list[str] | None:
    """All texts of a repeatable option; ``None`` where it was not given."""
    return list(texts) or None
