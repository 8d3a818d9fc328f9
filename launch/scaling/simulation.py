"""A round of a plan on given machines, as a discrete-event simulation of its real structure.

Rules of this file: pure. The bodies say in which order a process works, sends and waits, as ``agents.body``,
``sim_server.body`` and ``coordinator.body`` do. All control steps of a round are alike: a few are simulated, and the
steady time of one stands for the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scalmarl.launch.scaling.costs import Costs, Learning, WireSizes
from scalmarl.launch.scaling.engine import (
    CATEGORIES,
    PHYSICS,
    POLICIES,
    UPDATES,
    Body,
    Breathe,
    Engine,
    Hear,
    Machines,
    Need,
    Process,
    Save,
    Send,
    Work,
)
from scalmarl.protocol.keys import COORDINATOR, Kind
from scalmarl.protocol.kinds import is_exchanged
from scalmarl.protocol.order import predecessors, turn_order
from scalmarl.protocol.plan import Plan

STEPS = 4
"""Control steps that are simulated, at most: the first fills the line, the others are steady."""
MOST_PIECES = 12
"""Pieces of critics or policy in a simulation of many agents."""
MANY_AGENTS = 600
LAUNCHER_AT_MOST = 0.9
"""Share of a host's cores that the launcher may take."""


@dataclass(frozen=True)
class Round:
    """What a round takes: seconds of sampling and updating as a run records them (the slowest agent's) and of the
    whole; of one steady control step; seconds along the critical path by category, which add up to the whole."""

    sample_s: float
    update_s: float
    wall_s: float
    step_s: float
    path: dict[str, float]


def host_of(agent: int, agents: int, hosts: int) -> int:
    """Agents lie on hosts contiguously, as evenly as can be; sim server and coordinator are on host 0."""
    return agent * hosts // agents


def simulate(plan: Plan, costs: Costs, machines: Machines, round: int = 1) -> Round:
    """One round."""
    return _Simulation(plan, costs, machines, round).result()


class _Simulation:
    def __init__(self, plan: Plan, costs: Costs, machines: Machines, round: int) -> None:
        self._plan, self._costs, self._machines = plan, costs, machines
        self._steps = min(plan.steps, STEPS)
        self._sizes = WireSizes(plan)
        self._engine = Engine(machines, costs.wake)
        watched = costs.launcher + costs.watch * (plan.agents + 2)
        slowed = 1.0 / (1.0 - min(watched / machines.cores, LAUNCHER_AT_MOST))
        self._agents = [
            Process(host, costs.agent_frame, costs.byte, 1.0 if host else slowed)
            for host in (host_of(agent, plan.agents, machines.hosts) for agent in range(plan.agents))
        ]
        self._sim, self._coordinator = (Process(0, costs.server_frame, costs.byte, slowed) for _ in range(2))
        self._waits_for = self._who_waits_for_whom(round)
        self._heard_before = predecessors(plan, round)
        self._sampled = [0.0] * plan.agents
        self._updated = [0.0] * plan.agents
        self._stepped: list[float] = []
        for agent, process in enumerate(self._agents):
            process.body = self._agent(agent, process)
        self._sim.body, self._coordinator.body = self._sim_server(), self._grants()

    def _who_waits_for_whom(self, round: int) -> list[frozenset[int]]:
        """As the coordinator grants turns."""
        if self._plan.schedule == "wavefront":
            return list(predecessors(self._plan, round))
        order = turn_order(self._plan, round)
        before = dict(zip(order[1:], order))
        return [frozenset({before[agent]} if agent in before else ()) for agent in range(self._plan.agents)]

    def result(self) -> Round:
        """Run it, and let the steady step stand for those that were left out."""
        engine = self._engine
        end = engine.run([*self._agents, self._sim, self._coordinator]) + self._costs.commit
        # The sim server's sendings: one per group before any step, then one per group and step.
        window = (self._stepped[self._plan.groups - 1], self._stepped[-1])
        if self._steps > 2:
            window = (self._stepped[2 * self._plan.groups - 1], self._stepped[-1])
        counted = self._steps - (1 if self._steps > 2 else 0)
        step = (window[1] - window[0]) / counted
        left_out = self._plan.steps - self._steps
        times = 1.0 + left_out / counted
        path = dict(zip(CATEGORIES, engine.critical_path(window, times)))
        path["disk"] += self._costs.commit
        return Round(
            sample_s=max(self._sampled) + left_out * step,
            update_s=max(updated - sampled for updated, sampled in zip(self._updated, self._sampled)),
            wall_s=end + left_out * step,
            step_s=step,
            path=path,
        )

    # ---- the bodies ----

    def _agent(self, agent: int, me: Process) -> Body:
        plan, costs = self._plan, self._costs
        learning, heard = Learning.of(plan, agent), [self._agents[other] for other in plan.heard(agent)]
        size: dict[Kind, int] = {kind: self._sizes.of(kind, agent) for kind in Kind if kind != Kind.COMMIT}
        act = costs.act_step + costs.act_product * plan.group_copies * learning.acts
        for step in range(plan.groups * (self._steps + 1)):
            yield Need((Kind.OBSERVATION, step), 1)
            yield Send([(other, (Kind.STATE, step), size[Kind.STATE]) for other in heard])
            yield Need((Kind.STATE, step), len(heard))
            if step < plan.groups * self._steps:
                yield Work(POLICIES, act)
                yield Send([(self._sim, (Kind.ACTION, step), size[Kind.ACTION])])
        self._sampled[agent] = self._engine.clock
        yield Work(UPDATES, costs.update_round / 2)
        told = [kind for kind in (Kind.ADVANTAGE, Kind.SLACK) if is_exchanged(plan, kind)]
        for kind in told:
            yield Send([(other, kind, size[kind]) for other in heard])
        yield from self._turn(agent, me, learning, told, size)
        yield Work(UPDATES, costs.update_round / 2)
        self._updated[agent] = self._engine.clock
        yield Save(costs.save)
        yield Send([(self._coordinator, Kind.DONE, size[Kind.DONE])])
        yield Need(Kind.COMMIT, 1)

    def _turn(self, agent: int, me: Process, learning: Learning, told: list[Kind], size: dict[Kind, int]) -> Body:
        """The policy in turn; the critics while it is awaited, and after it."""
        plan, costs = self._plan, self._costs
        heard = [self._agents[other] for other in plan.heard(agent)]
        critics = self._pieces(learning.critic_pieces, learning.critic_piece_s(costs))
        while not me.take(Kind.GRANT):
            work = next(critics, None)
            if work is None:
                yield Need(Kind.GRANT, 1)
                break
            yield work
            yield Breathe()
        for kind in told:
            yield Need(kind, len(heard))
        yield Need(Kind.TURN, len(self._heard_before[agent]))
        for work in self._pieces(learning.policy_pieces, learning.policy_piece_s(costs)):
            yield work
            yield Breathe()
        if is_exchanged(plan, Kind.TURN):
            yield Send([(other, Kind.TURN, size[Kind.TURN]) for other in heard])
        yield Send([(self._coordinator, (Kind.TURN_DONE, agent), size[Kind.TURN_DONE])])
        for work in critics:
            yield work
            yield Breathe()

    def _pieces(self, count: int, seconds: float) -> Iterator[Work]:
        """So many pieces of work; larger and fewer ones where there are many agents."""
        pieces = min(count, MOST_PIECES) if self._plan.agents > MANY_AGENTS else count
        return iter([Work(UPDATES, seconds * count / pieces)] * pieces)

    def _sim_server(self) -> Body:
        plan, costs = self._plan, self._costs
        sizes = [self._sizes.of(Kind.OBSERVATION, agent) for agent in range(plan.agents)]
        threads = min(plan.world_threads, plan.group_copies)
        for step in range(plan.groups * (self._steps + 1)):
            if step >= plan.groups:
                yield Need((Kind.ACTION, step - plan.groups), plan.agents)
                yield Work(PHYSICS, costs.physics_s(plan), threads, costs.thread_gain)
                yield Work(PHYSICS, costs.scoring_s(plan))
            self._stepped.append(self._engine.clock)
            yield Send((a, (Kind.OBSERVATION, step), size) for a, size in zip(self._agents, sizes))
        yield Work(UPDATES, costs.server_round)
        yield Save(costs.save)
        yield Send([(self._coordinator, Kind.DONE, self._sizes.of(Kind.DONE, 0))])
        yield Need(Kind.COMMIT, 1)

    def _grants(self) -> Body:
        plan, me = self._plan, self._coordinator
        followers: list[list[int]] = [[] for _ in range(plan.agents)]
        missing = [len(before) for before in self._waits_for]
        for agent, before in enumerate(self._waits_for):
            for other in before:
                followers[other].append(agent)
        ready = [agent for agent in range(plan.agents) if not missing[agent]]
        finished = 0
        while True:
            yield Send([(self._agents[agent], Kind.GRANT, self._sizes.of(Kind.GRANT, agent)) for agent in ready])
            if finished == plan.agents:
                break
            ready = []
            while not (over := [key[1] for key in me.got if isinstance(key, tuple)]):
                yield Hear()
            for other in over:
                me.take((Kind.TURN_DONE, other))
                finished += 1
                for agent in followers[other]:
                    missing[agent] -= 1
                    if not missing[agent]:
                        ready.append(agent)
        yield Need(Kind.DONE, plan.agents + 1)
        yield Save(self._costs.save)
        everybody = [*self._agents, self._sim]
        yield Send([(process, Kind.COMMIT, self._sizes.of(Kind.COMMIT, COORDINATOR)) for process in everybody])
