"""``python -m scalmarl.sim_server.picture < SPEC_JSON > PNG``: a picture of a task's world at its start.

It needs a graphics library (``MUJOCO_GL`` chooses one) and Pillow; the sim server itself never renders.
"""

from __future__ import annotations

import colorsys
import json
import sys

import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scalmarl.protocol.lifeline import die_with_launcher
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.scene import Array
from scalmarl.sim_server.world import World

WIDTH, HEIGHT = 960, 540
SETTLE_STEPS = 20


def draw(spec: TaskSpec) -> NDArray[np.uint8]:
    """``[HEIGHT, WIDTH, 3]``: the whole robot, seen from the side and above."""
    world = World(spec, copies=1, groups=1, seed=0, threads=1)
    for _ in range(SETTLE_STEPS):
        world.step(0, [np.zeros((1, size), np.float32) for size in spec.action_sizes])
    model, data = world.scene.model, world.batch.get_data(0)
    prepare(model, spec, WIDTH, HEIGHT)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, HEIGHT, WIDTH) as renderer:
        renderer.update_scene(data, camera_on(model, data, spec))
        pixels: NDArray[np.uint8] = renderer.render()
        return pixels


def prepare(model: mujoco.MjModel, spec: TaskSpec, width: int, height: int) -> None:
    """Make a model fit to be looked at: light, room for the picture, every agent's limbs in a colour of their own."""
    _light(model, width, height)
    _paint(model, spec)


def camera_on(model: mujoco.MjModel, data: mujoco.MjData, spec: TaskSpec) -> mujoco.MjvCamera:
    """A camera that has all robots in view."""
    low, high = _extent(model, data, spec)
    camera = mujoco.MjvCamera()
    camera.lookat = (low + high) / 2
    camera.distance = 1.6 * max(float(np.linalg.norm(high - low)), 3.0)
    camera.azimuth, camera.elevation = 120.0, -25.0
    return camera


def _light(model: mujoco.MjModel, width: int, height: int) -> None:
    """Room for the picture, and light from the camera: the models have no lamps."""
    model.vis.global_.offwidth, model.vis.global_.offheight = width, height
    model.vis.headlight.ambient[:] = 0.45
    model.vis.headlight.diffuse[:] = 0.6
    model.geom_size[model.geom("floor").id, :2] = 0.0


def _paint(model: mujoco.MjModel, spec: TaskSpec) -> None:
    """Every agent's limbs in a colour of their own."""
    for agent, joints in enumerate(spec.action_entries):
        colour = colorsys.hsv_to_rgb(agent / spec.agents, 0.75, 0.85 if agent % 2 else 0.6)
        for joint in joints:
            model.geom_rgba[model.geom_bodyid == model.joint(joint).bodyid[0], :3] = colour


def _extent(model: mujoco.MjModel, data: mujoco.MjData, spec: TaskSpec) -> tuple[Array, Array]:
    """Corners of a box round the robots."""
    joints = [joint for own in spec.action_entries for joint in own]
    robots = {int(model.body_rootid[model.joint(joint).bodyid[0]]) for joint in joints}
    theirs = np.isin(model.body_rootid[model.geom_bodyid], list(robots))
    places, reach = data.geom_xpos[theirs], model.geom_rbound[theirs, None]
    return (places - reach).min(axis=0), (places + reach).max(axis=0)


if __name__ == "__main__":
    die_with_launcher()
    Image.fromarray(draw(TaskSpec.from_data(json.load(sys.stdin)))).save(sys.stdout.buffer, format="PNG")
