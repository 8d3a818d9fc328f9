from __future__ import annotations

import numpy as np
import pytest

from scalmarl.agents.tabular.updates import Settings, play
from scalmarl.launch.claims.claim import Claim
from scalmarl.launch.claims.exact import exact_claims
from scalmarl.launch.claims.exact_constraints import constraint, who_broke, words_of_who_broke
from scalmarl.launch.claims.exact_counterexamples import counterexample_claims
from scalmarl.launch.claims.exact_decay import advantage_decay, surrogate_gap
from scalmarl.launch.claims.exact_limits import agent_limits
from scalmarl.launch.claims.exact_settings import feasible_game, generator, orders_of, slope


def by_id(claims: list[Claim]) -> dict[tuple[str, str], Claim]:
    return {(claim.id, claim.variant): claim for claim in claims}


def test_both_counterexamples_refute_the_print_and_spare_the_repair() -> None:
    claims = list(counterexample_claims())
    verdicts = [(claim.id, claim.variant, claim.verdict) for claim in claims]
    assert ("T3.1", "printed", "fails") in verdicts
    assert ("T3.2", "printed", "fails") in verdicts
    assert all(claim.verdict == "holds" for claim in claims if claim.variant in ("repaired", "guaranteed"))
    assert "J changes by -0.125" in claims[0].measured
    assert any("3.56 to 3.92" in claim.measured for claim in claims)


def test_decay_and_gap_have_their_verdicts_and_curves() -> None:
    claims = by_id([*advantage_decay(True, 0), *surrogate_gap(True, 0)])
    assert claims["T1.1", "repaired"].verdict == "holds"
    assert claims["T1.3", "printed"].verdict == "fails"
    assert claims["T2.1", "printed"].verdict == "fails"
    assert claims["T2.2", "repaired"].verdict == "holds"
    for claim in claims.values():
        assert {claim.verdict} <= {"holds", "fails", "undecided"}
        assert all(text for text in (claim.id, claim.claim, claim.variant, claim.setting, claim.measured, claim.bound))
        assert all(isinstance(value, float) for curve in claim.figures.values() for value in curve)


def test_multipliers_tell_tight_from_loose() -> None:
    own, shared = agent_limits(True, 0)
    assert (own.verdict, shared.verdict) == ("holds", "fails")


def test_the_same_seed_gives_the_same_claims_and_the_guarantee_is_never_broken() -> None:
    first = constraint("T5.2", "driven", "driven", "guaranteed", True, 1)
    assert first == constraint("T5.2", "driven", "driven", "guaranteed", True, 1)
    assert first.verdict == "holds"


def test_an_agent_that_holds_all_its_slack_back_does_not_move_what_costs() -> None:
    calm = constraint("T5.3", "state-costs", "", "scal-mappo-l-exact", True, 0, reserve=1.0)
    assert calm.figures["broken"] == [0.0] * 4
    assert "120 feasible rounds" in calm.setting, "every round began inside"


def test_a_limit_that_only_neighbours_can_keep_is_broken_by_own_costs_alone() -> None:
    claim = constraint("T5.2", "driven", "driven", "printed", True, 0)
    assert claim.verdict == "fails"
    assert claim.figures["broken"][0] == 0.0
    assert claim.figures["broken"][-1] > 0.0


def test_where_an_agent_cannot_move_its_own_cost_its_neighbours_broke_the_limit() -> None:
    draw = generator(0, 5, 0)
    game, tables = feasible_game("path", 4, 0.8, 0.6, 1, 0.03, draw, "driven")
    orders = orders_of(4, 30, draw)
    run = play(game, tables, "printed", orders, Settings(clip=0.05, rate=2.0), first=1.0)
    assert run.broken(game.limits)
    own, near, far = who_broke(game, 1, run)
    rises = [run.costs[round + 1, h] - run.costs[round, h] for round, h in run.broken(game.limits)]
    assert own == 0.0
    assert own + near + far == pytest.approx(sum(rises), rel=1e-9)
    assert near > 0.9 * sum(rises)
    assert "own move 0.0%" in words_of_who_broke(np.array([own, near, far]))
    assert words_of_who_broke(np.zeros(3)) == ""


def test_the_battery_is_lazy_and_starts_with_t1() -> None:
    assert next(exact_claims(True)).id == "T1.1"


def test_slope_of_a_geometric_sequence() -> None:
    assert slope([1.0, 0.5, 0.25, 0.0]) == pytest.approx(-0.6931471805599453)
