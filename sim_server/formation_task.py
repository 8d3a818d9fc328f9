"""``formation``: separate robots that travel in formation along a corridor with narrowings, described without MuJoCo.

Nothing of it is shared: a robot's block, reward and cost depend on itself, the walls, the robots within its sight and
its neighbours in the graph alone.
"""

from __future__ import annotations

import itertools

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.formation_sensing import BAY, MARGIN, SIGHT
from scalmarl.sim_server.formation_shape import FEWEST, MOST, SHAPES, agents_of, check_number, edges
from scalmarl.sim_server.task_family import PRESENCE, PUBLISHED_STD, REWARDS, Choice, Family, task_of

CONTROL_DT = 0.05
HORIZON = 500
LONGEST = 100_000
"""Control steps: the corridor is built as long as the fastest robot may come (7.5 km)."""
AXES = ("x", "y")
START_OFF = 0.02
"""m; how far a robot starts off its place along each axis at most, uniformly."""
START_SPEED = 0.02
"""m/s; deviation of its speed at the start along each axis."""
COASTING_S = 0.5
"""Time constant of a robot without thrust (s)."""

MEETINGS = (
    "sight and contact follow the place, not the graph: robots that are no neighbours feel each other when they meet"
)

OWN_ENTRIES = (
    *(f"{axis}_{{i}} speed (m/s)" for axis in AXES),
    *(f"robot {{i}}: gap to the {side} wall, at most {SIGHT:g} (m)" for side in ("left", "right")),
    *(f"robot {{i}}: tanh(4 (gap to the {side} wall - {MARGIN:g}))" for side in ("left", "right")),
    *(f"robot {{i}}: {wave} of its place between narrowings, 2 pi x / {BAY:g}" for wave in ("cosine", "sine")),
    f"robot {{i}}: nearest robot within {SIGHT:g} m: ahead, 1 at no gap, 0 at {SIGHT:g} m",
    f"robot {{i}}: nearest robot within {SIGHT:g} m: to the left, 1 at no gap, 0 at {SIGHT:g} m",
    f"robot {{i}}: tanh(4 (gap to the nearest robot - {MARGIN:g}))",
)
"""What a robot senses of itself, the walls and whoever is near, whether a neighbour in the graph or not."""
PAIR_ENTRIES = (
    *(f"robot {{j}} from robot {{i}}: off its place, {axis} (m)" for axis in AXES),
    *(f"robot {{j}} from robot {{i}}: velocity {axis} (m/s)" for axis in AXES),
)
"""What robot i is told of its neighbour j in the graph."""


def heard(pairs: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """(i, j) of every robot i and neighbour j of it, ascending."""
    return tuple(sorted([*pairs, *((other, one) for one, other in pairs)]))


def own_entries(agent: int) -> tuple[str, ...]:
    """``OWN_ENTRIES`` of one robot."""
    return tuple(entry.format(i=agent) for entry in OWN_ENTRIES)


def pair_entries(agent: int, other: int) -> tuple[str, ...]:
    """``PAIR_ENTRIES`` of one pair."""
    return tuple(entry.format(i=agent, j=other) for entry in PAIR_ENTRIES)


def features(agents: int, pairs: tuple[tuple[int, int], ...]) -> tuple[str, ...]:
    """Names of all that blocks are made of. Entry by entry over all robots, then over all pairs: the scene fills each
    with one assignment."""
    own = zip(*(own_entries(agent) for agent in range(agents)))
    told = zip(*(pair_entries(*pair) for pair in heard(pairs)))
    return (*itertools.chain.from_iterable(itertools.chain(own, told)), PRESENCE)


def describe(choice: Choice) -> TaskSpec:
    """See ``tasks.describe``."""
    check_number(choice.agents, choice.partition)
    if choice.horizon > LONGEST:
        raise ValueError(f"formation with {choice.horizon} control steps per episode; give at most {LONGEST}")
    pairs = edges(choice.partition, choice.agents)
    blocks: list[list[str]] = [list(own_entries(agent)) for agent in range(choice.agents)]
    for agent, other in heard(pairs):
        blocks[agent] += pair_entries(agent, other)
    return task_of(
        FAMILY,
        choice,
        owners=tuple(tuple(f"{axis}_{agent}" for axis in AXES) for agent in range(choice.agents)),
        blocks=tuple((*block, PRESENCE) for block in blocks),
        parameters={"coupling": choice.coupling or 0.0},
        control_dt=CONTROL_DT,
        cost="nearness",
        edges=pairs,
        standing_still=(_standing_still(choice), 0.0, 0.0),
        initial_std=PUBLISHED_STD,
        nonlocal_facts=_nonlocal(choice),
        notes=(MEETINGS,),
    )


def _standing_still(choice: Choice) -> float:
    """Nobody gets on, and all stay out of formation by what they started off and coasted: the mean square over both
    axes is twice that of a pair's difference along one, which is twice that of one robot."""
    off = START_OFF**2 / 3 + (START_SPEED * COASTING_S) ** 2
    return -choice.agents * choice.horizon * 4 * off


def _nonlocal(choice: Choice) -> tuple[str, ...]:
    facts = ["every agent is given the team reward"] if choice.reward == "team" else []
    if choice.cost == "team":
        facts.append("every agent is given the same cost")
    return tuple(facts)


def _any_path(agents: int) -> str:
    check_number(agents)
    return "path"


FAMILY = Family(
    name="formation",
    summary="N separate robots travel in formation along a corridor with narrowings, none too near a wall or another",
    source="made for this product",
    partitions=SHAPES,
    agents_of=agents_of,
    partition_for=_any_path,
    rewards=REWARDS,
    costs=("local", "team"),
    limit=10.0,
    horizon=HORIZON,
    describe=describe,
    takes_coupling=True,
    any_number=(FEWEST, MOST),
)
