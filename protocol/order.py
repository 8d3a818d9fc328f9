"""The order of turns in a round: a pure function of (plan, round), so coordinator and agents agree without a
message.
"""

from __future__ import annotations

from dataclasses import replace

from scalmarl.protocol.keys import Kind
from scalmarl.protocol.kinds import is_exchanged
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.streams import Purpose, stream

ORDERS = ("colour", "permutation", "fixed")


def turn_order(plan: Plan, round: int) -> tuple[int, ...]:
    """The agents that take part, in the order of their turns.

    ``colour``: colour by colour, the colours permuted afresh each round; agents of one colour are further than kappa
    hops apart, so they need nothing from one another. ``permutation``: a fresh permutation of all. ``fixed``: 0..N-1.
    """
    agents = list(range(plan.agents))
    draw = stream(plan.seed, purpose=Purpose.TURN_ORDER, round=round)
    if plan.order == "permutation":
        agents = [int(agent) for agent in draw.permutation(plan.agents)]
    elif plan.order == "colour":
        rank = draw.permutation(max(plan.colours) + 1)
        agents = sorted(agents, key=lambda agent: (rank[plan.colours[agent]], agent))
    return tuple(agent for agent in agents if agent not in plan.absent)


def predecessors(plan: Plan, round: int) -> tuple[frozenset[int], ...]:
    """For each agent, the agents inside kappa hops whose turn comes before its own; none where nobody tells of its
    turn, so that nobody waits."""
    if not is_exchanged(plan, Kind.TURN):
        return (frozenset(),) * plan.agents
    place = {agent: index for index, agent in enumerate(turn_order(plan, round))}
    return tuple(
        frozenset(other for other in plan.heard(agent) if place[other] < place[agent]) for agent in range(plan.agents)
    )


def waves(plan: Plan, round: int) -> tuple[tuple[int, ...], ...]:
    """The turns of a round in waves: those of one wave may be held at once. ``serial``: one turn in each."""
    order = turn_order(plan, round)
    if plan.schedule == "serial":
        return tuple((agent,) for agent in order)
    before = predecessors(plan, round)
    depth: dict[int, int] = {}
    found: list[list[int]] = []
    for agent in order:
        depth[agent] = 1 + max((depth[other] for other in before[agent]), default=0)
        found += [[] for _ in range(depth[agent] - len(found))]
        found[depth[agent] - 1].append(agent)
    return tuple(tuple(sorted(wave)) for wave in found)


def phases(plan: Plan, round: int) -> int:
    """Turns in the longest chain of waiting under the ``wavefront`` schedule."""
    return len(waves(replace(plan, schedule="wavefront"), round))
