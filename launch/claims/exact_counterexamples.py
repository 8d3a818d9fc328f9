"""T3: the two counterexamples, the printed statements against the repaired ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scalmarl.agents.tabular.games import Array, cost_counterexample, random_tables, reward_counterexample
from scalmarl.agents.tabular.guaranteed import certified_spends, move_bounds
from scalmarl.agents.tabular.printed import printed_constants, printed_turn
from scalmarl.agents.tabular.updates import Settings, play
from scalmarl.agents.tabular.values import largest_divergence, solve
from scalmarl.launch.claims.claim import Claim, verdict_of
from scalmarl.launch.claims.exact_settings import Order, generator


def counterexample_claims() -> Iterator[Claim]:
    """CE1 for improvement, CE2 for the cost bound."""
    yield from _reward()
    yield from _cost()


def _reward() -> Iterator[Claim]:
    game = reward_counterexample()
    tables = random_tables(game, 1, generator(0), spread=0.0)
    start = solve(game, 1, tables)
    moved: dict[int, Array] = {}
    constants = printed_constants(start)
    turns = [printed_turn(start, agent, moved, constants) for agent in (0, 1)]
    change = solve(game, 1, (moved[0], moved[1])).team - start.team
    promised = sum(turn.gain for turn in turns)
    setting = "CE1: one state, gamma = 0, uniform policies; W = 0, xi = 0, nu = 0"
    yield Claim(
        "T3.1", "Eq. 16's round improves J by at least the sum of its local objectives (Prop. 3.5, Thm. 3.7).",
        "printed", setting,
        f"promised {promised:+.3f} ({turns[0].gain:+.3f} and {turns[1].gain:+.3f}), J changes by {change:+.3f}",
        "change >= promised", verdict_of(change >= promised - 1e-12),
    )  # fmt: skip
    first = np.eye(2)[np.argmax(start.advantage(0)[0], axis=1)]
    advantage = start.advantage(1, {0: first})
    second = np.eye(2)[np.argmax(advantage[0], axis=1)]
    promised = start.surrogate(0, first, start.advantage(0))[0] + start.surrogate(1, second, advantage)[0]
    change = solve(game, 1, (first, second)).team - start.team
    yield Claim(
        "T3.1", "The same round with the ratios improves J by at least its surrogates.", "repaired", setting,
        f"promised {promised:+.3f}, J changes by {change:+.3f}", "change >= promised",
        verdict_of(change >= promised - 1e-12),
    )  # fmt: skip
    orders: list[Order] = [(0, 1)] * 30
    for name in ("printed-team", "repaired", "guaranteed"):
        run = play(game, tables, name, orders, Settings())
        yield Claim(
            "T3.1", "J never falls in 30 rounds of CE1.", name, setting + ", 30 rounds",
            f"{len(run.decreases)} decreases, the largest {run.decreases.max(initial=0.0):.4f}; J {run.team[0]:.3f} to "
            f"{run.team[-1]:.3f}", "0 decreases", verdict_of(len(run.decreases) == 0),
        )  # fmt: skip


def _cost() -> Iterator[Claim]:
    game = cost_counterexample()
    still = np.full((4, 2), 0.5)
    before, after = (np.tile([1.0 - p, p], (4, 1)) for p in (0.1, 0.2))
    start = solve(game, 1, (still, before))
    rise = float(solve(game, 1, (still, after)).costs[0] - start.costs[0])
    constants = printed_constants(start)
    spent = largest_divergence(before, after)
    # The chain of 21 with k = 20, beta = 0.2; agents that change nothing leave J^0 and W^{01} as they are.
    beta, hops, gamma = 0.2, 20, game.gamma
    zeta = 0.8 * np.exp(beta)
    loss = 2.0 * gamma * zeta / (1.0 - gamma * zeta) * np.exp(-beta * hops)
    allowed = float(loss + constants.cost_nu[0] * spent)
    setting = "CE2: gamma = 0.9, w = 0.4, P(a^1 = 1) from 0.1 to 0.2"
    yield Claim(
        "T3.2", "J^0 rises by at most its own surrogate (0 here) + eta'' phi^k + nu sum of KL (Cor. 3.6).", "printed",
        setting + "; in a chain of 21 (19 inert agents, which change nothing), k = 20, beta = 0.2",
        f"J^0 {start.costs[0]:.2f} to {start.costs[0] + rise:.2f}: {rise:+.3f}; allowed {allowed:.3f} "
        f"(nu = {constants.cost_nu[0]:g})", "rise <= allowed", verdict_of(rise <= allowed),
    )  # fmt: skip
    full = start.advantage(1)
    surrogate, remainder = move_bounds(start, 1, after, full[game.agents :])
    bound = float(certified_spends(start, 1, after, full)[0])
    yield Claim(
        "T3.2", "J^0 rises by at most the surrogate of agent 1's step in J^0's advantage + remainder (L3, Lemma 2).",
        "repaired", setting,
        f"rise {rise:+.3f}; surrogate {surrogate[0]:+.3f}, remainder {remainder[0]:.3f}, allowed {bound:.3f}",
        "rise <= allowed", verdict_of(rise <= bound + 1e-12),
    )  # fmt: skip
