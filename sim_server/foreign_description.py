"""``python -m scalmarl.sim_server.foreign_description < WISH_JSON``: what a world from outside is, before it runs.

The wish: ``task``, ``directory``, ``arguments``, ``agents``, ``reward``, ``cost``, ``limit``, ``horizon``. Prints
``{"spec": ...}`` or ``{"problem": ...}``. It makes one copy, resets it and takes one step, since only a step shows the
costs.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scalmarl.protocol.lifeline import die_with_launcher
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.foreign_copy import NO_COST, ContractBroken, ForeignCopy, called, open_callable
from scalmarl.sim_server.foreign_spaces import Box
from scalmarl.sim_server.task_family import PRESENCE, PUBLISHED_STD, REWARDS

HORIZON, LIMIT = 1000, 25.0
"""Taken, and said, where the world names none."""
HORIZON_NAMES = ("max_cycles", "max_steps", "max_episode_steps", "_max_episode_steps")
MODES = ("local", "team")


def describe_foreign(wish: Mapping[str, Any]) -> TaskSpec:
    """The description of the world of a wish. Raises ``ContractBroken``."""
    make, cost = open_callable(wish["task"], wish["directory"]), wish["cost"] or ""
    counted = open_callable(cost, wish["directory"]) if ":" in cost else cost
    copy = ForeignCopy(make, wish["arguments"], NO_COST if cost == NO_COST else counted if callable(counted) else "")
    about: Mapping[str, Any] = getattr(copy.env, "metadata", None) or {}
    agents = len(copy.names)
    if wish["agents"] not in (None, agents):
        raise ContractBroken(f"it has {agents} agents, not {wish['agents']}; leave --agents out, or give it arguments")
    modes = _modes(wish, about)
    copy.reset(0)
    blocks = [(*copy.entries(agent), PRESENCE) for agent in range(agents)]
    costs = _costs_of(copy)
    told = about.get("cost_limits") if cost in ("", *MODES) else 0.0 if cost == NO_COST else None
    limits, limit_notes = _limits(wish["limit"], told, [str(name) for name in copy.names], costs)
    horizon, horizon_notes = _horizon(wish["horizon"], about, copy.env)
    edges = _edges(copy)
    name, _, partition = wish["task"].partition(":")
    notes = [*limit_notes, *horizon_notes, *map(str, about.get("notes", ()))]
    if cost == NO_COST:
        notes.append("no costs are counted (--cost none): nothing constrains this run")
    return TaskSpec(
        name=name,
        partition=partition,
        agents=agents,
        parameters={
            "maker": wish["task"],
            "directory": wish["directory"],
            "arguments": dict(wish["arguments"]),
            "cost": cost if cost == NO_COST or ":" in cost else "",
            "names": [str(name) for name in copy.names],
            "shared_reward": about.get("reward") == "team",
            "has_graph": edges is not None,
        },
        physics="its own",
        source=f"{type(copy.env.unwrapped if hasattr(copy.env, 'unwrapped') else copy.env).__name__} of {wish['task']}",
        horizon=horizon,
        control_dt=1.0 / float(about["render_fps"]) if about.get("render_fps") else 1.0,
        block_sizes=tuple(len(block) for block in blocks),
        block_entries=tuple(blocks),
        action_sizes=tuple(space.size if isinstance(space, Box) else 1 for space in copy.actions),
        action_entries=tuple(
            space.entries("action") if isinstance(space, Box) else ("choice",) for space in copy.actions
        ),
        action_choices=tuple(0 if isinstance(space, Box) else space.n for space in copy.actions),
        cost_names=tuple(tuple(f"cost {j}" if m > 1 else "cost" for j in range(m)) for m in costs),
        cost_limits=limits,
        edges=tuple(edges or ()),
        reward_mode=modes[0],
        cost_mode=modes[1],
        standing_still_return=None,
        standing_still_cost=None,
        standing_still_distance=None,
        initial_std=PUBLISHED_STD,
        nonlocal_facts=tuple(
            map(str, about.get("nonlocal", ("whatever the world's own code makes so: only its author can tell",)))
        ),
        notes=tuple(notes),
    )


def _modes(wish: Mapping[str, Any], about: Mapping[str, Any]) -> tuple[str, str]:
    """How rewards and costs are given out."""
    shared = about.get("reward") == "team"
    reward = wish["reward"] or ("team" if shared else "local")
    if reward not in REWARDS:
        raise ContractBroken(f"it has no reward mode {reward!r}; choose local or team")
    if shared and reward == "local":
        raise ContractBroken("it pays everybody the team's reward, of which nobody's share is known; use --reward team")
    cost = wish["cost"] or about.get("cost", "local")
    if cost not in MODES and cost != NO_COST and ":" not in cost:
        raise ContractBroken(f"it has no cost mode {cost!r}; choose local, team, none, or module:function")
    return reward, cost if cost in MODES else "local"


def _costs_of(copy: ForeignCopy) -> list[int]:
    """How many costs each agent has, found by one step in which nobody does anything."""
    at_rest = [np.zeros(space.size if isinstance(space, Box) else 1, np.float32) for space in copy.actions]
    told = copy.step(at_rest)
    return [max(len(costs), 1) for costs in told.costs]


def _limits(
    wanted: Any, told: Any, names: Sequence[str], costs: Sequence[int]
) -> tuple[tuple[tuple[float, ...], ...], list[str]]:
    """Limits per agent and cost, as ``wanted`` or as the world ``told``, and what to say of them."""
    notes = []
    given = wanted if wanted is not None else told
    if given is None:
        given = LIMIT
        notes.append(f"the world names no cost limit (metadata['cost_limits']): {LIMIT:g} per episode; --limit sets it")
    if isinstance(given, Mapping):
        missing = [name for name in names if name not in {str(key) for key in given}]
        if missing:
            raise ContractBroken("its metadata['cost_limits'] has no limit for it", missing[0])
        by_name = {str(name): limit for name, limit in given.items()}
        given = [by_name[name] for name in names]
    rows = [given] * len(names) if isinstance(given, (int, float)) else list(given)
    if len(rows) != len(names):
        raise ContractBroken(f"there are {len(rows)} cost limits for {len(names)} agents; give one, or one per agent")
    limits = []
    for row, count, name in zip(rows, costs, names):
        own = [float(row)] * count if isinstance(row, (int, float)) else [float(limit) for limit in row]
        if len(own) != count or not all(np.isfinite(limit) and limit >= 0 for limit in own):
            raise ContractBroken(f"its cost limits are {own} for {count} costs; give a number from 0 for each", name)
        limits.append(tuple(own))
    return tuple(limits), notes


def _horizon(wanted: int | None, about: Mapping[str, Any], env: Any) -> tuple[int, list[str]]:
    """Control steps of an episode, and what to say of them."""
    places = (env, getattr(env, "unwrapped", None))
    told = [about.get("horizon"), *(getattr(place, name, None) for place in places for name in HORIZON_NAMES)]
    for steps in (wanted, *told):
        if isinstance(steps, (int, np.integer)) and steps >= 1:
            return int(steps), []
    return HORIZON, [
        f"the world does not say how long an episode is (metadata['horizon']): {HORIZON} control steps; "
        f"--set world.horizon=N sets it"
    ]


def _edges(copy: ForeignCopy) -> list[tuple[int, int]] | None:
    """Pairs of agents of ``env.neighbour_graph()`` (a networkx graph, or pairs of names); ``None`` without one."""
    if not hasattr(copy.env, "neighbour_graph"):
        return None
    graph = called(copy.env.neighbour_graph, "neighbour_graph raised")
    what = "its neighbour_graph() is neither a networkx graph nor pairs of its agents"
    edges: list[tuple[int, int]] = called(_numbered, what, graph, copy.names)
    return edges


def _numbered(graph: Any, names: Sequence[Any]) -> list[tuple[int, int]]:
    """The edges by number, each once and without loops."""
    place = {name: agent for agent, name in enumerate(names)}
    pairs = list(graph.edges if hasattr(graph, "edges") else graph)
    strangers = [name for pair in pairs for name in pair if name not in place]
    strangers += [name for name in getattr(graph, "nodes", ()) if name not in place]
    if strangers:
        raise ContractBroken(f"its neighbour_graph() names {strangers[0]!r}, which is none of its possible_agents")
    missing = [name for name in names if hasattr(graph, "nodes") and name not in graph.nodes]
    if missing:
        raise ContractBroken("it is not in its neighbour_graph(); add it as a node", str(missing[0]))
    return sorted({(min(place[a], place[b]), max(place[a], place[b])) for a, b in pairs if a != b})


if __name__ == "__main__":
    die_with_launcher()
    told = sys.stdout
    # A world that prints must not break the answer.
    with contextlib.redirect_stdout(sys.stderr):
        wished = json.load(sys.stdin)
        try:
            answer: dict[str, Any] = {"spec": describe_foreign(wished).to_data()}
        except ContractBroken as broken:
            who = f"agent {broken.agent}: " if broken.agent else ""
            answer = {"problem": f"{wished['task']}: {who}{broken}"}
    json.dump(answer, told)
