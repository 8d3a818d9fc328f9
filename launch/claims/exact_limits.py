"""T16, limits of one's own, and T18, what the order of turns decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

import numpy as np

from scalmarl.agents.tabular.updates import Settings, play
from scalmarl.agents.tabular.values import solve
from scalmarl.launch.claims.claim import Claim, verdict_of
from scalmarl.launch.claims.exact_settings import feasible_game, generator, lowest_costs, orders_of

TIGHT = (0, 2)


def agent_limits(quick: bool, seed: int) -> Iterator[Claim]:
    """T16: agents 0 and 2 must lower their cost below what reward wants, 1 and 3 need not; then one shared cost."""
    rounds, first = 80 if quick else 200, 0.5
    settings = Settings(clip=0.05, rate=0.5)
    draw = generator(seed, 16)
    game, tables = feasible_game("path", 4, 0.2, 0.6, 1, np.inf, draw)
    orders = orders_of(4, rounds, draw)
    free = play(game, tables, "neighbour-costs", orders, settings).costs[-1]
    lowest, _ = lowest_costs(game, tables, settings)
    limits = np.full(4, 2.0 * float(free.max()) + 1.0)
    limits[list(TIGHT)] = (0.5 * (free + lowest))[list(TIGHT)]
    run = play(game.with_limits(limits), tables, "neighbour-costs", orders, settings, first)
    late = run.multipliers[-20:].mean(axis=0)
    peak = run.multipliers.max(axis=0)
    loose = [agent for agent in range(4) if agent not in TIGHT]
    good = bool((peak[list(TIGHT)] > first).all() and (late[loose] == 0.0).all() and (late[list(TIGHT)] > 0).all())
    words = ", ".join(f"{value:.2f}" for value in late)
    yield Claim(
        "T16.1", "Multipliers of tight agents rise above their start, of loose ones fall to 0.", "neighbour-costs",
        f"path-4, w = 0.2, gamma = 0.6, tight limits for agents 0 and 2, start {first}, {rounds} rounds",
        f"mean of the last 20 rounds {words}; peaks {', '.join(f'{value:.2f}' for value in peak)}; cost over limit "
        + ", ".join(f"{value:+.3f}" for value in (run.costs[-20:].mean(axis=0) - limits)[list(TIGHT)]),
        "tight: peak above the start and above 0 at the end; loose: 0", verdict_of(good),
        {"round": [float(r) for r in range(rounds + 1)],
         **{f"agent {a}": list(run.multipliers[:, a]) for a in range(4)}},
    )  # fmt: skip
    shared = replace(game, costs=np.broadcast_to(game.costs.mean(axis=0), game.costs.shape).copy())
    level = float(0.5 * (free.mean() + lowest.mean()))
    same = play(shared.with_limits(np.full(4, level)), tables, "neighbour-costs", orders, settings, first)
    apart = float(np.ptp(same.multipliers, axis=1).max())
    yield Claim(
        "T16.2", "With one shared cost the agents' multipliers tell them apart.", "neighbour-costs",
        "the same game, everybody charged the mean cost", f"largest difference between two multipliers {apart:.1e}",
        "above 0.01", verdict_of(apart > 0.01),
    )  # fmt: skip


def order_dependence(quick: bool, seed: int) -> Iterator[Claim]:
    """T18: final J over all 24 fixed orders, and KL spent by position under fresh permutations."""
    for name in ("repaired", "guaranteed"):
        draw = generator(seed, 18)
        game, tables = feasible_game("path", 4, 0.2, 0.6, 1, 0.02, draw)
        rounds = 8 if quick else 30
        start = solve(game, 1, tables).team
        ends = [play(game, tables, name, [order] * rounds, Settings()).team[-1] for order in permutations(range(4))]
        share = float((max(ends) - min(ends)) / max(np.mean(ends) - start, 1e-12))
        yield Claim(
            "T18.1", "The fixed order of turns does not matter for J (within 1 % of the mean gain).", name,
            f"path-4, w = 0.2, gamma = 0.6, slack 0.02 / (1 - gamma), {rounds} rounds, all 24 orders",
            f"J from {start:.4f} to {min(ends):.4f} .. {max(ends):.4f}: spread {share:.1%} of the mean gain",
            "spread <= 1 %", verdict_of(share <= 0.01),
        )  # fmt: skip
        spent = np.zeros(4)
        for number in range(16 if quick else 60):
            draw = generator(seed, 18, 1, number)
            game, tables = feasible_game("path", 4, 0.2, 0.6, 1, 0.02, draw)
            run = play(game, tables, name, orders_of(4, 5, draw), Settings())
            spent += np.mean([[turn.kl for turn in row] for row in run.turns], axis=0) / (16 if quick else 60)
        ratio = float(spent[0] / max(spent[-1], 1e-12))
        yield Claim(
            "T18.2", "Early and late turns spend the same KL (within a factor 1.25).", name,
            "path-4 games as above, 5 rounds of fresh permutations",
            f"mean Dmax by position {', '.join(f'{value:.1e}' for value in spent)}: first over last {ratio:.2f}",
            "0.8 to 1.25", verdict_of(0.8 <= ratio <= 1.25),
            {"position": [0.0, 1.0, 2.0, 3.0], "Dmax": list(spent)},
        )  # fmt: skip
