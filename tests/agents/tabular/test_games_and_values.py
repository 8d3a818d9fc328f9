from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from scalmarl.agents.tabular.games import Game, Tables, cost_counterexample, random_game, random_tables
from scalmarl.agents.tabular.values import (
    contributions,
    joint_policy,
    largest_divergence,
    solve,
    spread_outside,
    total_variation,
)
from scalmarl.protocol.graph import clique_cover, named_graph, neighbours_within


def small(seed: int = 3, kind: str = "random") -> tuple[Game, Tables]:
    draw = np.random.default_rng(seed)
    game = random_game("path", 3, 0.5, 0.7, draw, kind)
    return game, random_tables(game, 1, draw, spread=1.0)


def enumerated(game: Game, tables: Tables) -> tuple[np.ndarray, np.ndarray]:
    """Closed loop and expected rewards by loops over every agent's digits, with no shared code."""
    n, size = game.agents, 2**game.agents
    states, actions = list(product((0, 1), repeat=n)), list(product((0, 1), repeat=n))
    loop, reward = np.zeros((size, size)), np.zeros((n, size))
    for s, state in enumerate(states):
        for a, action in enumerate(actions):
            weight = 1.0
            for i in range(n):
                near = [j for j in range(n) if abs(i - j) <= 1]
                row = int("".join(str(state[j]) for j in near), 2)
                weight *= tables[i][row, action[i]]
            reward[:, s] += weight * game.rewards[:, s, a]
            for t, after in enumerate(states):
                loop[s, t] += weight * np.prod([game.kernels[i][s, a, after[i]] for i in range(n)])
    return loop, reward


@pytest.mark.parametrize("kind", ["random", "parity", "joint", "driven", "state-costs"])
def test_j_is_what_a_long_sum_over_enumerated_states_gives(kind: str) -> None:
    game, tables = small(kind=kind)
    loop, reward = enumerated(game, tables)
    law, total = game.initial.copy(), np.zeros(game.agents)
    for step in range(200):
        total += game.gamma**step * reward @ law
        law = law @ loop
    assert solve(game, 1, tables).J[: game.agents] == pytest.approx(total, abs=1e-12)


def test_kernels_read_the_one_hop_neighbourhood_and_the_own_action_alone() -> None:
    game, _ = small()
    kernel = game.kernels[0].reshape(2, 2, 2, 2, 2, 2, 2)
    assert np.ptp(kernel, axis=2).max() == 0.0  # s of agent 2, two hops away
    assert np.ptp(kernel, axis=4).max() == np.ptp(kernel, axis=5).max() == 0.0  # actions of agents 1 and 2
    assert np.ptp(kernel, axis=1).max() > 0.01
    assert game.transition.sum(axis=-1) == pytest.approx(np.ones((8, 8)))


def test_advantages_telescope_in_every_order() -> None:
    game, tables = small()
    start = solve(game, 1, tables)
    new = random_tables(game, 1, np.random.default_rng(8), spread=1.0)
    joint = joint_policy(game, 1, new)
    whole = np.einsum("s,sa,fsa->f", start.visitation, joint, start.Q - start.V[:, :, None])
    for order in ((0, 1, 2), (2, 0, 1)):
        total, moved = np.zeros(6), {}
        for agent in order:
            total += start.surrogate(agent, new[agent], start.advantage(agent, moved))
            moved[agent] = new[agent]
        assert total == pytest.approx(whole, abs=1e-12)
    without = sum(start.surrogate(agent, new[agent], start.advantage(agent)) for agent in range(3))
    assert np.abs(without - whole).max() > 1e-4


def test_a_condensed_advantage_keeps_the_surrogate() -> None:
    game, tables = small()
    start = solve(game, 1, tables)
    new = random_tables(game, 1, np.random.default_rng(9))[0]
    full = start.advantage(0)
    condensed, mass = start.condensed(full, game.neighbourhood(0, 1))
    local = np.einsum("l,lu,flu->f", mass, new - tables[0], condensed)
    assert local == pytest.approx(start.surrogate(0, new, full), abs=1e-13)
    assert mass.sum() == pytest.approx(1 / (1 - game.gamma))


def test_the_cost_counterexample_has_its_closed_form() -> None:
    game = cost_counterexample()
    still = np.full((4, 2), 0.5)
    values = [solve(game, 1, (still, np.tile([1 - p, p], (4, 1)))).costs[0] for p in (0.1, 0.2)]
    assert values == pytest.approx([0.5 + 9 * 0.34, 0.5 + 9 * 0.38])
    assert values == pytest.approx([3.56, 3.92])


def test_distances_between_tables() -> None:
    old, new = np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([[0.6, 0.4], [0.4, 0.6]])
    assert total_variation(old, new) == pytest.approx(0.3)
    rows = (0.5 * np.log(0.5 / 0.6) + 0.5 * np.log(0.5 / 0.4), 0.1 * np.log(0.25) + 0.9 * np.log(1.5))
    assert largest_divergence(old, new) == pytest.approx(max(rows))


@pytest.mark.parametrize("kind", ["random", "joint"])
def test_contributions_add_up_to_what_every_function_changed_by(kind: str) -> None:
    game, tables = small(kind=kind)
    start = solve(game, 1, tables)
    end = solve(game, 1, random_tables(game, 1, np.random.default_rng(8), spread=1.0))
    for order in ((0, 1, 2), (2, 0, 1)):
        assert contributions(start, end, order).sum(axis=1) == pytest.approx(end.J - start.J, abs=1e-12)


def test_who_alone_moved_contributed_everything() -> None:
    game, tables = small()
    start = solve(game, 1, tables)
    end = solve(game, 1, (tables[0], random_tables(game, 1, np.random.default_rng(8), spread=1.0)[1], tables[2]))
    parts = contributions(start, end, (2, 1, 0))
    assert not parts[:, [0, 2]].any()
    assert parts[:, 1] == pytest.approx(end.J - start.J, abs=1e-12)


def test_spread_outside_sees_far_states_and_actions() -> None:
    game, _ = small()
    far = (game.state_digits[2][:, None] + 10 * game.action_digits[2][None, :]).astype(float)
    near = 100.0 * game.state_digits[0][:, None] + 0 * far
    assert spread_outside(game, far + near, (0, 1)) == 11.0
    assert spread_outside(game, near, (0, 1)) == 0.0
    assert spread_outside(game, near, (1, 2)) == 100.0


@pytest.mark.parametrize(
    ("shape", "agents", "kappa"), [("path", 6, 2), ("ring", 7, 1), ("grid:2x3", 6, 1), ("star", 5, 1)]
)
def test_cliques_partition_every_neighbourhood_and_hear_one_another(shape: str, agents: int, kappa: int) -> None:
    neighbours = neighbours_within(named_graph(shape, agents), kappa)
    for agent, cliques in enumerate(clique_cover(neighbours)):
        members = [member for clique in cliques for member in clique]
        assert sorted(members) == sorted((*neighbours[agent], agent))
        assert len(set(members)) == len(members)
        assert all(a == b or a in neighbours[b] for clique in cliques for a in clique for b in clique)
        if shape == "path":
            assert len(cliques) <= 2
