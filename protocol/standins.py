"""Hash-chain stand-ins for learner and world: every value depends on all that was heard before it, in order.

They let thousands of faulty runs of the real bodies take seconds, and turn any lost, doubled, reordered or misrouted
value into a different digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scalmarl.protocol.graph import clique_cover
from scalmarl.protocol.keys import SIM, Key, Kind
from scalmarl.protocol.kinds import Value, form
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.task import TaskSpec


class HashChain:
    """A running hash that eats arrays and labels, and gives arrays of any form back."""

    def __init__(self, name: str) -> None:
        self.state = hashlib.sha256(name.encode()).digest()

    def eat(self, label: str, *values: Value) -> None:
        """Mix in values, in order."""
        digest = hashlib.sha256(self.state + label.encode())
        for value in values:
            digest.update(value.tobytes())
        self.state = digest.digest()

    def give(self, plan: Plan, key: Key) -> Value:
        """An array of the form that the key must have, drawn from the chain's state and the key."""
        dtype, shape = form(plan, key)
        count = int(np.prod(shape))
        stream = hashlib.shake_128(self.state + bytes(str(key), "ascii")).digest(4 * count)
        return (np.frombuffer(stream, dtype="<u4") / 2**32).astype(dtype).reshape(shape)


class HashLearner:
    """Stands in for ``agents.learner``; see ``agents.body.RoundLearner`` for the methods."""

    def __init__(self, plan: Plan, me: int) -> None:
        self._plan, self._me, self._round = plan, me, 0
        self.chain = HashChain(f"learner {plan.seed} {me}")

    def begin_round(self, round: int) -> None:
        """Note the round."""
        self._round = round
        self.chain.eat(f"round {round}")

    def observe(self, step: int, observation: Value) -> Value:
        """The block is the observation's first columns."""
        self.chain.eat(f"observe {step}", observation)
        return np.ascontiguousarray(observation[:, : self._plan.task.block_sizes[self._me]])

    def look(self, step: int, blocks: Sequence[Value | None]) -> None:
        """Eat the neighbourhood."""
        self.chain.eat(f"look {step}", *(block for block in blocks if block is not None))

    def act(self, step: int) -> Value:
        """Draw an action."""
        return self._give(Kind.ACTION, step)

    def estimate(self) -> tuple[Value, Value]:
        """Draw both."""
        return self._give(Kind.ADVANTAGE), self._give(Kind.SLACK)

    def train_critics(self) -> Iterator[None]:
        """Two pieces of work on a chain of their own, so that when they run cannot matter."""
        for _ in range(2):
            yield

    def improve(
        self, advantages: Mapping[int, Value], slacks: Mapping[int, Value], turns: Mapping[int, Value]
    ) -> Iterator[None]:
        """Eat all that was heard."""
        for name, heard in (("advantages", advantages), ("slacks", slacks), ("turns", turns)):
            self.chain.eat(name, *(heard[agent] for agent in sorted(heard)))
            yield

    def turn(self) -> Value:
        """Draw a turn."""
        return self._give(Kind.TURN)

    def close_round(self) -> dict[str, Any]:
        """Nothing to report."""
        return {}

    def save(self) -> bytes:
        """The chain's state."""
        return self.chain.state

    def load(self, content: bytes) -> None:
        """Go on from a saved state."""
        self.chain.state = content

    def _give(self, kind: Kind, step: int = 0) -> Value:
        return self.chain.give(self._plan, Key(self._me, kind, self._me, self._round, step))


class HashWorld:
    """Stands in for a world; see ``sim_server.body.SteppedWorld`` for the methods. One chain per group."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chains = [HashChain(f"world {plan.seed} {group}") for group in range(plan.groups)]

    def begin(self) -> Iterable[None]:
        """The chains begin where they are."""
        return ()

    def step(self, group: int, actions: Sequence[Value]) -> Iterable[None]:
        """Eat the joint action."""
        self._chains[group].eat("step", *actions)
        return ()

    def observation(self, agent: int, group: int) -> Value:
        """Draw the agent's observation of the current state."""
        return self._chains[group].give(self._plan, Key(SIM, Kind.OBSERVATION, agent, 0, 0))

    def figures(self) -> dict[str, Any]:
        """None."""
        return {}

    def save(self) -> bytes:
        """All chains' states."""
        return b"".join(chain.state for chain in self._chains)

    def load(self, content: bytes) -> Iterable[None]:
        """Go on from saved states."""
        for index, chain in enumerate(self._chains):
            chain.state = content[32 * index : 32 * index + 32]
        return ()


def toy_plan(
    neighbours: Sequence[Sequence[int]],
    colours: Sequence[int],
    *,
    seed: int = 0,
    rounds: int = 3,
    steps: int = 3,
    copies: int = 2,
    groups: int = 1,
    schedule: str = "wavefront",
    order: str = "colour",
    costs: Sequence[int] | None = None,
    exchanged: Sequence[str] = ("advantage", "slack", "turn"),
) -> Plan:
    """A plan with tiny, unequal sizes for the stand-ins."""
    agents = len(neighbours)
    costs = costs or [1 + agent % 2 for agent in range(agents)]
    task = TaskSpec(
        name="toy", partition="", agents=agents, parameters={}, physics="fast", source="", horizon=10, control_dt=0.1,
        block_sizes=tuple(2 + agent % 3 for agent in range(agents)),
        block_entries=tuple(tuple(f"entry {n}" for n in range(2 + agent % 3)) for agent in range(agents)),
        action_sizes=tuple(1 + agent % 2 for agent in range(agents)),
        action_entries=tuple(tuple(f"motor {n}" for n in range(1 + agent % 2)) for agent in range(agents)),
        action_choices=(0,) * agents,
        cost_names=tuple(tuple(f"cost {j}" for j in range(m)) for m in costs),
        cost_limits=tuple((5.0,) * m for m in costs),
        edges=(), reward_mode="local", cost_mode="local", standing_still_return=0.0, standing_still_cost=0.0,
        standing_still_distance=0.0, initial_std=0.25,
        nonlocal_facts=(), notes=(),
    )  # fmt: skip
    return Plan(
        run=7, config_hash="toy", seed=seed, rounds=rounds, kappa=1, steps=steps, copies=copies, groups=groups,
        order=order, schedule=schedule, world_threads=1, neighbours=tuple(tuple(row) for row in neighbours),
        colours=tuple(colours), cliques=clique_cover(tuple(tuple(row) for row in neighbours)),
        exchanged=tuple(exchanged), task=task, learner={},
    )  # fmt: skip
