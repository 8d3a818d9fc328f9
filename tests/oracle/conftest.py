"""Real agents on a small world of NumPy, under the seeded simulator; every value that was said is written down."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from numpy.typing import NDArray

from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.agents.body import agent_body
from scalmarl.agents.learner import Learner
from scalmarl.coordinator.body import coordinator_body
from scalmarl.launch.config import LearnerConfig
from scalmarl.protocol.effects import Body, Effect, Need, Put
from scalmarl.protocol.graph import colour_power, named_graph, neighbours_within
from scalmarl.protocol.keys import COORDINATOR, SIM, Key, Kind
from scalmarl.protocol.kinds import Value
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.simulated_process import Faults
from scalmarl.protocol.simulator import MakeBody, Simulation
from scalmarl.protocol.standins import toy_plan
from scalmarl.sim_server.body import sim_body

torch.set_num_threads(1)
Array = NDArray[Any]


class SmallWorld:
    """Each agent pushes a damped point of its own; see ``sim_server.body.SteppedWorld`` for the methods.

    ``coupled``: a point is also drawn to its left neighbour's, and all agents' episodes end together; else each agent's
    stream is a function of its own actions alone. ``deaf``: actions move nothing. ``disturbed``: (agent, t): from
    observation t of its first round on, that agent's world tells other blocks, rewards and costs.
    """

    def __init__(
        self, plan: Plan, coupled: bool = True, deaf: bool = False, disturbed: tuple[int, int] | None = None
    ) -> None:
        self._plan, self._coupled, self._deaf, self._disturbed = plan, coupled, deaf, disturbed
        agents, copies, horizon = plan.agents, plan.copies, plan.task.horizon
        self._time = np.zeros(plan.groups, dtype=np.int64)
        self._age = np.tile(np.arange(copies) * horizon // copies, (agents, 1))
        self._episode = np.zeros((agents, copies), dtype=np.int64)
        self._flags = np.zeros((agents, 2, copies), dtype=bool)
        self._reward = np.zeros((agents, copies))
        self._costs = [np.zeros((copies, plan.costs(i))) for i in range(agents)]
        self._points = [np.zeros((copies, width)) for width in plan.task.block_sizes]
        for i in range(agents):
            self._start(i, np.ones(copies, dtype=bool))

    def begin(self) -> Iterable[None]:
        return ()

    def step(self, group: int, actions: list[Value]) -> Iterable[None]:
        plan, size = self._plan, self._plan.group_copies
        here = slice(group * size, (group + 1) * size)
        before = [points[here].copy() for points in self._points]
        self._time[group] += 1
        for i, action in enumerate(actions):
            over = self._flags[i, :, here].any(axis=0)
            push = np.zeros(size) if self._deaf else pushes(action, plan.task.action_choices[i])
            points = 0.8 * before[i] + 0.5 * push[:, None] * np.cos(np.arange(before[i].shape[1]))
            points += 0.2 * np.sin(1.7 * self._age[i, here] + np.arange(size) + i)[:, None]
            if self._coupled and i > 0:
                points += 0.2 * before[i - 1][:, :1]
            self._points[i][here] = points
            self._age[i, here] += 1
            self._reward[i, here] = np.where(over, 0.0, 0.3 * push + points[:, 0] - 0.2 * np.square(points).sum(axis=1))
            for j in range(plan.costs(i)):
                self._costs[i][here, j] = np.where(over, 0.0, points[:, j] > 0.4 * (1 + i))
            self._flags[i, 0, here] = ~over & (np.abs(points[:, 0]) > 0.85)
            self._flags[i, 1, here] = ~over & (self._age[i, here] >= plan.task.horizon)
            again = np.zeros(plan.copies, dtype=bool)
            again[here] = over
            self._start(i, again)
        if self._coupled:
            self._flags[:, :, here] = self._flags[:, :, here].any(axis=0)
        return ()

    def observation(self, agent: int, group: int) -> Value:
        size = self._plan.group_copies
        here = slice(group * size, (group + 1) * size)
        team = self._plan.task.reward_mode == "team"
        reward = self._reward[:, here].sum(axis=0) if team else self._reward[agent, here]
        costs = self._costs[agent][here]
        if self._plan.task.cost_mode == "team":
            # The j-th cost of any agent is everybody's.
            of_all = [[own[here, j] for own in self._costs if own.shape[1] > j] for j in range(costs.shape[1])]
            costs = np.column_stack([np.max(rows, axis=0) for rows in of_all])
        told = np.column_stack([self._points[agent][here], reward, costs])
        if self._disturbed is not None and agent == self._disturbed[0] and self._time[group] >= self._disturbed[1]:
            told = told + 0.1 + 0.05 * np.arange(size)[:, None]
        return np.column_stack([told, self._flags[agent, :, here].T]).astype("<f4")

    def figures(self) -> dict[str, Any]:
        return {}

    def save(self) -> bytes:
        return bytes(safetensors.numpy.save({"time": self._time, "age": self._age, "points": np.hstack(self._points)}))

    def load(self, content: bytes) -> Iterable[None]:
        raise NotImplementedError("nothing dies in these tests")

    def _start(self, agent: int, copies: Array) -> None:
        width = self._points[agent].shape[1]
        self._episode[agent, copies] += 1
        self._age[agent, copies] = np.where(self._episode[agent] == 1, self._age[agent], 0)[copies]
        number = 7.0 * agent + 3.0 * self._episode[agent] + np.arange(self._plan.copies)
        start = 0.5 * np.sin(number[:, None] * (1 + np.arange(width)))
        self._points[agent][copies] = start[copies]


def pushes(action: Value, choices: int) -> Array:
    """What actions ``[copies, A]`` push; of n ``choices``, evenly from -1 to 1."""
    if choices:
        return np.linspace(-1.0, 1.0, choices)[action[:, 0].astype(int)]
    return np.tanh(action.astype(np.float64)).sum(axis=1)


Stops = Callable[[int, Effect], bool]
"""(process, what it is about to do) -> it is frozen for good before it does that."""


def noted(body: Body, me: int, played: Played, stops: Stops) -> Body:
    """The body, with what it publishes written down, until it is frozen."""
    result: Any = None
    while True:
        try:
            effect = body.send(result)
        except StopIteration:
            return
        if stops(me, effect):
            simulation = played.simulation
            simulation.nodes[me].frozen_until = float("inf")
            # A commit that never comes: the runtime does not go on by itself either.
            yield Need((Key(COORDINATOR, Kind.COMMIT, COORDINATOR, simulation.plan.rounds, 0),))
        if isinstance(effect, Put):
            played.said[effect.key] = effect.value.copy()
        result = yield effect


@dataclass
class Played:
    """``said``: every value; ``files``: process -> round -> content."""

    simulation: Simulation
    said: dict[Key, Value]

    @property
    def files(self) -> dict[int, dict[int, bytes]]:
        return {process: node.store.history for process, node in self.simulation.nodes.items()}


def small_plan(agents: int, kappa: int, algorithm: str = "scal-mappo-l", **chosen: Any) -> Plan:
    """A path of agents; ``chosen`` are fields of the plan or of the learner, ``limit``, ``cost_mode`` or ``choices``.

    ``limit``: of every cost, or of an agent's first, second, ... cost. ``choices[i]``: as ``TaskSpec.action_choices``.
    """
    limit, cost_mode = chosen.pop("limit", 1.0), chosen.pop("cost_mode", "local")
    choices = chosen.pop("choices", (0,) * agents)
    neighbours = neighbours_within(named_graph("path", agents), kappa)
    learner = {**LearnerConfig().model_dump(), "initial_std": 0.5, "hidden": (8, 8), "multiplier_rate": 4.0}
    plan_fields = {name: chosen.pop(name) for name in list(chosen) if name in Plan.__dataclass_fields__}
    switches = ALGORITHMS[algorithm].switched({"radius": chosen.pop("radius", None)})
    plan = toy_plan(neighbours, colour_power(neighbours), exchanged=switches.exchanged())
    team = "team" if switches.reward_terms == "team" else "local"
    of_each = limit if isinstance(limit, tuple) else (limit,) * max(plan.costs(i) for i in range(agents))
    limits = tuple(of_each[: plan.costs(i)] for i in range(agents))
    sizes = tuple(1 if n else size for n, size in zip(choices, plan.task.action_sizes))
    task = replace(plan.task, action_choices=choices, action_sizes=sizes, cost_limits=limits)
    return replace(
        plan,
        kappa=kappa,
        learner={**learner, **asdict(switches), **chosen},
        task=replace(task, horizon=8, reward_mode=team, cost_mode=cost_mode),
        **{"rounds": 3, "steps": 16, "copies": 6, "groups": 2, **plan_fields},
    )


def start(plan: Plan, seed: int = 0, stops: Stops = lambda me, effect: False, **world: Any) -> Played:
    """A simulation that is yet to be run."""

    def agent(me: int) -> MakeBody:
        return lambda round, content: noted(agent_body(me, plan, Learner(plan, me), round, content), me, played, stops)

    def sim(round: int, content: bytes | None) -> Body:
        return noted(sim_body(plan, SmallWorld(plan, **world), round, content), SIM, played, stops)

    bodies: dict[int, MakeBody] = {me: agent(me) for me in range(plan.agents)}
    bodies[SIM] = sim
    bodies[COORDINATOR] = lambda round, content: coordinator_body(plan, round)
    played = Played(Simulation(plan, bodies, seed, Faults()), {})
    return played


@pytest.fixture(scope="session")
def make_plan() -> Callable[..., Plan]:
    return small_plan


@pytest.fixture(scope="session")
def small_world() -> type[SmallWorld]:
    return SmallWorld


@pytest.fixture(scope="session")
def begin() -> Callable[..., Played]:
    return start


@pytest.fixture(scope="session")
def play() -> Callable[..., Played]:
    def run(plan: Plan, seed: int = 0, **world: Any) -> Played:
        played = start(plan, seed, **world)
        played.simulation.run()
        return played

    return run
