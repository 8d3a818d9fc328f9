"""A learner driven by hand through whole rounds, and its round file read by NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.agents.learner import Learner
from scalmarl.launch.config import LearnerConfig
from scalmarl.protocol.keys import Key, Kind
from scalmarl.protocol.kinds import Value, form
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.standins import toy_plan

ME = 1
"""In the middle of a path of three: two costs, a block of 3 beside blocks of 2 and 4, two action entries."""
STEPS, COPIES, GROUPS, HORIZON, LIMIT = 12, 6, 2, 10, 5.0
Array = NDArray[Any]
Arrays = dict[str, Array]
Heard = dict[int, Value]
Change = Callable[["Round"], None]


def plan_of(cost_mode: str = "local", **learner: Any) -> Plan:
    toy = toy_plan(((1,), (0, 2), (1,)), (0, 1, 0), steps=STEPS, copies=COPIES, groups=GROUPS)
    switches = asdict(ALGORITHMS["scal-mappo-l"].switches)
    settings = {**LearnerConfig().model_dump(), **switches, "initial_std": 0.25, "hidden": [16, 16], **learner}
    return replace(toy, learner=settings, task=replace(toy.task, cost_mode=cost_mode))


def choosing(plan: Plan) -> Plan:
    """The same, but the agent chooses one of four."""
    return replace(plan, task=replace(plan.task, action_sizes=(1, 1, 1), action_choices=(0, 4, 0)))


PLAN = plan_of()
both = pytest.mark.parametrize("of", [lambda plan: plan, choosing], ids=["gaussian", "categorical"])


@dataclass
class Round:
    """All that an agent is told in a round; ``others``: the blocks of agents 0 and 2."""

    observations: Array
    others: list[Array]
    advantages: Heard
    slacks: Heard
    turns: Heard


def told(plan: Plan, round: int = 0, cost: float | None = None, seed: int = 0) -> Round:
    """Random inputs; ``cost`` at every step instead of a random one; next-step resets."""
    draw = np.random.default_rng([seed, round])
    steps, copies = plan.steps, plan.copies
    block = plan.task.block_sizes[ME]
    seen = draw.normal(size=(steps + 1, copies, block + 1 + plan.costs(ME) + 2)).astype(np.float32)
    costs = draw.random((steps + 1, copies, plan.costs(ME))) < 0.3
    seen[:, :, block + 1 : -2] = costs if cost is None else cost
    ends = draw.random((steps + 1, copies)) < 0.1
    ends[1:] &= ~ends[:-1]
    fell = draw.random(ends.shape) < 0.5
    seen[:, :, -2], seen[:, :, -1] = ends & fell, ends & ~fell
    others = [
        draw.normal(size=(steps + 1, copies, plan.task.block_sizes[h])).astype(np.float32) for h in plan.neighbours[ME]
    ]

    def publish(kind: Kind, scale: float) -> Heard:
        shapes = {h: form(plan, Key(h, kind, h, round, 0))[1] for h in plan.neighbours[ME]}
        return {h: (scale * draw.normal(size=shape)).astype(np.float32) for h, shape in shapes.items()}

    slacks = {h: np.abs(slack) for h, slack in publish(Kind.SLACK, 1.0).items()}
    turns = publish(Kind.TURN, 0.05)
    for turn in turns.values():
        turn[plan.samples : plan.samples + 2] = np.abs(turn[plan.samples : plan.samples + 2])
    return Round(seen, others, publish(Kind.ADVANTAGE, 1.0), slacks, {0: turns[0]})


@dataclass
class Played:
    """All that a learner gave in a round."""

    actions: Array
    advantage: Value
    slack: Value
    turn: Value
    figures: dict[str, Any]
    saved: bytes
    before_turn: bytes
    after_critics: bytes | None

    @property
    def log_ratio(self) -> Array:
        return self.turn[: PLAN.samples]

    def values(self) -> list[bytes]:
        return [x.tobytes() for x in (self.actions, self.advantage, self.slack, self.turn)] + [self.saved]


def play(learner: Learner, plan: Plan, round: int = 0, given: Round | None = None, critics: str = "before") -> Played:
    """As ``agents.body`` does; ``critics``: before, around or after the turn."""
    given = given or told(plan, round)
    size = plan.group_copies
    actions = np.zeros((plan.steps, plan.copies, plan.task.action_sizes[ME]), np.float32)
    learner.begin_round(round)
    for step in range(plan.groups * (plan.steps + 1)):
        t, group = divmod(step, plan.groups)
        copies = slice(group * size, (group + 1) * size)
        block = learner.observe(step, given.observations[t, copies])
        learner.look(step, [given.others[0][t, copies], block, given.others[1][t, copies]])
        if t < plan.steps:
            actions[t, copies] = learner.act(step)
    advantage, slack = learner.estimate()
    training, after_critics = learner.train_critics(), None
    if critics != "after":
        for n, _ in enumerate(training):
            if critics == "around" and n == 2:
                break
        else:
            after_critics = learner.save()
    before_turn = learner.save()
    for _ in learner.improve({**given.advantages, ME: advantage}, {**given.slacks, ME: slack}, given.turns):
        pass
    turn = learner.turn()
    for _ in training:
        pass
    figures = learner.close_round()
    return Played(actions, advantage, slack, turn, figures, learner.save(), before_turn, after_critics)


def arrays(content: bytes) -> Arrays:
    return dict(safetensors.numpy.load(content))


def forward(file: Arrays, network: str, raw: Array, limit: float = 5.0) -> Array:
    """A network of a round file by double-precision NumPy, on raw inputs."""
    count = float(file["inputs.count"][0])
    std = np.maximum(np.sqrt(file["inputs.squares"] / count), 1e-2) if count else 1.0
    x = np.clip((raw.astype(np.float64) - file["inputs.mean"]) / std, -limit, limit)
    layers = sorted(name for name in file if name.startswith(f"{network}.") and name.endswith(".weight"))
    for n, name in enumerate(layers):
        x = x @ file[name].astype(np.float64).T + file[name.replace("weight", "bias")]
        x = np.tanh(x) if n < len(layers) - 1 else x
    return x


def raw_inputs(given: Round) -> Array:
    return np.concatenate([given.others[0], given.observations[:, :, :3], given.others[1]], axis=2)


def valid_of(given: Round) -> NDArray[np.bool_]:
    return ~(given.observations[:-1, :, -2:] != 0).any(axis=2)


def new() -> Learner:
    return Learner(PLAN, ME)
