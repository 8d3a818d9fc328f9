"""What a plan is expected to do on given machines: speed, phases, bytes, memory, and what holds it back.

Rules of this file: pure. Times are the simulation's, bytes are the ledger's formula, memory is what was measured of a
process times their number.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from scalmarl.launch.scaling.costs import Costs, sample_bytes
from scalmarl.launch.scaling.engine import Machines
from scalmarl.launch.scaling.simulation import Round, host_of, simulate
from scalmarl.protocol.keys import COORDINATOR, SIM
from scalmarl.protocol.ledger import predicted
from scalmarl.protocol.order import phases
from scalmarl.protocol.plan import Plan

COPY_BYTES_PER_AGENT = 1 << 15
"""What the physics keeps per copy and agent, generously."""
MEMORY = "memory"


@dataclass(frozen=True)
class Forecast:
    """Seconds, bytes per round, bytes of memory. ``pairs``: (host, host) -> bytes from the first to the second.
    ``bottleneck`` is what most of the critical path is spent on, or ``memory`` where a host has too little."""

    agents: int
    hosts: int
    round: Round
    env_steps_per_s: float
    agent_steps_per_s: float
    phases: int
    link_bytes: dict[str, int]
    pairs: dict[tuple[int, int], int]
    host_memory: list[float]
    bottleneck: str
    share: float


def forecast(plan: Plan, costs: Costs, machines: Machines, memory: float = float("inf")) -> Forecast:
    """The expected figures; ``memory``: what a host has, in bytes."""
    found = simulate(plan, costs, machines)
    needed = memory_of_hosts(plan, costs, machines.hosts)
    name, spent = max(found.path.items(), key=lambda item: item[1])
    rate = plan.samples / found.wall_s
    return Forecast(
        agents=plan.agents,
        hosts=machines.hosts,
        round=found,
        env_steps_per_s=rate,
        agent_steps_per_s=rate * plan.agents,
        phases=phases(plan, 1),
        link_bytes=link_bytes(plan),
        pairs=host_pairs(plan, machines.hosts),
        host_memory=needed,
        bottleneck=MEMORY if max(needed) > memory else name,
        share=spent / sum(found.path.values()),
    )


def link_bytes(plan: Plan) -> dict[str, int]:
    """Wire bytes per round of the busiest link of each sort."""
    largest: Counter[str] = Counter()
    middle = plan.agents // 2
    for process in {0, middle, SIM, COORDINATOR}:
        for to, size in _sent(plan, process).items():
            sort = f"{_sort(process)} to {_sort(to)}"
            largest[sort] = max(largest[sort], size)
    return dict(sorted(largest.items()))


def _sort(process: int) -> str:
    return {SIM: "sim", COORDINATOR: "coordinator"}.get(process, "agent")


def _sent(plan: Plan, process: int) -> Counter[int]:
    """Wire bytes to each destination."""
    sizes: Counter[int] = Counter()
    for (to, _), count in predicted(plan, process).items():
        sizes[to] += count.wire_bytes
    return sizes


def host_pairs(plan: Plan, hosts: int) -> dict[tuple[int, int], int]:
    """Wire bytes per round between hosts, where there are any."""
    pairs: Counter[tuple[int, int]] = Counter()
    place = {SIM: 0, COORDINATOR: 0}
    place.update((agent, host_of(agent, plan.agents, hosts)) for agent in range(plan.agents))
    for process in (*range(plan.agents), SIM, COORDINATOR) if hosts > 1 else ():
        for to, size in _sent(plan, process).items():
            if place[process] != place[to]:
                pairs[place[process], place[to]] += size
    return dict(sorted(pairs.items()))


def memory_of_hosts(plan: Plan, costs: Costs, hosts: int) -> list[float]:
    """Bytes that each host holds: its base, its agents with their samples and plans; host 0 the physics too."""
    sizes = [costs.host_memory] * hosts
    sizes[0] += plan.copies * plan.agents * COPY_BYTES_PER_AGENT
    for agent in range(plan.agents):
        own = costs.agent_memory + costs.sample_memory * sample_bytes(plan, agent) + plan.agents * costs.plan_memory
        sizes[host_of(agent, plan.agents, hosts)] += own
    return sizes
