"""Readings of option texts that more than one command shares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import click

from scalmarl.launch.errors import UsageProblem

_TIME = r"(\d+(?:\.\d+)?)\s*(h|min|ms|us|m|s)"
_UNITS = {"h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
_PER_INCH = {"in": 1.0, "cm": 2.54, "mm": 25.4}
KEY_OF_FLAG = {
    "agents": "run.agents", "kappa": "run.kappa", "kappa_unit": "run.kappa_unit", "task": "world.task",
    "algo": "run.algo", "graph": "run.graph", "rounds": "run.rounds", "envs": "world.envs", "steps": "world.steps",
    "seed": "run.seed", "schedule": "run.schedule", "on_loss": "run.on_loss", "order": "run.order",
    "reward": "world.reward", "cost": "world.cost", "limit": "world.limit", "physics": "world.physics",
    "coupling": "world.coupling", "link": "processes.links", "world": "world.task", "python": "world.python",
    "arguments": "world.arguments",
}  # fmt: skip
"""Option of a command that makes runs -> key of the configuration."""


def keys_of(flags: Mapping[str, Any]) -> dict[str, Any]:
    """``section.key`` -> value of the options that were given. Raises ``UsageProblem``."""
    if flags.get("task") and flags.get("world"):
        raise UsageProblem("--task and --world are both given", "leave one out")
    return {KEY_OF_FLAG[name]: value for name, value in flags.items() if value is not None}


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


def words(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a list: repeated options, or separated by commas."""
    return tuple(word.strip() for text in texts for word in text.split(",") if word.strip())


def inches(ctx: click.Context, param: click.Parameter, text: str) -> float:
    """``3.4``, ``3.4in``, ``8.6cm``, ``86mm``."""
    pieces = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(in|cm|mm|)", text.strip())
    if not pieces:
        raise click.BadParameter(f"{text!r} is not a length like 3.4in, 8.6cm or 86mm")
    found = float(pieces[1]) / _PER_INCH[pieces[2] or "in"]
    if not 2.0 <= found <= 20.0:
        raise click.BadParameter(f"{text!r} is not between 2 and 20 inches")
    return found


def seconds(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """``90m``, ``2h``, ``1h30m``, ``45s``, ``200ms``, ``50us``."""
    if text is None:
        return None
    found = read_seconds(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not a time like 2s, 200ms, 90m or 1h30m")
    return found


def read_seconds(text: str) -> float | None:
    """A time as ``seconds`` reads it; ``None`` where it is none."""
    pieces = re.findall(_TIME, text)
    if not pieces or re.sub(_TIME, "", text).strip():
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in pieces)
