"""The simulation of a round where its result can be worked out by hand, and that it charges what a round holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scalmarl.launch.config import resolve
from scalmarl.launch.planning import draw_plan
from scalmarl.launch.scaling.costs import (
    AGENT_TERMS,
    Costs,
    Learning,
    WireSizes,
    agent_amounts,
    server_bytes,
    server_frames,
)
from scalmarl.launch.scaling.engine import Machines
from scalmarl.launch.scaling.forecast import forecast, host_pairs, memory_of_hosts
from scalmarl.launch.scaling.simulation import host_of, simulate
from scalmarl.launch.scaling.task import describe_any, stretched
from scalmarl.protocol.keys import COORDINATOR, SIM, Kind
from scalmarl.protocol.ledger import predicted
from scalmarl.protocol.order import phases
from scalmarl.protocol.plan import Plan
from scalmarl.sim_server.tasks import describe

COSTS = Costs(
    physics_call=1e-4, physics_copy=2e-5, physics_agent=3e-5, scoring_call=5e-5, scoring_agent=1e-6, agent_frame=4e-5,
    server_frame=3e-5, byte=1e-9, act_step=1e-4, act_product=1e-10, policy_minibatch=1e-3, critic_minibatch=5e-4,
    train_product=3e-10, update_round=4e-3, server_round=2e-3,
)  # fmt: skip
ONE = Machines(1, 1)


def plan_of(agents: int, kappa: int, **more: Any) -> Plan:
    named = {"world.task": "cheetahs", "run.agents": agents, "run.kappa": kappa, "world.envs": 4, "world.steps": 12}
    named |= {name.replace("__", "."): value for name, value in more.items()}
    return draw_plan(*resolve(None, (), named), describe=describe_any).plan


def all_work(plan: Plan, costs: Costs) -> float:
    """Processor seconds of a round, whoever spends them."""
    agents = sum(
        amount * getattr(costs, term)
        for agent in range(plan.agents)
        for term, amount in zip(AGENT_TERMS, agent_amounts(plan, agent))
    )
    world = plan.steps * plan.groups * (costs.physics_s(plan) + costs.scoring_s(plan))
    frames = server_frames(plan) + 4 * plan.agents + 2
    sizes = WireSizes(plan)
    size = server_bytes(plan) + sum(
        sum(sizes.of(kind, agent) for kind in (Kind.GRANT, Kind.TURN_DONE, Kind.DONE))
        + sizes.of(Kind.COMMIT, COORDINATOR)
        for agent in range(plan.agents)
    )
    size += sizes.of(Kind.DONE, 0) + sizes.of(Kind.COMMIT, COORDINATOR)
    return agents + world + frames * costs.server_frame + size * costs.byte + costs.server_round


@pytest.mark.parametrize(("agents", "kappa"), [(1, 0), (5, 0), (5, 1), (6, 2)])
def test_on_one_core_a_round_is_the_sum_of_all_work(agents: int, kappa: int) -> None:
    plan = plan_of(agents, kappa)
    found = simulate(plan, COSTS, ONE)
    assert found.wall_s == pytest.approx(all_work(plan, COSTS), rel=1e-9)
    assert sum(found.path.values()) == pytest.approx(found.wall_s, rel=1e-9)
    assert found.sample_s < found.wall_s


def test_two_cores_halve_what_two_agents_compute() -> None:
    plan, costs = plan_of(2, 0), Costs(critic_minibatch=1e-3, act_step=1e-2)
    one, two = simulate(plan, costs, ONE), simulate(plan, costs, Machines(1, 2))
    assert two.step_s == pytest.approx(one.step_s / 2) == pytest.approx(1e-2)
    assert two.wall_s == pytest.approx(one.wall_s / 2)


def test_physics_uses_idle_cores_as_far_as_threads_gain() -> None:
    costs = Costs(physics_copy=1e-3, thread_gain=0.5)
    plan = replace(plan_of(1, 0), world_threads=2)
    assert simulate(plan, costs, ONE).step_s == pytest.approx(4e-3)
    assert simulate(plan, costs, Machines(1, 2)).step_s == pytest.approx(4e-3 / 1.5)
    assert simulate(replace(plan, world_threads=1), costs, Machines(1, 2)).step_s == pytest.approx(4e-3)


@pytest.mark.parametrize(("agents", "kappa"), [(1, 2), (2, 2), (8, 0), (8, 1), (8, 2), (31, 2)])
def test_with_a_core_for_everybody_turns_take_one_turn_per_phase(agents: int, kappa: int) -> None:
    plan, costs = plan_of(agents, kappa), Costs(policy_minibatch=1e-2)
    turn = Learning.of(plan, 0).policy_pieces * 1e-2
    found = simulate(plan, costs, Machines(1, agents + 2))
    assert phases(plan, 1) == min(kappa + 1, agents)
    assert found.update_s == pytest.approx(min(kappa + 1, agents) * turn)
    serial = simulate(replace(plan, schedule="serial"), costs, Machines(1, agents + 2))
    assert serial.update_s == pytest.approx(agents * turn)


def test_critics_fill_the_wait_for_a_turn() -> None:
    plan = plan_of(3, 2)
    own = Learning.of(plan, 0)
    policy, critics = own.policy_pieces * 1e-2, own.critic_pieces * own.critics * 1e-3
    found = simulate(plan, Costs(policy_minibatch=1e-2, critic_minibatch=1e-3), Machines(1, 9))
    assert critics < policy
    # Only the first in turn has not trained its critics before its turn, and it does so while the second has its own.
    assert found.update_s == pytest.approx(3 * policy, rel=0.05)


def test_a_slow_link_binds() -> None:
    plan, costs = plan_of(4, 0), Costs(act_step=1e-5)
    sizes = WireSizes(plan)
    remote = [agent for agent in range(4) if host_of(agent, 4, 2) == 1]
    assert remote == [2, 3]
    there = sum(sizes.of(Kind.OBSERVATION, agent) for agent in remote)
    back = sizes.of(Kind.ACTION, remote[-1])
    found = simulate(plan, costs, Machines(2, 4, bandwidth=1e5, latency=1e-3))
    # Both observations pass the port one after the other; the answer to the first is on its way meanwhile.
    assert found.step_s == pytest.approx((there + back) / 1e5 + 2e-3 + 1e-5)
    assert max(found.path, key=lambda name: found.path[name]) == "network"
    fast = simulate(plan, costs, Machines(2, 4, bandwidth=1e12, latency=0.0))
    assert fast.step_s == pytest.approx(1e-5, rel=0.05)


def test_waking_up_is_paid_once_per_hop() -> None:
    plan = plan_of(4, 1)
    assert simulate(plan, Costs(wake=1e-3), Machines(1, 9)).step_s == pytest.approx(3e-3)
    assert simulate(plan_of(4, 0), Costs(wake=1e-3), Machines(1, 9)).step_s == pytest.approx(2e-3)


def test_saving_is_one_after_the_other_on_a_disk() -> None:
    plan = plan_of(6, 0)
    assert simulate(plan, Costs(save=1e-2), Machines(1, 9)).wall_s == pytest.approx(8e-2)
    assert simulate(plan, Costs(save=1e-2), Machines(2, 9)).wall_s == pytest.approx(5e-2)


@pytest.mark.parametrize(
    "more",
    [
        {"run__algo": "ippo"}, {"run__algo": "mappo-l"}, {"run__algo": "happo"}, {"run__order": "permutation"},
        {"run__order": "fixed", "run__schedule": "serial"}, {"world__groups": 2}, {"world__steps": 1},
    ],
)  # fmt: skip
def test_every_structure_of_a_round_comes_to_its_end(more: dict[str, Any]) -> None:
    plan = plan_of(5, 1, **more)
    found = simulate(plan, COSTS, ONE)
    assert found.wall_s == pytest.approx(all_work(plan, COSTS), rel=0.02)


@pytest.mark.parametrize("agent", [0, 1, 4])
def test_what_an_agent_is_charged_for_is_what_the_ledger_says_it_sends(agent: int) -> None:
    plan = plan_of(8, 2)
    sent = predicted(plan, agent).values()
    heard = [
        count
        for other in (*range(8), SIM, COORDINATOR)
        for (to, _), count in predicted(plan, other).items()
        if to == agent
    ]
    size, frames, *_ = agent_amounts(plan, agent)
    assert frames == sum(count.messages for count in (*sent, *heard))
    assert size == sum(count.wire_bytes for count in (*sent, *heard))


def test_a_stretched_chain_is_the_longer_chain() -> None:
    short, long = describe("cheetahs", 8), describe("cheetahs", 20)
    made = stretched(short, 20)
    for name in ("block_sizes", "action_sizes", "action_choices", "cost_limits", "edges", "agents"):
        assert getattr(made, name) == getattr(long, name)
    assert describe_any("cheetahs", 300).agents == 300


def test_a_forecast_names_bytes_memory_and_what_binds() -> None:
    plan = plan_of(8, 2)
    found = forecast(plan, replace(COSTS, physics_agent=1.0, agent_memory=5e7, host_memory=1e8), Machines(4, 2))
    assert found.bottleneck == "physics"
    assert found.share > 0.9
    assert found.agent_steps_per_s == pytest.approx(8 * plan.samples / found.round.wall_s)
    assert found.link_bytes["agent to agent"] == max(
        sum(count.wire_bytes for (to, _), count in predicted(plan, 4).items() if to == other) for other in (2, 3, 5, 6)
    )
    assert set(found.pairs) >= {(0, 1), (1, 0), (1, 2), (0, 3), (3, 0)}
    assert (1, 3) not in found.pairs
    assert host_pairs(plan, 1) == {}
    assert all(size >= 2e8 for size in memory_of_hosts(plan, replace(COSTS, agent_memory=5e7, host_memory=1e8), 4))
    poor = forecast(plan, replace(COSTS, agent_memory=5e7), Machines(4, 2), memory=5e7)
    assert poor.bottleneck == "memory"
