"""``python -m scalmarl.sim_server.rollout SPEC_JSON POLICY EPISODES SEED``: whole episodes of a task without learning.

``zero`` does nothing; ``random`` draws a Gaussian with the deviation of the published initial policy, not clipped
before the control penalty, so that anybody can hold a task against published starting points.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["MUJOCO_GL"] = "disabled"

import numpy as np

from scalmarl.protocol.kinds import Value
from scalmarl.protocol.streams import Purpose, stream
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.world import World

POLICIES = ("zero", "random")
RANDOM_STD = 0.3655


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
    return np.split(RANDOM_STD * noise, np.cumsum(spec.action_sizes)[:-1], axis=1)


if __name__ == "__main__":
    task = TaskSpec.from_data(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    print(json.dumps(roll_out(task, sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
