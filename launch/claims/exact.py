"""The exact half of the battery: games solved exactly, T1 to T6, T15, T16, T18, T20, T21."""

from __future__ import annotations

from collections.abc import Iterator

from scalmarl.launch.claims.claim import Claim
from scalmarl.launch.claims.exact_constraints import constraints, infeasible_start, ledger
from scalmarl.launch.claims.exact_counterexamples import counterexample_claims
from scalmarl.launch.claims.exact_decay import advantage_decay, surrogate_gap
from scalmarl.launch.claims.exact_far import coupling_sweep, far_ledger
from scalmarl.launch.claims.exact_limits import agent_limits, order_dependence
from scalmarl.launch.claims.exact_rounds import monotonicity


def exact_claims(quick: bool, seed: int = 0) -> Iterator[Claim]:
    """All claims, in the order of their ids; a function of ``quick`` and ``seed`` alone."""
    yield from advantage_decay(quick, seed)
    yield from surrogate_gap(quick, seed)
    yield from counterexample_claims()
    yield from monotonicity(quick, seed)
    yield from constraints(quick, seed)
    yield from far_ledger(quick, seed)
    yield from coupling_sweep(quick, seed)
    yield from agent_limits(quick, seed)
    yield from order_dependence(quick, seed)
    yield from infeasible_start(quick, seed)
    yield from ledger(quick, seed)
