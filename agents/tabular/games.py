"""Small networked constrained Markov games whose every quantity can be solved exactly.

n <= 6 agents on a graph, two actions each; the joint state and action are indices whose digits belong to the agents,
agent 0's first. S joint states, A joint actions, X local states, U = 2 local actions. Nothing is sampled but the game
itself, from a generator that is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scalmarl.protocol.graph import AgentGraph, graph_of_edges, hop_distances, named_graph

Array = NDArray[np.float64]
Digits = NDArray[np.int64]
Tables = tuple[Array, ...]
"""One policy per agent: ``tables[i]`` ``[X ** |N_k(i)|, U]``, a row per state of N_k(i), agents ascending."""

ACTIONS = 2


def digits(agents: int, base: int) -> Digits:
    """``[agents, base ** agents]``: each agent's digit of every joint index, agent 0's the most significant."""
    joint = np.arange(base**agents)
    return np.stack([(joint // base ** (agents - 1 - agent)) % base for agent in range(agents)])


@dataclass(frozen=True, eq=False)
class Game:
    """<N, S, A, P, rho_0, gamma, r, C, c> with P(s'|s,a) = prod_i P^i(s'^i | s_{N_1(i)}, a^i).

    ``kernels[i]`` ``[S, A, X]``; ``rewards`` and ``costs`` ``[n, S, A]``, one of each per agent; ``limits`` ``[n]`` on
    the discounted cost; ``initial`` ``[S]``; ``distances`` ``[n, n]`` in hops. The team's reward is the mean of r^i.
    """

    name: str
    distances: Digits
    states: int
    kernels: tuple[Array, ...]
    rewards: Array
    costs: Array
    limits: Array
    gamma: float
    initial: Array

    @property
    def agents(self) -> int:
        """n."""
        return len(self.kernels)

    @cached_property
    def state_digits(self) -> Digits:
        """``[n, S]``."""
        return digits(self.agents, self.states)

    @cached_property
    def action_digits(self) -> Digits:
        """``[n, A]``."""
        return digits(self.agents, ACTIONS)

    @cached_property
    def transition(self) -> Array:
        """P, ``[S, A, S]``."""
        joint = self.kernels[0]
        for kernel in self.kernels[1:]:
            joint = (joint[..., :, None] * kernel[..., None, :]).reshape(*joint.shape[:2], -1)
        return joint

    def neighbourhood(self, agent: int, kappa: int) -> tuple[int, ...]:
        """N_k(i), i included, ascending."""
        return tuple(int(other) for other in np.flatnonzero(self.distances[agent] <= kappa))

    def local_index(self, members: tuple[int, ...]) -> Digits:
        """``[S]``: the index of s_members in every joint state."""
        index = np.zeros(self.state_digits.shape[1], dtype=np.int64)
        for member in members:
            index = index * self.states + self.state_digits[member]
        return index

    def with_limits(self, limits: Array) -> Game:
        """The same game under other limits."""
        return replace(self, limits=limits)


def distances_of(graph: AgentGraph) -> Digits:
    """``[n, n]`` hops; agents that cannot reach one another are n apart."""
    table = hop_distances(graph)
    size = len(graph)
    return np.array([[table[a].get(b, size) for b in range(size)] for a in range(size)], dtype=np.int64)


def random_game(
    shape: str, agents: int, coupling: float, gamma: float, draw: np.random.Generator, kind: str = "random"
) -> Game:
    """A member of the family: P^i(1 | s_{N_1}, a^i) = (1 - w) own(s^i, a^i) + w table(s_{N_1}, a^i).

    ``own`` and ``table`` are drawn from [0.1, 0.9] and [0, 1]. r^i(s^i, a^i) in [0, 1]; C^i(s^i, a^i) = 0.6 r^i + 0.4
    of a draw, so that reward costs. Limits are infinite until they are set. ``kind`` changes one thing:
    ``parity``: the table is the parity of s_{N_1}, which forgets nothing;
    ``state-costs``: C^i = s^i;
    ``joint``: r^i is a draw for each s^i and a_{N_1}, so that actions go together or do not, as in the paper's joint R;
    ``driven``: even agents' states follow their neighbours' states alone and cost, C^i = s^i; odd agents' actions set
    their own state (0.1 or 0.9) and r^i = s^i, at no cost: whoever gains is never who pays.
    """
    distances = distances_of(named_graph(shape, agents))
    own_state, own_action = digits(agents, 2), digits(agents, ACTIONS)
    size = 2**agents
    kernels, rewards, costs = [], [], []
    for agent in range(agents):
        near = np.flatnonzero(distances[agent] <= 1)
        own, table = draw.uniform(0.1, 0.9, (2, ACTIONS)), draw.uniform(0.0, 1.0, (2 ** len(near), ACTIONS))
        index = np.zeros(size, dtype=np.int64)
        for member in near:
            index = index * 2 + own_state[member]
        mixed = table[index][:, own_action[agent]]
        if kind == "parity":
            mixed = np.broadcast_to((own_state[near].sum(axis=0) % 2).astype(float)[:, None], (size, size))
        one = (1 - coupling) * own[own_state[agent]][:, own_action[agent]] + coupling * mixed
        if kind == "driven" and agent % 2 == 1:
            one = np.broadcast_to(0.1 + 0.8 * own_action[agent], (size, size))
        if kind == "driven" and agent % 2 == 0:
            pull = own_state[near[near != agent]].mean(axis=0)
            one = np.broadcast_to((0.5 + coupling * (pull - 0.5))[:, None], (size, size))
        kernels.append(np.stack([1 - one, one], axis=-1))
        reward, other = draw.uniform(0.0, 1.0, (2, 2, ACTIONS))
        if kind == "driven":
            reward = np.array([[0.0, 0.0], [1.0, 1.0]]) * (agent % 2)
        rewards.append(reward[own_state[agent]][:, own_action[agent]])
        cost = 0.6 * reward + 0.4 * other
        if kind in ("state-costs", "driven"):
            cost = np.array([[0.0, 0.0], [1.0, 1.0]]) * (kind == "state-costs" or agent % 2 == 0)
        costs.append(cost[own_state[agent]][:, own_action[agent]])
        if kind == "joint":
            together = np.ravel_multi_index(tuple(own_action[near]), (ACTIONS,) * len(near))
            rewards[-1] = draw.uniform(0.0, 1.0, (2, ACTIONS ** len(near)))[own_state[agent]][:, together]
    return Game(
        f"{shape}-{agents}, w = {coupling:g}, gamma = {gamma:g}", distances, 2, tuple(kernels), np.array(rewards),
        np.array(costs), np.full(agents, np.inf), gamma, np.full(size, 1.0 / size),
    )  # fmt: skip


def reward_counterexample(gamma: float = 0.0) -> Game:
    """CE1: one state, two agents, R(0,0) = 0, R(0,1) = R(1,0) = 1, R(1,1) = 0.5; nothing costs.

    Both local surrogates prefer action 1, and both together lose. Every assumption of the theorem holds.
    """
    reward = np.array([[0.0, 1.0, 1.0, 0.5]])
    kernel = np.ones((1, 4, 1))
    return Game(
        "CE1", distances_of(graph_of_edges(2, [(0, 1)])), 1, (kernel, kernel), np.stack([reward, reward]),
        np.zeros((2, 1, 4)), np.full(2, np.inf), gamma, np.ones(1),
    )  # fmt: skip


def cost_counterexample(coupling: float = 0.4, gamma: float = 0.9) -> Game:
    """CE2: s'^0 ~ Bernoulli(0.5 + w (a^1 - 0.5)), C^0 = s^0; agent 0's own action has no effect on anything.

    The two agents that matter. Agents that change nobody's state, reward or cost may be added to the graph without
    any effect on J^0, so the chain of 21 of the argument for large kappa is not solved but reasoned about. s^0 starts
    at 0 or 1 alike; agent 1 has one state that never changes (its digit is kept at 0).
    """
    state, action = digits(2, 2), digits(2, ACTIONS)
    one = np.broadcast_to(0.5 + coupling * (action[1] - 0.5), (4, 4))
    first = np.stack([1 - one, one], axis=-1)
    second = np.zeros((4, 4, 2))
    second[:, :, 0] = 1.0
    costs = np.stack([np.broadcast_to(state[0].astype(float)[:, None], (4, 4)), np.zeros((4, 4))])
    return Game(
        "CE2", distances_of(graph_of_edges(2, [(0, 1)])), 2, (first, second), np.zeros((2, 4, 4)), costs,
        np.full(2, np.inf), gamma, np.array([0.5, 0.0, 0.5, 0.0]),
    )  # fmt: skip


def random_tables(game: Game, kappa: int, draw: np.random.Generator, spread: float = 0.3) -> Tables:
    """Softmax of logits ~ N(0, spread^2), one row per state of N_k(i); spread 0 is the uniform policy."""
    tables = []
    for agent in range(game.agents):
        rows = game.states ** len(game.neighbourhood(agent, kappa))
        logits = spread * draw.standard_normal((rows, ACTIONS))
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        tables.append(weights / weights.sum(axis=1, keepdims=True))
    return tuple(tables)
