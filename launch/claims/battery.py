"""The battery: every family of claims in order, what each costs in time, and one claim after the other as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scalmarl.launch.claims.claim import Claim
from scalmarl.launch.claims.exact import exact_claims
from scalmarl.launch.claims.laboratory import Laboratory
from scalmarl.launch.claims.sampled_learning import Budget, ablation_claims, kappa_claims, multiplier_claims
from scalmarl.launch.claims.sampled_messages import bytes_claims, fault_claims, phase_claims, turn_claims
from scalmarl.launch.errors import UsageProblem

EXACT = ("T1", "T2", "T3", "T4", "T5", "T6", "T15", "T16", "T18", "T20", "T21")
MESSAGES: dict[str, Callable[[Laboratory, bool], Iterator[Claim]]] = {
    "T7": bytes_claims,
    "T11": phase_claims,
    "T14": turn_claims,
    "T19": fault_claims,
}
LEARNT: dict[str, Callable[[Laboratory, Budget], Iterator[Claim]]] = {
    "T12": kappa_claims,
    "T13": ablation_claims,
    "T17": multiplier_claims,
}
FAMILIES = tuple(sorted((*EXACT, *MESSAGES, *LEARNT), key=lambda id: int(id[1:])))
STEPS_PER_S = 2500.0
"""Environment steps of eight agents a second on two cores, learning included; only to say beforehand what to expect."""
_SETTINGS = {"T12": 6.0, "T13": 5.0, "T17": 0.6}
"""How many each compares, in runs of all rounds; T12 and T13 share the repaired algorithm at kappa 2."""
_MESSAGES_S = {True: 15.0, False: 90.0}


@dataclass(frozen=True)
class Measured:
    """A claim, and the seconds since the one before it."""

    claim: Claim
    seconds: float


def families(only: str | None) -> tuple[str, ...]:
    """The families that ``--only`` names, or all. Raises ``UsageProblem``."""
    if only is None:
        return FAMILIES
    wanted = [word.strip() for word in only.split(",") if word.strip()]
    unknown = [word for word in wanted if word not in FAMILIES]
    if unknown or not wanted:
        raise UsageProblem(
            f"--only {only!r} names no claim{': ' + ', '.join(unknown) if unknown else ''}",
            f"choose among {', '.join(FAMILIES)}",
        )
    return tuple(family for family in FAMILIES if family in wanted)


def expected_s(wanted: tuple[str, ...], quick: bool, budget: Budget) -> float:
    """About how long the battery takes on two cores if no run is there yet."""
    exact = (90.0 if quick else 900.0) if set(wanted) & set(EXACT) else 0.0
    settings = sum(_SETTINGS.get(family, 0.0) for family in wanted) + ("T13" in wanted and "T12" not in wanted)
    each = budget.seeds * ((3.0 if quick else 10.0) + budget.env_steps / STEPS_PER_S)
    return exact + settings * each + sum(_MESSAGES_S[quick] for family in wanted if family in MESSAGES)


def battery(laboratory: Laboratory, wanted: tuple[str, ...], quick: bool, budget: Budget) -> Iterator[Measured]:
    """Measure the wanted families: exact ones first, those that must learn last. ``budget``: of each learning run."""
    last = time.monotonic()
    for claim in _claims(laboratory, wanted, quick, budget):
        now = time.monotonic()
        yield Measured(claim, now - last)
        last = now


def _claims(laboratory: Laboratory, wanted: tuple[str, ...], quick: bool, budget: Budget) -> Iterator[Claim]:
    if set(wanted) & set(EXACT):
        yield from (claim for claim in exact_claims(quick) if claim.family in wanted)
    for family in wanted:
        if family in MESSAGES:
            yield from MESSAGES[family](laboratory, quick)
    for family in wanted:
        if family in LEARNT:
            yield from LEARNT[family](laboratory, budget)
