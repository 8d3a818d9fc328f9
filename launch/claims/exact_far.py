"""T6, what agents outside N_k can do to a cost, and T15, more coupling until decay fails."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scalmarl.agents.tabular.games import Game, Tables, random_game, random_tables
from scalmarl.agents.tabular.guaranteed import far_reserves
from scalmarl.agents.tabular.influence import (
    action_certificate,
    certified_decay,
    closed_loop,
    influence,
    ranges,
    tail,
)
from scalmarl.agents.tabular.updates import Settings, play
from scalmarl.agents.tabular.values import solve
from scalmarl.launch.claims.claim import Claim, verdict_of
from scalmarl.launch.claims.exact_decay import far_spreads
from scalmarl.launch.claims.exact_rounds import moves_of
from scalmarl.launch.claims.exact_settings import feasible_game, generator, orders_of, slope


def _far_change(game: Game, kappa: int, tables: Tables, radius: int, h: int, new: Tables) -> float:
    mixed = tuple(table if game.distances[h, agent] <= radius else new[agent] for agent, table in enumerate(tables))
    return float(abs(solve(game, kappa, mixed).costs[h] - solve(game, kappa, tables).costs[h]))


def far_ledger(quick: bool, seed: int) -> Iterator[Claim]:
    """T6: the far agents move by TV <= 0.1, at random or all the way; J^h against the two forms of T_k."""
    cap, gamma, games = 0.1, 0.6, 2 if quick else 8
    for reading, id in ((0, "T6.1"), (1, "T6.2")):
        broken, checked, printed, finite = 0, 0, 0, 0
        worst, by_hop = 0.0, np.zeros(4)
        for number in range(games):
            for place, (shape, agents) in enumerate((("path", 5), ("ring", 6), ("grid", 6))):
                draw = generator(seed, 6, reading, place, number)
                game = random_game(shape, agents, 0.3 * draw.random(), gamma, draw)
                tables = random_tables(game, reading, draw)
                decay = action_certificate(game, reading, tables, margin=cap)
                loop = closed_loop(game, reading, tables, margin=cap)
                for trial in range(2 if quick else 6):
                    size = cap if trial % 2 == 0 else cap * draw.random()
                    new = tuple(
                        np.clip(t + size * np.array([1.0, -1.0]) * draw.choice([-1.0, 1.0], (len(t), 1)), 0.0, 1.0)
                        for t in tables
                    )
                    for radius in range(reading, int(game.distances.max())):
                        reserve = far_reserves(game, radius, decay, cap)
                        closed = cap * ranges(game.costs) / (1.0 - gamma) * tail(loop, game, radius + 1)
                        for h in range(game.agents):
                            change = _far_change(game, reading, tables, radius, h, new)
                            by_hop[min(radius, 3)] = max(by_hop[min(radius, 3)], change)
                            checked, finite = checked + 1, finite + int(np.isfinite(closed[h]))
                            broken += int(change > reserve[h] + 1e-12)
                            printed += int(change > closed[h] + 1e-12)
                            worst = max(worst, change / reserve[h]) if reserve[h] > 0 else worst
        who = "own state" if reading == 0 else "1 hop"
        hops = [float(k) for k in range(reading, 4)]
        yield Claim(
            id, "All agents outside N_k(h) together change J^h in a round by at most T_k.", "repaired",
            f"path-5, ring-6, grid-6, w < 0.3, gamma = {gamma}, TV <= {cap}, policies read {who}, {checked} cases",
            f"{broken} broken by the resolvent form (at most {worst:.3f}), {printed} by L2's (finite in {finite}); "
            f"largest change per k {', '.join(f'{value:.1e}' for value in by_hop[reading:])}",
            "0 broken", verdict_of(broken == 0 and printed == 0), {"k": hops, "change": list(by_hop[reading:])},
        )  # fmt: skip


def coupling_sweep(quick: bool, seed: int) -> Iterator[Claim]:
    """T15: w from 0 to 1 with parity kernels, which forget nothing; and the guaranteed variant against w and gamma."""
    gamma = 0.9
    weights = [0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0]
    slopes, betas = [], []
    for weight in weights:
        game = random_game("path", 6, weight, gamma, generator(seed, 15), kind="parity")
        loop = influence(game)
        betas.append(certified_decay(loop, game))
        tables = random_tables(game, 0, generator(seed, 15, 1))
        solution = solve(game, 0, tables)
        slopes.append(slope(far_spreads(game, solution, of_advantage=False)[:-1]))
    lost = next((w for w, beta in zip(weights, betas) if beta is None), np.inf)
    failed = next((w for w, steep in zip(weights, slopes) if steep > np.log(0.75)), np.inf)
    yield Claim(
        "T15.1", "As coupling grows the certificate is lost before the decay is.", "repaired",
        f"path-6, parity kernels, gamma = {gamma}, w = 0 to 1",
        f"certificate lost at w = {lost:g}; Q's spread falls by under a quarter per hop from w = {failed:g}; slopes "
        + ", ".join(f"{steep:.2f}" for steep in slopes),
        "lost at a smaller or equal w", "undecided" if not np.isfinite(failed) else verdict_of(lost <= failed),
        {"w": weights, "slope": slopes, "certified beta": [float("nan") if b is None else b for b in betas]},
    )  # fmt: skip
    yield _stops("T15.2", "more coupling", "w", [(weight, 0.6) for weight in (0.0, 0.1, 0.2, 0.4, 0.8)], quick, seed)
    gammas = [(0.1, gamma) for gamma in (0.6, 0.8, 0.9, 0.95, 0.99)]
    yield _stops("T15.3", "a longer horizon", "gamma", gammas, quick, seed)


def _stops(id: str, what: str, axis: str, cases: list[tuple[float, float]], quick: bool, seed: int) -> Claim:
    """The guaranteed variant on the same games with ever harder (w, gamma), ``axis`` being the one that changes."""
    gains, moves, falls, games = [], [], 0, 2 if quick else 6
    for weight, gamma in cases:
        gain, moved, turns = 0.0, 0, 0
        for number in range(games):
            draw = generator(seed, 15, 2, number)
            game, tables = feasible_game("path", 5, weight, gamma, 1, 0.05, draw)
            run = play(game, tables, "guaranteed", orders_of(5, 10, draw), Settings())
            falls += len(run.decreases) + len(run.violations(game.limits))
            gain += float(run.team[-1] / run.team[0] - 1.0) / games
            moved, turns = moved + moves_of(run), turns + sum(map(len, run.turns))
        gains.append(gain)
        moves.append(moved / turns)
    hard = [weight if axis == "w" else gamma for weight, gamma in cases]
    fixed = f"gamma = {cases[0][1]:g}" if axis == "w" else f"w = {cases[0][0]:g}"
    return Claim(
        id, f"With {what} the accept test stops moves rather than breaking its promise.", "guaranteed",
        f"path-5, k = 1, {fixed}, slack 0.05 / (1 - gamma), 10 rounds, {axis} = {', '.join(f'{x:g}' for x in hard)}",
        f"{falls} decreases or violations; turns that move " + ", ".join(f"{m:.0%}" for m in moves)
        + "; gain of J " + ", ".join(f"{g:.1%}" for g in gains),
        f"0 broken, and fewer moves at the last {axis} than at the first",
        verdict_of(falls == 0 and moves[-1] < moves[0]), {axis: hard, "moves": moves, "gain": gains},
    )  # fmt: skip
