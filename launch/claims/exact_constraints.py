"""T5, T20, T21: what happens to the limits, round by round, and whose moves broke them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scalmarl.agents.tabular.games import Array, Game
from scalmarl.agents.tabular.updates import VARIANTS, History, Settings, play
from scalmarl.agents.tabular.values import contributions, solve
from scalmarl.launch.claims.claim import Claim, verdict_of
from scalmarl.launch.claims.exact_rounds import moves_of, runs_of, words_of_moves
from scalmarl.launch.claims.exact_settings import feasible_game, generator, lowest_costs, orders_of

RESERVES = (0.0, 1e-4, 1e-3)
"""What T5.3 to T5.5 hold back of every slack; the slack itself is 0.075."""


def who_broke(game: Game, kappa: int, run: History) -> Array:
    """What h's own moves, those of the others in N_k(h), and those of all others contributed to J^h, ``[3]``, summed
    over every limit that was broken."""
    total = np.zeros(3)
    for round, h in run.broken(game.limits):
        start, end = (solve(game, kappa, tables) for tables in run.policies[round : round + 2])
        order = tuple(turn.agent for turn in run.turns[round])
        parts = contributions(start, end, order)[game.agents + h]
        near = game.distances[h] <= kappa
        total += [parts[h], parts[near].sum() - parts[h], parts[~near].sum()]
    return total


def words_of_who_broke(parts: Array) -> str:
    """The shares of ``who_broke``; nothing where nothing was broken."""
    if not parts.any():
        return ""
    own, near, far = parts / parts.sum()
    return f"; their rises: own move {own:.1%}, neighbours' moves {near:.1%}, moves out of hearing {far:.1%}"


def constraints(quick: bool, seed: int) -> Iterator[Claim]:
    """T5: limits broken by a round that began with all of them kept, against the coupling; two kinds of games."""
    kinds = (
        ("T5.1", "state-costs", "C^i = s^i"),
        ("T5.2", "driven", "agents 0 and 2 have costs C^i = s^i and follow their neighbours' states alone"),
    )
    for id, kind, words in kinds:
        for name in VARIANTS:
            if name != "printed-team":
                yield constraint(id, kind, words, name, quick, seed)
    for number, reserve in enumerate(RESERVES, start=3):
        words = f"C^i = s^i, other games than T5.1's, cost_truncation_error {reserve:g}"
        yield constraint(f"T5.{number}", "state-costs", words, "scal-mappo-l-exact", quick, seed + 1, reserve)


def constraint(id: str, kind: str, words: str, name: str, quick: bool, seed: int, reserve: float = 0.0) -> Claim:
    """One variant's line: counts and sizes per coupling; ``reserve`` is taken off every slack where the radius is
    exact."""
    weights, rounds, games = (0.0, 0.2, 0.4, 0.8), 15 if quick else 40, 2 if quick else 8
    if kind == "driven":  # the draw decides nothing here but the first policies: fewer games, more rounds
        rounds, games = 2 * rounds, games // 2
    settings = Settings(clip=0.05, rate=2.0, cost_truncation_error=reserve)
    counts, sizes, totals, moves, starts, culprits = [], [], [], [], 0, np.zeros(3)
    for weight in weights:
        excess, over, moved = [], 0.0, 0
        for number in range(games):
            draw = generator(seed, 5, number)
            game, tables = feasible_game("path", 4, weight, 0.6, 1, 0.03, draw, kind)
            run = play(game, tables, name, orders_of(4, rounds, draw), settings, first=1.0)
            excess.append(run.violations(game.limits))
            over += float(np.maximum(0.0, run.costs - game.limits)[-5:].sum(axis=1).mean()) / games
            starts += int(run.feasible(game.limits).sum())
            moved += moves_of(run)
            culprits += who_broke(game, settings.kappa, run)
        every = np.concatenate(excess)
        counts.append(float(len(every)))
        sizes.append(float(every.max(initial=0.0)))
        totals.append(over)
        moves.append(moved)
    broken, turns = int(sum(counts)), games * rounds * 4
    measured = (
        f"limits broken per w {', '.join(f'{count:.0f}' for count in counts)}, by at most "
        f"{', '.join(f'{size:.1e}' for size in sizes)}; excess in the last 5 rounds "
        f"{', '.join(f'{total:.1e}' for total in totals)}; of {turns} turns each, "
        f"{', '.join(map(str, moves))} move{'' if any(moves) else ': vacuous'}{words_of_who_broke(culprits)}"
    )
    return Claim(
        id, "A round that begins with every limit kept ends with every limit kept.", name,
        f"path-4, {words}, k = 1, gamma = 0.6, slack 0.03 / (1 - gamma), "
        f"w = {', '.join(f'{w:g}' for w in weights)}, {starts} feasible rounds", measured,
        "0 broken, and it moves", verdict_of(broken == 0) if any(moves) else "undecided",
        {"w": list(weights), "broken": counts, "largest excess": sizes, "late excess": totals},
    )  # fmt: skip


def infeasible_start(quick: bool, seed: int) -> Iterator[Claim]:
    """T20: limits half way between the start and what cost-only policies reach, so that all can be kept."""
    rounds = 60 if quick else 150
    for name in ("printed", "neighbour-costs", "repaired", "scal-mappo-l-exact", "guaranteed"):
        needed, excess, ends, recovered, moves, games = [], [], [], 0, 0, 0
        for number in range(3 if quick else 10):
            draw = generator(seed, 20, number)
            game, tables = feasible_game("path", 4, 0.2, 0.6, 1, 0.0, draw)
            settings = Settings(clip=0.1, rate=5.0)
            before = solve(game, 1, tables).costs
            lowest, _ = lowest_costs(game, tables, settings)
            game = game.with_limits(np.maximum(lowest, 0.5 * (before + lowest)))
            run = play(game, tables, name, orders_of(4, rounds, draw), settings)
            over = np.maximum(0.0, run.costs - game.limits)
            kept = np.flatnonzero(over.max(axis=1) <= 1e-10)
            games, moves = games + 1, moves + moves_of(run)
            recovered += int(len(kept) > 0)
            needed.append(float(kept[0]) if len(kept) else float("nan"))
            excess.append(float(over.sum()))
            ends.append((float(over[0].max()), float(over[-20:].max(axis=1).mean())))
        first = [f"{value:.0f}" for value in needed if np.isfinite(value)]
        yield Claim(
            "T20", "From an infeasible start all limits are kept at some round.", name,
            f"path-4, w = 0.2, k = 1, gamma = 0.6, limits half way to the lowest costs, {rounds} rounds, {games} games",
            f"feasible in {recovered} of {games} games, first at rounds {', '.join(first) or 'none'}; total excess "
            f"{np.mean(excess):.2f} on the mean; largest excess {np.mean([a for a, _ in ends]):.3f} at the start, "
            f"{np.mean([b for _, b in ends]):.3f} in the last 20 rounds; {moves} of {4 * rounds * games} turns move",
            "every game", verdict_of(recovered == games),
        )  # fmt: skip


def ledger(quick: bool, seed: int) -> Iterator[Claim]:
    """T21: rounds that the ledger of clique shares called safe, and the cost that followed; wide and narrow radius."""
    rounds = 12 if quick else 60
    cases: tuple[tuple[str, float, float | None, float], ...] = (
        ("repaired", 0.5, 0.6, 0.8), ("repaired", 0.05, None, 0.6), ("scal-mappo-l-exact", 0.5, 0.6, 0.8),
        ("scal-mappo-l-exact", 0.05, None, 0.6), ("guaranteed", 0.5, 0.6, 0.8), ("guaranteed", 0.05, None, 0.6),
    )  # fmt: skip
    for name, wide, coupling, gamma in cases:
        settings = Settings(clip=0.4, kl_max=wide, tv_cap=0.05)
        played = runs_of(name, quick, seed, 0.05, settings, rounds, coupling, gamma)
        over = np.concatenate([run.violations(game.limits) for game, run in played])
        rows = sum(int(run.feasible(game.limits).sum()) for game, run in played)
        culprits = np.sum([who_broke(game, settings.kappa, run) for game, run in played], axis=0)
        runs = [run for _, run in played]
        bound = "TV <= 0.05" if name == "guaranteed" else f"clip 0.4, KL <= {wide}"
        yield Claim(
            "T21", "No J^h passes its limit in a round whose local ledger of clique shares was kept.", name,
            f"path-4, ring-5, grid-6, k = 1, w = {coupling or '0.1 to 0.2'}, gamma = {gamma}, "
            f"slack 0.05 / (1 - gamma), {bound}, {rows} safe rounds",
            f"{len(over)} limits broken, by at most {over.max(initial=0.0):.1e}; "
            f"{words_of_moves(runs)}{words_of_who_broke(culprits)}",
            "0 broken, and it moves", verdict_of(len(over) == 0) if any(map(moves_of, runs)) else "undecided",
        )  # fmt: skip
