"""How pictures and films of our own worlds look: camera, light, colours, and metres on the floor."""

from __future__ import annotations

import math
from collections.abc import Collection

import mujoco
import numpy as np
from numpy.typing import NDArray

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.agent_colours import COST, colours
from scalmarl.sim_server.scene import Array

AZIMUTH, ELEVATION = 120.0, -25.0
NEAREST = 3.0
"""Metres; of what is smaller the camera does not go nearer."""
LINE = 0.008
LINE_COLOUR = np.array([0.6, 0.68, 0.6, 1.0], np.float32)


class View:
    """What is drawn of one copy: ``data``, after ``mujoco.mj_forward``. Changes the look of ``model`` alone; ``absent``
    agents are grey."""

    def __init__(
        self, model: mujoco.MjModel, spec: TaskSpec, width: int, height: int, absent: Collection[int] = ()
    ) -> None:
        self._model, self._agents = model, spec.agents
        self._renderer: mujoco.Renderer | None = None
        self._size = (height, width)
        _light(model, width, height)
        joints = [[model.joint(joint).bodyid[0] for joint in own] for own in spec.action_entries]
        self._limbs = [np.flatnonzero(np.isin(model.geom_bodyid, own)) for own in joints]
        robots = {int(model.body_rootid[body]) for own in joints for body in own}
        self._robots = np.flatnonzero(np.isin(model.body_rootid[model.geom_bodyid], list(robots)))
        self._colours = np.array(colours(spec.agents, absent))
        self.camera = mujoco.MjvCamera()
        self.camera.azimuth, self.camera.elevation = AZIMUTH, ELEVATION
        self.paint(np.zeros(spec.agents))

    def paint(self, heat: Array) -> None:
        """Every agent's limbs in its own colour at ``heat`` ``[A]`` 0, in that of cost at 1."""
        for limbs, own, hot in zip(self._limbs, self._colours, heat):
            self._model.geom_rgba[limbs, :3] = own + hot * (np.array(COST) - own)

    def box(self, data: mujoco.MjData, agent: int | None = None) -> tuple[Array, Array]:
        """Corners of a box round all robots, or round the limbs of one agent."""
        geoms = self._robots if agent is None else self._limbs[agent]
        places, reach = data.geom_xpos[geoms], self._model.geom_rbound[geoms, None]
        return (places - reach).min(axis=0), (places + reach).max(axis=0)

    def look_at(self, low: Array, high: Array, nearest: float = NEAREST) -> None:
        """All of a box, from the side and above."""
        self.camera.lookat = (low + high) / 2
        self.camera.distance = 1.6 * max(float(np.linalg.norm(high - low)), nearest)

    def draw(self, data: mujoco.MjData) -> NDArray[np.uint8]:
        """``[height, width, 3]``."""
        if self._renderer is None:
            self._renderer = mujoco.Renderer(self._model, *self._size)
        self._renderer.update_scene(data, self.camera)
        self._draw_metres(self._renderer.scene)
        pixels: NDArray[np.uint8] = self._renderer.render()
        return pixels

    def _draw_metres(self, scene: mujoco.MjvScene) -> None:
        """Lines on the floor, a metre apart (ten where the camera is far): without them nothing is seen to travel."""
        reach = 1.2 * self.camera.distance
        apart = 1.0 if self.camera.distance < 30 else 10.0
        floor = self._model.geom("floor").pos[2]
        for axis in (0, 1):
            middle = self.camera.lookat[axis]
            for number in range(math.ceil((middle - reach) / apart), math.floor((middle + reach) / apart) + 1):
                if scene.ngeom >= scene.maxgeom:
                    return
                place = np.array([*self.camera.lookat[:2], floor])
                place[axis] = number * apart
                size = np.full(3, LINE)
                size[1 - axis], size[2] = reach, 1e-4
                size[axis] *= apart * self.camera.distance / 5.0
                mujoco.mjv_initGeom(
                    scene.geoms[scene.ngeom], mujoco.mjtGeom.mjGEOM_BOX, size, place, np.eye(3).ravel(), LINE_COLOUR
                )
                scene.ngeom += 1

    def close(self) -> None:
        """Give the graphics library's context back."""
        if self._renderer is not None:
            self._renderer.close()


def _light(model: mujoco.MjModel, width: int, height: int) -> None:
    """Room for the picture, and light from the camera: the models have no lamps."""
    model.vis.global_.offwidth, model.vis.global_.offheight = width, height
    model.vis.headlight.ambient[:] = 0.45
    model.vis.headlight.diffuse[:] = 0.6
    model.geom_size[model.geom("floor").id, :2] = 0.0
