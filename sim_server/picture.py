"""``python -m scalmarl.sim_server.picture < SPEC_JSON > PNG``: a picture of a task's world at its start.

It needs a graphics library (``MUJOCO_GL`` chooses one) and Pillow; the sim server itself never renders.
"""

from __future__ import annotations

import contextlib
import json
import sys

import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scalmarl.protocol.lifeline import die_with_launcher
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.view import View
from scalmarl.sim_server.world import World

WIDTH, HEIGHT = 960, 540
SETTLE_STEPS = 20


def draw(spec: TaskSpec) -> NDArray[np.uint8]:
    """``[HEIGHT, WIDTH, 3]``: the whole robot, seen from the side and above."""
    world = World(spec, copies=1, groups=1, seed=0, threads=1)
    for _ in range(SETTLE_STEPS):
        world.step(0, [np.zeros((1, size), np.float32) for size in spec.action_sizes])
    model, data = world.scene.model, world.batch.get_data(0)
    mujoco.mj_forward(model, data)
    with contextlib.closing(View(model, spec, WIDTH, HEIGHT)) as view:
        view.look_at(*view.box(data))
        return view.draw(data)


if __name__ == "__main__":
    die_with_launcher()
    Image.fromarray(draw(TaskSpec.from_data(json.load(sys.stdin)))).save(sys.stdout.buffer, format="PNG")
