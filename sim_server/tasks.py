"""The tasks by name, described without MuJoCo: sizes, graph, costs, limits, and what is not local."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.corridor import scale_for

TASKS = ("safe-manyant",)
MODES = ("local", "team")
DEFAULT_LIMIT = 5.0
CONTROL_DT = 0.02
INITIAL_STD = 0.25
JOINTS = ("hip_1", "ankle_1", "hip_2", "ankle_2")
STANDING_CONTACT = 0.00148
"""Contact cost per segment and step of a body at rest, mean over an episode (tests/sim_server/test_world.py)."""

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
    """A task for so many agents, each with ``segments`` body segments. Raises ``ValueError``: what; how to mend it."""
    if name not in TASKS:
        near = difflib.get_close_matches(name, TASKS, 1, 0.3)
        raise ValueError(f"unknown task {name!r}; " + (f"did you mean {near[0]}? " if near else "") + f"tasks: {', '.join(TASKS)}")
    if agents < 1 or segments < 1 or horizon < 1:
        raise ValueError(f"{agents} agents with {segments} segments and horizon {horizon}; each must be at least 1")
    for mode, what in ((reward, "reward"), (cost, "cost")):
        if mode not in MODES:
            raise ValueError(f"{name} has no {what} mode {mode!r}; choose local or team")
    body = agents * segments
    entries = tuple(f"segment {s}: {entry}" for s in range(segments) for entry in SEGMENT_ENTRIES) + ("presence",)
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
        standing_still_return=horizon * (1.0 - STANDING_CONTACT * body),
        initial_std=INITIAL_STD,
        nonlocal_facts=_nonlocal(reward, cost, body),
        notes=_notes(body),
    )


def _limits(name: str, agents: int, limit: float | Sequence[float] | None) -> list[float]:
    given = DEFAULT_LIMIT if limit is None else limit
    limits = [float(given)] * agents if isinstance(given, (int, float)) else [float(value) for value in given]
    if len(limits) != agents:
        raise ValueError(f"{len(limits)} cost limits for {agents} agents of {name}; give one, or one per agent")
    if min(limits) < 0:
        raise ValueError(f"cost limit {min(limits):g} is negative; a cost per episode is at least 0")
    return limits


def _nonlocal(reward: str, cost: str, body: int) -> tuple[str, ...]:
    facts = ["a fall ends the episode for everybody"]
    if body > 1:
        facts.append("the rigid spine's pose and velocity show in every block")
    facts.append("the team reward is everybody's" if reward == "team" else "the head's speed is in every reward")
    facts.append("the head's cost is everybody's" if cost == "team" else "a fall costs everybody 1")
    return tuple(facts)


def _notes(body: int) -> tuple[str, ...]:
    scale = scale_for(body)
    if scale == 1.0:
        return ()
    return (f"{body} segments are too long for the original corridor's folds: its period and width are {scale:g} times as large",)
