"""T1, decay of the advantage with distance, and T2, the gap of the truncated surrogate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scalmarl.agents.tabular.games import Array, Game, random_game, random_tables
from scalmarl.agents.tabular.influence import certified_decay, influence, ranges, row_sum, tail
from scalmarl.agents.tabular.values import Solution, solve, spread_outside
from scalmarl.launch.claims.claim import Claim, verdict_of
from scalmarl.launch.claims.exact_settings import generator, slope

SHAPES = (("path", 6), ("ring", 6), ("grid", 6))


def far_spreads(game: Game, solution: Solution, of_advantage: bool = True) -> list[float]:
    """For k = 0 .. diameter: the largest change of A_i(s, a), or of Q_i, by agents outside N_k(i)."""
    diameter = int(game.distances.max())
    level = solution.V if of_advantage else np.zeros_like(solution.V)
    return [
        max(
            spread_outside(game, solution.Q[i] - level[i][:, None], game.neighbourhood(i, k))
            for i in range(game.agents)
        )
        for k in range(diameter + 1)
    ]


def advantage_decay(quick: bool, seed: int) -> Iterator[Claim]:
    """T1: appendix constant with the halved zeta and k + 1 against the main text's and the un-halved zeta."""
    games, gamma, broken, checked = 2 if quick else 10, 0.7, 0, 0
    slopes: list[tuple[float, float]] = []
    curves: dict[str, list[float]] = {"k": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]}
    worst, largest = 0.0, 0.0
    for place, (shape, agents) in enumerate(SHAPES):
        for number in range(games):
            draw = generator(seed, 1, place, number)
            game = random_game(shape, agents, 0.15 + 0.2 * draw.random(), gamma, draw)
            loop = influence(game)
            beta = certified_decay(loop, game)
            if beta is None:
                continue
            spreads = far_spreads(game, solve(game, 0, random_tables(game, 0, draw)))
            scale = float(ranges(game.rewards).max())
            bounds = [2.0 * scale * tail(loop, game, k + 1) for k in range(len(spreads))]
            broken += sum(spread > bound + 1e-12 for spread, bound in zip(spreads, bounds))
            worst = max(worst, max(spread / bound for spread, bound in zip(spreads, bounds)))
            largest = max(largest, spreads[0])
            checked += len(spreads)
            slopes.append((slope(spreads), -beta))
            if number == 0:
                curves[f"{shape}-{agents}"], curves[f"{shape}-{agents} bound"] = spreads, bounds
    setting = f"path, ring, grid of 6, gamma = {gamma}, own-state policies, {len(slopes)} games with a certificate"
    yield Claim(
        "T1.1", "Far states and actions change A_i by at most eta phi^(k+1) rng(r), eta of the appendix, zeta halved.",
        "repaired", setting, f"{broken} of {checked} bounds broken; measured at most {worst:.3f} of the bound",
        "0 broken", verdict_of(broken == 0), curves,
    )  # fmt: skip
    steep = sum(measured <= certified for measured, certified in slopes)
    yield Claim(
        "T1.2", "The measured decay is at least as steep as the certified beta.", "repaired", setting,
        f"steeper in {steep} of {len(slopes)} games; slopes {np.mean([s for s, _ in slopes]):.2f} against "
        f"{np.mean([c for _, c in slopes]):.2f} on the mean", "all", verdict_of(steep == len(slopes)),
    )  # fmt: skip
    yield Claim(
        "T1.3", "eta = xi gamma zeta / (1 - gamma zeta) of the main text bounds it (xi = 0 here, so A_i is local).",
        "printed", setting, f"largest far change of A_i at k = 0 {largest:.3f}", "0", verdict_of(largest <= 1e-12),
    )  # fmt: skip
    yield _unhalved(seed, gamma)
    yield _uncertified(quick, seed)


def _unhalved(seed: int, gamma: float) -> Claim:
    """A game that meets the printed A2.1, 1/gamma < zeta < 2/gamma in L1, where the printed constant is negative."""
    for number in range(100):
        game = random_game("path", 4, 0.25, gamma, generator(seed, 1, 90, number))
        zeta = 2.0 * row_sum(influence(game), game, 0.0)
        if 1.0 / gamma < zeta < 2.0 / gamma:
            break
    eta = 2.0 * gamma * zeta / (1.0 - gamma * zeta)
    measured = far_spreads(game, solve(game, 0, random_tables(game, 0, generator(seed, 1, 91))))[0]
    return Claim(
        "T1.4", "eta of the appendix bounds it with zeta as printed, in L1, for every zeta < 2 / gamma.", "printed",
        f"{game.name}, zeta = {zeta:.2f} < {2 / gamma:.2f}", f"far change {measured:.3f}, bound {eta:.3f}",
        "at most the bound", verdict_of(measured <= eta),
    )  # fmt: skip


def _uncertified(quick: bool, seed: int) -> Claim:
    """Games with gamma zeta_T >= 1: nothing is promised; do they decay?"""
    slopes = []
    for number in range(3 if quick else 12):
        draw = generator(seed, 1, 95, number)
        game = random_game("path", 6, 0.9, 0.9, draw)
        if certified_decay(influence(game), game) is None:
            slopes.append(slope(far_spreads(game, solve(game, 0, random_tables(game, 0, draw)))))
    return Claim(
        "T1.5", "Without a certificate (gamma zeta_T >= 1) the advantage does not decay.", "repaired",
        f"path-6, w = 0.9, gamma = 0.9, {len(slopes)} games without a certificate",
        f"slopes of log spread per hop {min(slopes):.2f} to {max(slopes):.2f}",
        "a slope of 0 or more (the certificate is sufficient, not necessary)",
        verdict_of(bool(slopes) and max(slopes) >= 0.0),
    )  # fmt: skip


def shifted(table: Array, by: float) -> Array:
    """The policy moved by exactly ``by`` in TV in every state, toward action 0 where there is room."""
    first = np.where(table[:, 0] + by <= 1.0, table[:, 0] + by, table[:, 0] - by)
    return np.stack([first, 1.0 - first], axis=1)


def truncated_surrogate(start: Solution, agent: int, table: Array, advantage: Array, hops: int) -> float:
    """L_k of the team's reward: the surrogate of what N_k knows of ``advantage`` ``[F, S, U]``."""
    members = start.game.neighbourhood(agent, hops)
    known, _ = start.condensed(advantage, members)
    spread = known[:, start.game.local_index(members)]
    return float(start.surrogate(agent, table, spread)[: start.game.agents].mean())


def surrogate_gap(quick: bool, seed: int) -> Iterator[Claim]:
    """T2: |L^{1:i} - L^i_k| for the team's reward, after predecessors moved by tau, without and with the factor."""
    taus, reach, games = (0.05, 0.1, 0.2), 5, 4 if quick else 20
    plain, factored = np.zeros((len(taus), reach + 1)), np.zeros((len(taus), reach + 1))
    for number in range(games):
        draw = generator(seed, 2, number)
        game = random_game("path", 6, 0.5, 0.8, draw)
        start = solve(game, 0, random_tables(game, 0, draw))
        last = game.agents - 1
        for row, tau in enumerate(taus):
            moved = {h: shifted(start.tables[h], tau) for h in range(last)}
            new = shifted(start.tables[last], tau)
            exact = start.surrogate(last, new, start.advantage(last, moved))[: game.agents].mean()
            for k in range(reach + 1):
                heard = {h: table for h, table in moved.items() if h in game.neighbourhood(last, k)}
                none = truncated_surrogate(start, last, new, start.advantage(last), k)
                some = truncated_surrogate(start, last, new, start.advantage(last, heard), k)
                plain[row, k] += abs(exact - none) / games
                factored[row, k] += abs(exact - some) / games
    setting = f"path-6, w = 0.5, gamma = 0.8, last agent's turn, all others moved by TV tau, mean of {games} games"
    hops = [float(k) for k in range(reach + 1)]
    yield Claim(
        "T2.1", "The gap between L^{1:i} and the truncated surrogate vanishes as k grows.", "printed", setting,
        "at k = 5: " + ", ".join(f"{gap[-1]:.1e} (tau = {tau})" for tau, gap in zip(taus, plain))
        + f"; over its value at k = 0: {plain[-1, -1] / plain[-1, 0]:.2f}",
        "below a tenth of its value at k = 0", verdict_of(bool((plain[:, -1] < 0.1 * plain[:, 0]).all())),
        {"k": hops, **{f"tau = {tau}": list(gap) for tau, gap in zip(taus, plain)}},
    )  # fmt: skip
    falls = [slope(list(gap)) for gap in factored]
    yield Claim(
        "T2.2", "With the ratios of N_k the gap falls geometrically, to 0 at the diameter.", "repaired",
        setting, f"log slope per hop {min(falls):.2f} to {max(falls):.2f}; at k = 5: {factored[:, -1].max():.1e}",
        "slope below log(1/2), 0 at k = 5",
        verdict_of(max(falls) < np.log(0.5) and factored[:, -1].max() < 1e-12),
        {"k": hops, **{f"tau = {tau}": list(gap) for tau, gap in zip(taus, factored)}},
    )  # fmt: skip
