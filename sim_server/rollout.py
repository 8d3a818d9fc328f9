"""``python -m scalmarl.sim_server.rollout POLICY EPISODES SEED < SPEC_JSON``: whole episodes without learning.

Prints ``{"episodes": [...]}``, or ``{"broken": why}`` when the physics broke.

``zero`` does nothing; ``random`` draws a Gaussian with the deviation of the published initial policy, not clipped
before the control penalty, so that anybody can hold a task against published starting points.
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
from scalmarl.sim_server.task_family import PUBLISHED_STD
from scalmarl.sim_server.world import World, WorldBroken

POLICIES = ("zero", "random")


def roll_out(spec: TaskSpec, policy: str, episodes: int, seed: int) -> list[dict[str, Any]]:
    """One whole episode of each of ``episodes`` copies; see ``Episodes.finished`` for what is known of one.

    Episode e is that of a copy e of the world with this seed, whatever ``episodes`` is.
    """
    world = World(spec, copies=episodes, groups=1, seed=seed, threads=0, staggered=False)
    found: dict[int, dict[str, Any]] = {}
    step = 0
    while len(found) < episodes:
        world.step(0, _actions(spec, policy, episodes, seed, step))
        for copy in np.flatnonzero(world.episodes.over).tolist():
            if copy not in found:
                found[copy] = world.episodes.finished(copy)
        step += 1
    return [found[copy] for copy in range(episodes)]


def _actions(spec: TaskSpec, policy: str, copies: int, seed: int, step: int) -> list[Value]:
    if policy == "zero":
        return [np.zeros((copies, size), np.float32) for size in spec.action_sizes]
    noise = stream(seed, purpose=Purpose.EVALUATION, step=step).standard_normal(
        (copies, sum(spec.action_sizes)), dtype=np.float32
    )
    return np.split(PUBLISHED_STD * noise, np.cumsum(spec.action_sizes)[:-1], axis=1)


if __name__ == "__main__":
    die_with_launcher()
    task = TaskSpec.from_data(json.load(sys.stdin))
    try:
        answer: dict[str, Any] = {"episodes": roll_out(task, sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))}
    except WorldBroken as broken:
        answer = {"broken": str(broken)}
    print(json.dumps(answer))
