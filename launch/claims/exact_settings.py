"""What the exact claims share: generators, games with limits, orders."""

from __future__ import annotations

import numpy as np

from scalmarl.agents.tabular.games import Array, Game, Tables, random_game, random_tables
from scalmarl.agents.tabular.updates import Settings, play
from scalmarl.agents.tabular.values import solve

Order = tuple[int, ...]


def generator(seed: int, *place: int) -> np.random.Generator:
    """A generator of its own for every place of the battery."""
    return np.random.default_rng([seed, *place])


def orders_of(agents: int, rounds: int, draw: np.random.Generator) -> list[Order]:
    """A fresh permutation for each round."""
    return [tuple(int(agent) for agent in draw.permutation(agents)) for _ in range(rounds)]


def feasible_game(
    shape: str,
    agents: int,
    coupling: float,
    gamma: float,
    kappa: int,
    slack: float,
    draw: np.random.Generator,
    kind: str = "random",
) -> tuple[Game, Tables]:
    """A random game and policies that keep every limit with ``slack`` / (1 - gamma) to spare."""
    game = random_game(shape, agents, coupling, gamma, draw, kind)
    tables = random_tables(game, kappa, draw)
    return game.with_limits(solve(game, kappa, tables).costs + slack / (1.0 - gamma)), tables


def lowest_costs(game: Game, tables: Tables, settings: Settings) -> tuple[Array, Tables]:
    """J^h ``[n]`` after 60 rounds that pay for costs alone (multipliers at 1000), and the policies that have them."""
    heavy = Settings(settings.kappa, 0.3, 0.0, 1000.0)
    history = play(game.with_limits(np.zeros(game.agents)), tables, "neighbour-costs",
                   [tuple(range(game.agents))] * 60, heavy, first=1000.0)  # fmt: skip
    return history.costs[-1], history.policies[-1]


def slope(values: list[float]) -> float:
    """Least-squares slope of log(values) against 0, 1, 2, ..., zeros left out; NaN below two points."""
    points = [(place, np.log(value)) for place, value in enumerate(values) if value > 1e-12]
    if len(points) < 2:
        return float("nan")
    return float(np.polyfit([x for x, _ in points], [y for _, y in points], 1)[0])
