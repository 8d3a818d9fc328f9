"""The figures of a round under the names that the field gives them, for TensorBoard and for tables.

Rules of this file: pure. ``return/team``, ``cost/agent_003``, ``update/kl_003``: what it is of, then what, then whose.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TEAM = {
    "return/team": "return_team",
    "return/rate": "return_rate",
    "cost/team": "cost_team",
    "cost/rate": "cost_rate_team",
    "distance/team": "distance",
    "distance/rate": "distance_rate",
    "time/round_s": "wall_s",
    "time/sample_s": "sample_s",
    "time/update_s": "update_s",
}
"""Name -> key of ``metrics.jsonl``. ``team``: mean over the episodes that ended in the round; ``rate``: what the round
comes to over a whole episode."""
AGENT = {
    "cost/agent": "cost_agent",
    "cost/estimate": "cost_estimate_agent",
    "cost/limit": "cost_limit",
    "comm/bytes_sent": "bytes_agent",
    "update/kl": "kl_agent",
    "update/kl_largest": "kl_max_agent",
    "update/radius": "radius_agent",
    "update/multiplier": "lambda_agent",
    "update/clip_fraction": "clip_fraction",
    "update/epochs": "epochs",
    "policy/std": "policy_std",
    "policy/entropy": "policy_entropy",
}
"""The same for what every agent has one of, or one per cost."""
EXPLAINED = "critic/explained_variance"


def team_scalars(line: dict[str, Any]) -> dict[str, float]:
    """The team's figures of a line of ``metrics.jsonl``; what it has none of is left out."""
    return {name: float(line[key]) for name, key in TEAM.items() if line.get(key) is not None}


def agent_scalars(line: dict[str, Any], agent: int) -> dict[str, float]:
    """An agent's figures, without its number in their names; empty for one that was absent."""
    if line.get("kl_agent") is None or line["kl_agent"][agent] is None:
        return {}
    found = dict(_numbered(AGENT, line, agent))
    explained = (line.get("explained_variance") or {agent: None})[agent] or []
    for index, value in enumerate(explained):
        cost = "" if index == 0 else "_cost" if len(explained) == 2 else f"_cost_{index - 1}"
        if value is not None:
            found[EXPLAINED + cost] = float(value)
    return found


def _numbered(names: dict[str, str], line: dict[str, Any], agent: int) -> Iterator[tuple[str, float]]:
    for name, key in names.items():
        value = line[key][agent] if line.get(key) is not None else None
        if isinstance(value, list):
            several = len(value) > 1
            yield from ((f"{name}_{n}" if several else name, float(x)) for n, x in enumerate(value) if x is not None)
        elif value is not None:
            yield name, float(value)


def scalars(line: dict[str, Any]) -> dict[str, float]:
    """All figures of a line under their full names; agents have three digits."""
    found = team_scalars(line)
    for agent in range(len(line["kl_agent"])):
        found |= {f"{name}_{agent:03d}": value for name, value in agent_scalars(line, agent).items()}
    return found
