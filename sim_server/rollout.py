"""``python -m scalmarl.sim_server.rollout POLICY EPISODES SEED < SPEC_JSON``: whole episodes without learning.

Prints ``{"episodes": [...]}``, or ``{"broken": why}`` when the physics broke.

``zero`` does nothing (takes the first choice); ``random`` draws a Gaussian with the deviation of the published initial
policy, not clipped before the control penalty, so that anybody can hold a task against published starting points, or
one of the choices.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from scalmarl.protocol.kinds import Value
from scalmarl.protocol.lifeline import die_with_launcher
from scalmarl.protocol.streams import Purpose, stream
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.body import WorldBroken
from scalmarl.sim_server.making import make_world
from scalmarl.sim_server.task_family import PUBLISHED_STD

POLICIES = ("zero", "random")


def roll_out(spec: TaskSpec, policy: str, episodes: int, seed: int) -> list[dict[str, Any]]:
    """One whole episode of each of ``episodes`` copies; see ``Episodes.finished`` for what is known of one.

    Episode e is that of a copy e of the world with this seed, whatever ``episodes`` is.
    """
    world = make_world(spec, copies=episodes, groups=1, seed=seed, threads=0, staggered=False)
    for _ in world.begin():
        pass
    found: dict[int, dict[str, Any]] = {}
    step = 0
    while len(found) < episodes:
        for _ in world.step(0, _actions(spec, policy, episodes, seed, step)):
            pass
        for copy in np.flatnonzero(world.episodes.over).tolist():
            if copy not in found:
                found[copy] = {**world.episodes.finished(copy), **({"distance": None} if spec.maker else {})}
        step += 1
    return [found[copy] for copy in range(episodes)]


def _actions(spec: TaskSpec, policy: str, copies: int, seed: int, step: int) -> list[Value]:
    if policy == "zero":
        return [np.zeros((copies, size), np.float32) for size in spec.action_sizes]
    draw = stream(seed, purpose=Purpose.EVALUATION, step=step)
    noise = draw.standard_normal((copies, sum(spec.action_sizes)), dtype=np.float32)
    actions = np.split(PUBLISHED_STD * noise, np.cumsum(spec.action_sizes)[:-1], axis=1)
    for agent, choices in enumerate(spec.action_choices):
        if choices:
            actions[agent] = draw.integers(choices, size=(copies, 1)).astype(np.float32)
    return actions


if __name__ == "__main__":
    die_with_launcher()
    task = TaskSpec.from_data(json.load(sys.stdin))
    try:
        answer: dict[str, Any] = {"episodes": roll_out(task, sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))}
    except WorldBroken as broken:
        answer = {"broken": str(broken)}
    print(json.dumps(answer))
