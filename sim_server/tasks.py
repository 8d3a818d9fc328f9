"""The tasks by name, described without MuJoCo: sizes, graph, costs, limits, and what is not local.

Every ``ValueError`` of this file reads "what is wrong and where; how to mend it".
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.corridor import HALF_WIDTH, PERIOD, scale_for

TASKS = ("safe-manyant",)
MODES = ("local", "team")
DEFAULT_LIMIT = 5.0
CONTROL_DT = 0.02
INITIAL_STD = 0.25
"""At the original 0.37 the control penalty of the noise alone is twice the reward for being alive (8 segments)."""
LONGEST = 256
"""Segments: the longest chain that was built and seen to stand; the cost of a step grows with it."""
JOINTS = ("hip_1", "ankle_1", "hip_2", "ankle_2")

SEGMENT_ENTRIES = (
    *(f"{joint} position (rad)" for joint in JOINTS),
    *(f"{joint} speed (rad/s)" for joint in JOINTS),
    "height z (m)",
    *(f"up vector {axis}, world frame" for axis in "xyz"),
    *(f"linear velocity {axis} (m/s), world frame" for axis in "xyz"),
    *(f"angular velocity {axis} (rad/s), body frame" for axis in "xyz"),
    "progress x / 5 (m)",
    "offset from the corridor's centre line (m)",
    "contact force on foot 1, clipped at 1 (N)",
    "contact force on foot 2, clipped at 1 (N)",
    "cosine of heading",
    "sine of heading",
)
"""What an agent is told of each of its segments; one ``presence`` follows for all of them."""


def describe(
    name: str,
    agents: int,
    *,
    segments: int = 1,
    reward: str = "local",
    cost: str = "local",
    limit: float | Sequence[float] | None = None,
    horizon: int = 1000,
) -> TaskSpec:
    """A task for so many agents in a path, each with ``segments`` neighbouring body segments.

    ``reward`` and ``cost`` are ``local`` (each its own) or ``team`` (everybody the team's); ``limit`` is the cost
    allowed per episode: 5 for each agent, or one number, or one per agent; ``horizon`` is in control steps of 0.02 s.
    Raises ``ValueError``.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; {_nearest(name, TASKS)}")
    for value, what in ((agents, "agents"), (segments, "segments per agent"), (horizon, "control steps per episode")):
        if value < 1:
            raise ValueError(f"{name} with {value} {what}; give at least 1")
    for mode, what in ((reward, "reward"), (cost, "cost")):
        if mode not in MODES:
            raise ValueError(f"{name} has no {what} mode {mode!r}; {_nearest(mode, MODES)}")
    body = agents * segments
    if body > LONGEST:
        raise ValueError(
            f"{name} with {agents} agents of {segments} segments is a chain of {body}; give fewer agents or segments, "
            f"the longest chain that was seen to stand has {LONGEST}"
        )
    entries = (*(f"segment {s}: {entry}" for s in range(segments) for entry in SEGMENT_ENTRIES), "presence")
    return TaskSpec(
        name=name,
        agents=agents,
        parameters={"segments": segments},
        horizon=horizon,
        control_dt=CONTROL_DT,
        block_sizes=(len(entries),) * agents,
        block_entries=(entries,) * agents,
        action_sizes=(len(JOINTS) * segments,) * agents,
        cost_names=(("corridor",),) * agents,
        cost_limits=tuple((value,) for value in _limits(name, agents, limit)),
        edges=tuple((agent, agent + 1) for agent in range(agents - 1)),
        reward_mode=reward,
        cost_mode=cost,
        standing_still_return=_standing_still(body, horizon),
        initial_std=INITIAL_STD,
        nonlocal_facts=_nonlocal(agents, reward, cost),
        notes=_notes(body),
    )


def _nearest(name: str, valid: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, valid, 1, 0.3)
    return (f"did you mean {near[0]}? " if near else "") + f"valid: {', '.join(valid)}"


def _limits(name: str, agents: int, limit: float | Sequence[float] | None) -> list[float]:
    given = DEFAULT_LIMIT if limit is None else limit
    limits = [float(given)] * agents if isinstance(given, (int, float)) else [float(value) for value in given]
    if len(limits) != agents:
        raise ValueError(f"{len(limits)} cost limits for {agents} agents of {name}; give one, or one per agent")
    for agent, value in enumerate(limits):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"cost limit {value:g} of agent {agent} of {name}; give a finite number, at least 0")
    return limits


def _standing_still(body: int, horizon: int) -> float:
    """Team return of zero action over one horizon; checked in tests/sim_server/test_world.py.

    Measured (32 copies, 1 to 32 segments, 1000 steps): while the legs unfold, in about the first 100 steps, the body
    slides forward by up to half a metre, which pays 50 per metre; after that it earns 1 a step less its contact cost.
    Within 1 % of the measured from 200 steps on. A single segment cannot stand on two legs: it falls at step 15.
    """
    if body == 1:
        return 17.8 * min(1.0, horizon / 15.0)
    slide = 25.0 * (1.0 - 1.5 / body) * min(1.0, horizon / 100.0)
    return slide + horizon * (1.0 - 0.0026 - 0.0027 * body)


def _nonlocal(agents: int, reward: str, cost: str) -> tuple[str, ...]:
    if agents == 1:
        return ()
    facts = [
        "a fall of the body ends the episode for every agent",
        "the spine is rigid: its tilt, heading, height and velocity show in every block, whatever kappa",
    ]
    if reward == "team":
        facts.append("every agent is given the team reward")
    else:
        facts.append("the head's speed is in every agent's reward, each with an equal share")
    if cost == "team":
        facts.append("every agent is given the head's cost")
    else:
        facts.append("a fall costs every agent 1")
    return tuple(facts)


def _notes(body: int) -> tuple[str, ...]:
    if body == 1:
        return ("a single segment has two legs and cannot stand: an episode ends after about 15 steps",)
    scale = scale_for(body)
    if scale == 1.0:
        return ()
    return (
        f"{body} segments are too long for the folds of the original corridor: period ({PERIOD * scale:g} m), "
        f"half-width ({HALF_WIDTH * scale:g} m) and the distance to a wall that costs are {scale:g} times as large",
    )
