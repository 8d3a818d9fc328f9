"""The ledger: shares by hand, radii in closed form, and slack that is never overspent, whatever graph and order."""

from __future__ import annotations

import math
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalmarl.agents.ledger import Allowance, Bounds, Step, allowances, moved_sensitivity, told_allowance, told_step
from scalmarl.protocol.graph import clique_cover, colour_power, neighbours_within
from scalmarl.protocol.kinds import TURN_FIGURES, Value, turn_surrogates
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.standins import toy_plan


def plan_of(graph: nx.Graph, kappa: int) -> Plan:
    neighbours = neighbours_within(graph, kappa)
    return toy_plan(neighbours, colour_power(neighbours), costs=[1] * len(graph))


PATH = plan_of(nx.path_graph(7), 2)


def turn(plan: Plan, agent: int, kl: float, gain: float, kl_max: float = 0.0) -> Value:
    told = np.zeros(plan.samples + TURN_FIGURES + len(turn_surrogates(plan, agent)), "<f4")
    told[plan.samples : plan.samples + 2] = kl, kl_max
    told[plan.samples + TURN_FIGURES :] = gain
    return told


def slack(left: float, price: float) -> Value:
    return np.array([[left, price, 0.0]], "<f4")


# ---- shares ----


def test_a_neighbourhood_on_a_path_is_two_cliques() -> None:
    assert PATH.cliques[3] == ((1, 2, 3), (4, 5))
    assert PATH.cliques[0] == ((0, 1, 2),)


def test_a_share_is_halved_between_the_cliques_and_lessened_by_predecessors_of_the_same_one() -> None:
    """Slack 8 in two cliques; agent 2 spent 20 * sqrt(0.02 / 2) = 2 of the first; agent 4 is in the other one."""
    slacks = {h: slack(8.0, 20.0) for h in PATH.neighbourhood(3)}
    found = allowances(PATH, 3, slacks, {2: turn(PATH, 2, 0.02, 0.1), 4: turn(PATH, 4, 0.5, 0.1)})
    left = {a.agent: a.left for a in found}
    assert left[3] == pytest.approx(4.0 - 2.0, rel=1e-6)
    # Of agent 1's slack, (0, 1, 2, 3) is covered by (0, 1, 2) and (3): nobody before agent 3 in its own.
    assert PATH.cliques[1] == ((0, 1, 2), (3,))
    assert left[1] == pytest.approx(4.0, rel=1e-6)


def test_a_predecessor_that_lowered_the_cost_spent_nothing() -> None:
    slacks = {h: slack(8.0, 20.0) for h in PATH.neighbourhood(3)}
    found = allowances(PATH, 3, slacks, {2: turn(PATH, 2, 0.02, -0.1)})
    assert {a.agent: a.left for a in found}[3] == pytest.approx(4.0, rel=1e-6)


# ---- radii ----


def test_radii_in_closed_form() -> None:
    """First order: price * sqrt(KL / 2) = left. Exact: price * KL = left."""
    assert Allowance(0, 0, 2.0, 20.0).radius == pytest.approx(2 * 0.1**2)
    assert Allowance(0, 0, 2.0, 20.0, gamma=0.5).radius == pytest.approx(0.1)
    assert Allowance(0, 0, -1.0, 20.0).radius == 0.0
    assert Allowance(0, 0, 2.0, 0.0).radius == math.inf


def test_what_a_step_spends_in_closed_form() -> None:
    raising, lowering = Step(0.02, 0.3, {(0, 0): 0.5}), Step(0.02, 0.3, {(0, 0): -0.5})
    assert Allowance(0, 0, 1.0, 20.0).spends(raising) == pytest.approx(2.0)
    assert Allowance(0, 0, 1.0, 20.0).spends(lowering) == 0.0
    assert Allowance(0, 0, 1.0, 20.0, gamma=0.5).spends(raising) == pytest.approx(1.0 + 6.0)
    assert Allowance(0, 0, 1.0, 20.0, gamma=0.5).spends(lowering) == pytest.approx(-1.0 + 6.0)


@pytest.mark.parametrize(
    ("kl", "gain", "bound"),
    [
        (0.03, -1.0, "kl_max"),
        (0.019, -1.0, None),
        (0.019, 1.0, "slack of 5"),
        (0.0049, 1.0, None),
        (0.0051, 1.0, "slack of 5"),
    ],
)
def test_the_bound_that_is_broken_is_named(kl: float, gain: float, bound: str | None) -> None:
    """Left 1 at price 20: a radius of 2 * 0.05^2 = 0.005, between kl_min and kl_max."""
    bounds = Bounds(0.02, 0.001, (Allowance(5, 0, 1.0, 20.0),))
    step = Step(kl, kl, {(5, 0): gain})
    assert bounds.breached(step) == bound
    assert bounds.radius(step) == pytest.approx(0.005 if gain > 0 else 0.02)


def test_with_nothing_left_a_step_may_go_as_far_as_kl_min_and_the_bound_reads_void() -> None:
    bounds = Bounds(0.02, 0.001, (Allowance(5, 0, -3.0, 20.0),))
    assert bounds.breached(Step(0.0009, 0.0, {(5, 0): 1.0})) is None
    assert bounds.breached(Step(0.0011, 0.0, {(5, 0): 1.0})) == "kl_min"
    assert bounds.radius(Step(0.0011, 0.0, {(5, 0): 1.0})) == 0.001


def test_an_exact_allowance_has_no_floor_and_bounds_a_lowering_step_too() -> None:
    bounds = Bounds(0.02, 0.001, (Allowance(5, 0, 0.0, 20.0, gamma=0.5),))
    assert bounds.breached(Step(1e-6, 1e-6, {(5, 0): 0.0})) == "slack of 5"
    assert bounds.breached(Step(1e-6, 1e-6, {(5, 0): -1e-5})) is None


def test_the_tightest_allowance_is_the_smallest_of_those_that_bound_the_step() -> None:
    """Radii 2 (left / price)^2: 0.005, 0.02 and, for what costs nothing, no end."""
    a, b, free = Allowance(5, 0, 1.0, 20.0), Allowance(6, 1, 2.0, 20.0), Allowance(7, 0, 1.0, 0.0)
    bounds = Bounds(0.01, 0.001, (b, a, free))
    up = {(5, 0): 1.0, (6, 1): 1.0, (7, 0): 1.0}
    assert bounds.tightest(Step(0.01, 0.0, up)) is a
    assert bounds.tightest(Step(0.01, 0.0, {**up, (5, 0): -1.0})) is b
    assert bounds.radius(Step(0.01, 0.0, {**up, (5, 0): -1.0})) == 0.01
    assert bounds.tightest(Step(0.01, 0.0, dict.fromkeys(up, 0.0))) is None
    assert told_allowance(a) == {"agent": 5, "cost": 0, "left": 1.0, "price": 20.0, "radius": pytest.approx(0.005)}
    assert (told_allowance(free) or {})["radius"] is None
    assert told_allowance(None) is None


# ---- the slack is never overspent ----


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_the_shares_of_the_cliques_never_overspend(data: st.DataObject) -> None:
    """Random graphs, orders, slacks and greedy spends: what raises h's cost adds up to no more than h's slack."""
    seed = data.draw(st.integers(0, 2**32 - 1))
    draw = np.random.default_rng(seed)
    agents = int(draw.integers(1, 10))
    graph = nx.gnp_random_graph(agents, float(draw.random()), seed=int(seed % 2**31))
    plan = plan_of(graph, data.draw(st.integers(0, 3)))
    slacks = {h: slack(float(draw.normal(2.0, 3.0)), float(draw.uniform(0.1, 50.0))) for h in range(agents)}
    bounds_of, turns, spent = {}, dict[int, Value](), np.zeros(agents)
    for me in draw.permutation(agents).tolist():
        heard = plan.neighbourhood(me)
        before = {m: told for m, told in turns.items() if m in plan.neighbours[me]}
        found = allowances(plan, me, {h: slacks[h] for h in heard}, before)
        bounds_of[me] = Bounds(10.0, 0.0, tuple(found))
        gains = {pair: float(draw.normal()) for pair in turn_surrogates(plan, me)}
        # As greedy as the bounds let it be.
        kl = bounds_of[me].radius(Step(0.0, 0.0, gains)) * (1.0 - 1e-5)
        step = Step(kl, kl, gains)
        assert bounds_of[me].breached(step) is None
        told = turn(plan, me, kl, 0.0)
        told[plan.samples + TURN_FIGURES :] = list(gains.values())
        turns[me] = told
        for (h, _), gain in gains.items():
            spent[h] += slacks[h][0, 1] * math.sqrt(kl / 2.0) if gain > 0.0 else 0.0
    for h in range(agents):
        assert spent[h] <= max(float(slacks[h][0, 0]), 0.0) * (1.0 + 1e-4) + 1e-6


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), kappa=st.integers(0, 3))
def test_a_clique_cover_is_a_partition_of_agents_that_hear_one_another(seed: int, kappa: int) -> None:
    draw = np.random.default_rng(seed)
    graph = nx.gnp_random_graph(int(draw.integers(1, 12)), float(draw.random()), seed=seed)
    neighbours = neighbours_within(graph, kappa)
    for h, cliques in enumerate(clique_cover(neighbours)):
        assert sorted(member for clique in cliques for member in clique) == sorted((h, *neighbours[h]))
        for clique in cliques:
            assert all(b in neighbours[a] for a in clique for b in clique if a != b)


# ---- sensitivities ----


def test_a_turn_is_read_back_as_the_step_that_it_tells_of() -> None:
    told = turn(PATH, 3, 0.02, 0.0, kl_max=0.25)
    told[PATH.samples + TURN_FIGURES :] = np.arange(5)
    step = told_step(PATH, 3, told)
    assert (step.kl_mean, step.kl_max) == (pytest.approx(0.02), 0.25)
    assert step.gains == {(h, 0): float(n) for n, h in enumerate((1, 2, 3, 4, 5))}


def test_a_sensitivity_is_cost_per_episode_over_total_variation() -> None:
    """1000 steps of gain 0.002 over sqrt(0.02 / 2) = 0.1 make 20; a tenth of it is new."""
    step = Step(0.02, 0.1, {(0, 0): -0.002})
    assert moved_sensitivity(10.0, [step], (0, 0), 1000) == pytest.approx(9.0 + 2.0)
    assert moved_sensitivity(10.0, [replace(step, kl_mean=0.0)], (0, 0), 1000) == 10.0
    assert moved_sensitivity(10.0, [replace(step, kl_mean=1e-14)], (0, 0), 1000) == 1e5
    assert moved_sensitivity(1e-3, [replace(step, gains={(0, 0): 0.0})], (0, 0), 1000) == 1e-3
