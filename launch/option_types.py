"""Readings of option texts that more than one command shares."""

from __future__ import annotations

import re

import click

_TIME = r"(\d+(?:\.\d+)?)\s*(h|min|ms|us|m|s)"
_UNITS = {"h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}


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


def seconds(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """``90m``, ``2h``, ``1h30m``, ``45s``, ``200ms``, ``50us``."""
    if text is None:
        return None
    pieces = re.findall(_TIME, text)
    if not pieces or re.sub(_TIME, "", text).strip():
        raise click.BadParameter(f"{text!r} is not a time like 2s, 200ms, 90m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in pieces)
