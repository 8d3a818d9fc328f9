"""T4: what happens to J, round by round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from scalmarl.agents.tabular.games import Game
from scalmarl.agents.tabular.updates import VARIANTS, History, Settings, play
from scalmarl.launch.claims.claim import Claim, verdict_of
from scalmarl.launch.claims.exact_settings import feasible_game, generator, orders_of

GAMES = (("path", 4, 0.2), ("ring", 5, 0.2), ("grid", 6, 0.1))


def runs_of(
    name: str,
    quick: bool,
    seed: int,
    slack: float,
    settings: Settings,
    rounds: int,
    coupling: float | None = None,
    gamma: float = 0.6,
) -> list[tuple[Game, History]]:
    """Every shape and seed from a feasible start; infinite ``slack`` is no limit. Same games for every variant."""
    result = []
    for place, (shape, agents, weak) in enumerate(GAMES):
        for number in range(1 if quick else 4):
            draw = generator(seed, 4, place, number)
            game, tables = feasible_game(shape, agents, coupling or weak, gamma, settings.kappa, slack, draw)
            orders = orders_of(agents, rounds, draw)
            result.append((game, play(game, tables, name, orders, settings)))
    return result


def moves_of(run: History) -> int:
    """Turns that moved."""
    return sum(turn.tv > 0 for row in run.turns for turn in row)


def words_of_moves(runs: Sequence[History]) -> str:
    """How many turns moved, and what it brought J; says so where none did, since such runs show nothing."""
    turns = sum(len(row) for run in runs for row in run.turns)
    gains = [run.team[-1] / run.team[0] - 1.0 for run in runs]
    moves = sum(map(moves_of, runs))
    return f"{moves} of {turns} turns move, J {np.mean(gains):+.1%}{'' if moves else '; vacuous: it never moves'}"


def monotonicity(quick: bool, seed: int) -> Iterator[Claim]:
    """T4: decreases of the exact J, without limits (a fall is then not the multiplier's doing) and with."""
    rounds = 12 if quick else 40
    for part, slack, words in (
        ("T4.1", np.inf, "no limits"),
        ("T4.2", 0.05, "limits 0.05 / (1 - gamma) above the start"),
    ):
        for name in VARIANTS:
            runs = [run for _, run in runs_of(name, quick, seed, slack, Settings(), rounds)]
            falls = np.concatenate([run.decreases for run in runs])
            yield Claim(
                part, "J never falls from one round to the next.", name,
                f"path-4, ring-5, grid-6, k = 1, gamma = 0.6, {len(runs)} games of {rounds} rounds, {words}",
                f"{len(falls)} decreases of {len(runs) * rounds}, at most {falls.max(initial=0.0):.1e}; "
                f"{words_of_moves(runs)}",
                "0 decreases, and it moves", verdict_of(len(falls) == 0) if any(map(moves_of, runs)) else "undecided",
            )  # fmt: skip

    yield from _joint_rewards(quick, seed, rounds)


def _joint_rewards(quick: bool, seed: int, rounds: int) -> Iterator[Claim]:
    """T4.3: rewards of several agents' actions, as the paper's R; all hear all: only factors are at stake."""
    for name in VARIANTS:
        falls, moves, gains, games = [], 0, [], 6 if quick else 20
        for number in range(games):
            draw = generator(seed, 4, 9, number)
            game, tables = feasible_game("path", 3, 0.3, 0.6, 2, np.inf, draw, kind="joint")
            run = play(game, tables, name, orders_of(3, rounds, draw), Settings(kappa=2))
            falls.append(run.decreases)
            moves += moves_of(run)
            gains.append(run.team[-1] / run.team[0] - 1.0)
        every = np.concatenate(falls)
        yield Claim(
            "T4.3", "J never falls where rewards are of the neighbours' joint actions.", name,
            f"path-3, k = 2, w = 0.3, gamma = 0.6, r^i(s^i, a of N_1), no limits, {games} games of {rounds} rounds",
            f"{len(every)} decreases of {games * rounds}, at most {every.max(initial=0.0):.1e}; {moves} turns move, "
            f"J {np.mean(gains):+.1%}", "0 decreases, and it moves",
            "undecided" if moves == 0 else verdict_of(len(every) == 0),
        )  # fmt: skip
