"""T8 to T10 with real learners: how far a round's news travels, in which order turns may be taken, who must be alive.

Hops on a path, with kappa 1 and two phases and with kappa 2 and three. What an agent's world tells it goes kappa hops
as a state, kappa as an advantage, and kappa per phase but the first as a turn: (1 + phases) * kappa.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scalmarl.protocol.effects import Checkpoint, Effect, Put
from scalmarl.protocol.keys import SIM, Key, Kind
from scalmarl.protocol.order import phases, predecessors, turn_order
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.simulated_process import InvariantBroken

MakePlan = Callable[..., Plan]
Play = Callable[..., Any]
SIZES = {1: 9, 2: 12}
"""kappa -> agents, more than news from an end can reach."""
KAPPA = 1
AGENTS = SIZES[KAPPA]
SMALL: dict[str, Any] = {
    "steps": 6,
    "copies": 4,
    "groups": 1,
    "hidden": (4, 4),
    "policy_lr": 1e-2,
    "policy_epochs": 2,
    "critic_epochs": 1,
    "minibatches": 2,
}


def local_plan(make_plan: MakePlan, kappa: int = KAPPA, **chosen: Any) -> Plan:
    return make_plan(SIZES[kappa], kappa, **{**SMALL, "rounds": 1, **chosen})


def furthest(plan: Plan, play: Play, source: int, **world: Any) -> dict[str, int]:
    """How many hops from ``source`` the furthest difference is: of what agents say, and of their files."""
    calm = play(plan, coupled=False, **{**world, "disturbed": None})
    moved = play(plan, coupled=False, **world)
    assert calm.said.keys() == moved.said.keys()
    said = {key.subject for key, value in calm.said.items() if value.tobytes() != moved.said[key].tobytes()}
    # The digest of a file is said too; files are compared by themselves.
    told = {
        key.producer
        for key, value in calm.said.items()
        if key.producer != SIM and key.kind is not Kind.DONE and value.tobytes() != moved.said[key].tobytes()
    }
    assert source in said
    files = {agent for agent in range(plan.agents) if calm.files[agent][1] != moved.files[agent][1]}
    found = {"values": told, "files": files}
    return {name: max((abs(agent - source) for agent in agents), default=-1) for name, agents in found.items()}


@pytest.mark.parametrize("kappa", SIZES)
@pytest.mark.parametrize("radius", ["off", "ledger"])
@pytest.mark.parametrize("source", [0, 1])
@pytest.mark.parametrize("world", ["acts", "deaf"])
def test_news_travels_one_kappa_per_phase_and_one_more(
    kappa: int, radius: str, source: int, world: str, make_plan: MakePlan, play: Play
) -> None:
    """``acts``: the last observation is another one, when all actions are taken; ``deaf``: all are, and no action moves
    anything, so that what travels is the update's news and not the world's."""
    plan = local_plan(make_plan, kappa, radius=radius)
    reach = (1 + phases(plan, 0)) * kappa
    assert reach == {1: 3, 2: 8}[kappa] < plan.agents - 1 - source
    deaf = world == "deaf"
    found = furthest(plan, play, source, deaf=deaf, disturbed=(source, 0 if deaf else plan.steps))
    print(f"kappa {kappa}, radius {radius}, source {source}, {world}: {found}, reach {reach}")
    assert 0 < found["values"] <= reach
    assert 0 < found["files"] <= reach


@pytest.mark.parametrize("kappa", SIZES)
def test_the_news_goes_all_the_way(kappa: int, make_plan: MakePlan, play: Play) -> None:
    """Else the bound above would hold for a run in which nothing is exchanged."""
    plan = local_plan(make_plan, kappa, radius="ledger")
    found = [furthest(plan, play, source, deaf=True, disturbed=(source, 0)) for source in (0, 1)]
    assert max(f["files"] for f in found) == (1 + phases(plan, 0)) * kappa


def test_through_the_world_news_travels_a_hop_per_step(make_plan: MakePlan, play: Play) -> None:
    """Policies read neighbours, so what happens at t = 0 moves actions further and further off while sampling."""
    plan = local_plan(make_plan, radius="off")
    assert furthest(plan, play, 0, disturbed=(0, 0))["values"] > (1 + phases(plan, 0)) * KAPPA


@pytest.mark.parametrize("radius", ["off", "ledger"])
@pytest.mark.parametrize(("kappa", "order"), [(1, "colour"), (1, "permutation"), (1, "fixed"), (2, "colour")])
def test_wavefront_and_serial_give_the_same_bits(
    kappa: int, radius: str, order: str, make_plan: MakePlan, play: Play
) -> None:
    plan = local_plan(make_plan, kappa, radius=radius, order=order, rounds=2)
    wavefront = play(plan, seed=1)
    serial = play(replace(plan, schedule="serial"), seed=2)
    assert wavefront.said.keys() == serial.said.keys()
    assert all(value.tobytes() == serial.said[key].tobytes() for key, value in wavefront.said.items())
    assert {i: wavefront.files[i] for i in range(plan.agents)} == {i: serial.files[i] for i in range(plan.agents)}


def stopped(plan: Plan, last: int) -> tuple[set[int], Callable[[int, Effect], bool]]:
    """Who goes on after the rollout when only what ``last`` needs is alive, and the rule that freezes the others.

    It needs the turns of its predecessors and what they need; of the neighbours of all these only what they say before
    anybody's turn. Everybody else is frozen before it says anything but states.
    """
    before = predecessors(plan, 0)
    alive, open_ = set[int](), [last]
    while open_:
        agent = open_.pop()
        alive.add(agent)
        open_ += before[agent]
    heard = {other for agent in alive for other in plan.neighbours[agent]} - alive

    def stops(me: int, effect: Effect) -> bool:
        if me == SIM:
            return isinstance(effect, Checkpoint) and effect.round > 0
        if me in alive or not isinstance(effect, Put):
            return False
        return effect.key.kind is (Kind.TURN if me in heard else Kind.ADVANTAGE)

    return alive, stops


@pytest.mark.parametrize("schedule", ["wavefront", "serial"])
def test_an_update_is_finished_while_all_that_are_far_are_frozen(
    schedule: str, make_plan: MakePlan, begin: Play, play: Play
) -> None:
    plan = local_plan(make_plan, schedule=schedule, radius="ledger")
    last = turn_order(plan, 0)[-1]
    alive, stops = stopped(plan, last)
    assert len(alive) <= 3
    whole = play(plan).said
    run = begin(plan, stops=stops)
    with pytest.raises(InvariantBroken, match="stuck"):
        run.simulation.run()
    assert not any(key.kind is Kind.COMMIT for key in run.said)
    turns = {key.producer for key in run.said if key.kind is Kind.TURN}
    frozen = [process for process, node in run.simulation.nodes.items() if node.frozen_until == float("inf")]
    print(f"{schedule}: agent {last}, alive {sorted(alive)}, frozen {sorted(frozen)}, turns of {sorted(turns)}")
    assert set(frozen) >= set(range(AGENTS)) - alive - {other for a in alive for other in plan.neighbours[a]}
    turn = Key(last, Kind.TURN, last, 0, 0)
    if schedule == "wavefront":
        assert turns == alive
        assert run.said[turn].tobytes() == whole[turn].tobytes()
    else:
        assert last not in turns
