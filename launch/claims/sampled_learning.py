"""Claims about what is learnt, each a comparison over seeds: T12, T13, T17."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from scalmarl.launch.claims.claim import DISJOINT, Claim, Verdict, differ, more, spread, verdict_of
from scalmarl.launch.claims.laboratory import Finished, Laboratory

TASK = ("--task", "safe-manyant:8x1")
CHEETAHS = ("--task", "cheetahs", "--agents", "4")
"""Costs arise from the first rounds on, so that even a short run asks something of a multiplier."""
VISIBLE = {0: 1, 1: 3, 2: 5, 7: 8}
"""Hops -> agents that an inner agent of the chain sees, itself included: what the paper calls kappa."""
MOVES = 1e-3
PUBLISHED = ("learner.multiplier_start=0.78", "learner.multiplier_rate=1e-7")


@dataclass(frozen=True)
class Budget:
    """How much each run of a comparison may learn from."""

    seeds: int
    rounds: int
    envs: int
    steps: int

    @property
    def env_steps(self) -> int:
        """Of each run."""
        return self.rounds * self.envs * self.steps

    def words(self) -> str:
        """For the report."""
        return f"{self.seeds} seed{'s' * (self.seeds > 1)}, {self.env_steps:,} steps each"


QUICK = Budget(1, 8, 16, 32)
FULL = Budget(3, 245, 32, 128)
"""The runs of docs/results.md: copies and steps are the defaults."""


@dataclass(frozen=True)
class Sample:
    """One setting over seeds: return of the team and cost per agent, per episode."""

    runs: tuple[Finished, ...]

    @property
    def returns(self) -> list[float]:
        """A mean of the last quarter of the rounds per seed."""
        return [run.mean("return_rate") for run in self.runs]

    @property
    def costs(self) -> list[float]:
        """The mean over agents, of the last quarter of the rounds, per seed."""
        return [run.mean("cost_rate_agent") for run in self.runs]

    def words(self) -> str:
        """Both, with the range over seeds."""
        return f"return {spread(self.returns)}, cost {spread(self.costs)}"


class Comparison:
    """Runs of one task and budget under several settings."""

    def __init__(self, laboratory: Laboratory, budget: Budget, task: tuple[str, ...] = TASK) -> None:
        self._laboratory, self.budget, self._task = laboratory, budget, task

    def sample(self, name: str, *flags: str, switches: tuple[str, ...] = ()) -> Sample:
        """The setting's runs, one per seed."""
        budget = self.budget
        sizes = ("--rounds", str(budget.rounds), "--envs", str(budget.envs), "--steps", str(budget.steps))
        chosen = [word for switch in switches for word in ("--set", switch)]
        return Sample(
            tuple(
                self._laboratory.run(f"{name}, seed {seed}", *self._task, *flags, *sizes, "--seed", str(seed), *chosen)
                for seed in range(budget.seeds)
            )
        )

    def repaired(self, *switches: str, kappa: int = 2) -> Sample:
        """The repaired algorithm, with switches of its own."""
        name = f"scal-mappo-l, kappa {kappa}{''.join(f', {switch}' for switch in switches)}"
        return self.sample(name, "--algo", "scal-mappo-l", "--kappa", str(kappa), switches=switches)

    def setting(self, what: str) -> str:
        """For the report."""
        return (
            f"{' '.join(self._task)}, {what}; {self.budget.words()}; mean [range] over seeds of the "
            "rates per episode in the last quarter of the rounds"
        )

    def claim(self, id: str, claim: str, variant: str, what: str, measured: str, verdict: Verdict) -> Claim:
        """A comparison's line."""
        return Claim(id, claim, variant, self.setting(what), measured, DISJOINT, verdict)


def kappa_claims(laboratory: Laboratory, budget: Budget) -> Iterator[Claim]:
    """T12: return and cost against kappa, in hops and in visible agents."""
    compare = Comparison(laboratory, budget)
    hops = {kappa: compare.repaired(kappa=kappa) for kappa in VISIBLE}
    anchors = {algo: compare.sample(algo, "--algo", algo) for algo in ("mappo-l", "ippo")}
    rows = [f"kappa {k} hops ({VISIBLE[k]} visible): {sample.words()}" for k, sample in hops.items()]
    rows += [f"{algo}: {sample.words()}" for algo, sample in anchors.items()]
    measured = "; ".join(rows)
    what = "local rewards (mappo-l: the team's)"
    yield Claim(
        "T12.1",
        "Two hops of neighbours give more return than none",
        "repaired",
        compare.setting(what),
        measured,
        DISJOINT,
        more(hops[2].returns, hops[0].returns),
        {
            "visible agents": [float(VISIBLE[k]) for k in hops],
            "return": [sum(s.returns) / len(s.returns) for s in hops.values()],
            "cost per agent": [sum(s.costs) / len(s.costs) for s in hops.values()],
        },
    )
    for id, claim, verdict, words in (
        (
            "T12.2", "Two hops of neighbours give less cost than none", more(hops[0].costs, hops[2].costs),
            f"costs {spread(hops[2].costs)} at 2 hops, {spread(hops[0].costs)} at 0",
        ),
        (
            "T12.3", "The knee of the paper: 3 visible agents (1 hop) give more return than 1 (0 hops)",
            more(hops[1].returns, hops[0].returns),
            f"returns {spread(hops[1].returns)} at 1 hop, {spread(hops[0].returns)} at 0",
        ),
        (
            "T12.4", "Two hops give a return above that of the full state (mappo-l)",
            more(hops[2].returns, anchors["mappo-l"].returns),
            f"returns {spread(hops[2].returns)} and {spread(anchors['mappo-l'].returns)}; overlap decides nothing",
        ),
    ):  # fmt: skip
        yield compare.claim(id, claim, "repaired", what, words, verdict)


def ablation_claims(laboratory: Laboratory, budget: Budget) -> Iterator[Claim]:
    """T13: the predecessors' factor, whose costs, whose rewards, and the ledger's radius, each against the default."""
    compare = Comparison(laboratory, budget)
    whole = compare.repaired()
    without = compare.repaired("learner.factor=none")
    yield compare.claim(
        "T13.1", "The predecessors' ratios give more return", "repaired", "kappa 2, learner.factor none",
        f"neighbourhood: {whole.words()}; none: {without.words()}", more(whole.returns, without.returns),
    )  # fmt: skip
    free = compare.repaired("learner.radius=off")
    own = compare.repaired("learner.cost_terms=own", "learner.radius=off")
    yield compare.claim(
        "T13.2", "Charging the neighbours' costs gives less cost", "repaired",
        "kappa 2, learner.radius off, learner.cost_terms own against neighbourhood",
        f"neighbourhood: {free.words()}; own: {own.words()}", more(own.costs, free.costs),
    )  # fmt: skip
    alone, team = (compare.repaired(f"learner.reward_terms={terms}") for terms in ("own", "team"))
    yield compare.claim(
        "T13.3", "The neighbours' summed rewards give more return than the own", "repaired",
        "kappa 2, learner.reward_terms own, neighbourhood, team",
        f"neighbourhood: {whole.words()}; own: {alone.words()}; team: {team.words()}",
        more(whole.returns, alone.returns),
    )  # fmt: skip
    yield compare.claim(
        "T13.4", "The ledger's radius gives less cost", "repaired", "kappa 2, learner.radius ledger against off",
        f"ledger: {whole.words()}; off: {free.words()}", more(free.costs, whole.costs),
    )  # fmt: skip


def multiplier_claims(laboratory: Laboratory, budget: Budget) -> Iterator[Claim]:
    """T17: the published start and rate of the multiplier against the default rule, over three tenths of the rounds:
    costs ask something of a multiplier from the first on."""
    compare = Comparison(
        laboratory, replace(budget, rounds=min(budget.rounds, max(8, 3 * budget.rounds // 10))), CHEETAHS
    )
    frozen, learnt = compare.repaired(*PUBLISHED), compare.repaired()
    for id, variant, sample, what in (
        ("T17.1", "published rate", frozen, f"kappa 2, {', '.join(PUBLISHED)}, steps relative and bounded"),
        ("T17.2", "repaired", learnt, "kappa 2, default start and rate"),
    ):
        moved = [_moved(run) for run in sample.runs]
        yield Claim(
            id,
            "The multiplier responds to the constraint",
            variant,
            compare.setting(what),
            f"multipliers moved by at most {max(moved):.2g}, to {_ends(sample)}",
            f"holds if some multiplier moves by more than {MOVES:g} in every seed; one seed decides; undecided where "
            "no cost ever asked a multiplier to move",
            verdict_of(min(moved) > MOVES) if all(_asked(run) for run in sample.runs) else "undecided",
        )
    yield compare.claim(
        "T17.3", "A learnt multiplier gives another cost than a frozen one", "published rate against default",
        f"kappa 2, {', '.join(PUBLISHED)} against the defaults", f"frozen: {frozen.words()}; learnt: {learnt.words()}",
        differ(frozen.costs, learnt.costs),
    )  # fmt: skip


def _moved(run: Finished) -> float:
    """The furthest that a multiplier of the run strayed from its start."""
    rows = [line["lambda_agent"] for line in run.lines]
    start = float(run.plan.learner["multiplier_start"])
    return float(max(abs(value - start) for row in rows for value in row))


def _asked(run: Finished) -> bool:
    """Whether some cost was above its limit, or below it while its multiplier could still fall."""
    return any(
        estimate > limit or (estimate < limit and value > 0)
        for line in run.lines
        for estimate, limit, value in zip(line["cost_estimate_agent"], line["cost_limit"], line["lambda_agent"])
    )


def _ends(sample: Sample) -> str:
    ends = [value for run in sample.runs for value in run.lines[-1]["lambda_agent"]]
    return f"{min(ends):.4g} to {max(ends):.4g} over agents and seeds"
