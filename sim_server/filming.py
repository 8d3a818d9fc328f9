"""Pictures of a world while it is played in: of our own by MuJoCo's renderer, of one from outside by its ``render``.

What is asked for (``film``): ``width``, ``height``, ``fps``, ``seconds`` of each episode at most, ``agent``, whom the
camera follows (``None``: everybody), and the ``absent`` agents.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.body import WorldBroken
from scalmarl.sim_server.foreign_copy import ContractBroken, open_callable
from scalmarl.sim_server.foreign_world import ForeignWorld
from scalmarl.sim_server.making import CountedWorld, SavedWorld

FADE_S = 0.25
"""So long the colour of cost stays to be seen after a single step that cost."""
CALM_S = 0.5
"""The camera comes after what it follows with this time constant."""
NEAREST_TO_AGENT = 1.2


class Unfilmable(Exception):
    """The world does not draw itself; ``tried``: it tried, so another graphics library may do."""

    def __init__(self, what: str, tried: bool) -> None:
        super().__init__(what)
        self.tried = tried


class Camera(Protocol):
    """What takes the pictures of a play."""

    def take(self, copy: int, step: int) -> list[dict[str, Any]]:
        """The pictures (``width``, ``height``, ``pixels``) that are due up to this control step of a copy's episode."""

    def has_enough(self, step: int) -> bool:
        """Whether the episode has been filmed for as long as was asked for."""


def open_camera(world: CountedWorld, spec: TaskSpec, film: dict[str, Any]) -> Camera:
    """After ``world`` has begun. Raises ``Unfilmable``, and whatever the graphics library raises."""
    if isinstance(world, ForeignWorld):
        return ForeignCamera(world, film)
    assert isinstance(world, SavedWorld)
    return OwnCamera(world, spec, film)


class OwnCamera:
    """Pictures at ``fps``, in the world's own time; states between two control steps are interpolated."""

    def __init__(self, saved: SavedWorld, spec: TaskSpec, film: dict[str, Any]) -> None:
        import mujoco

        from scalmarl.sim_server.view import NEAREST, View

        self._mujoco, self._world, self._dt = mujoco, saved.world, spec.control_dt
        self._fps, self._seconds, self._agent = float(film["fps"]), float(film["seconds"]), film["agent"]
        self._model = saved.world.scene.model
        self._data = mujoco.MjData(self._model)
        self._places = saved.world.batch.bind("qpos")
        self._view = View(self._model, spec, film["width"], film["height"], film["absent"])
        self._nearest = NEAREST if self._agent is None else NEAREST_TO_AGENT
        self._heat, self._costing = np.zeros(spec.agents), np.zeros(spec.agents, bool)
        self._corners: NDArray[np.float64] | None = None
        # A first picture, so that a graphics library that does not work says so before anybody plays.
        self._show(self._places[0])
        self._view.look_at(*self._view.box(self._data))
        self._view.draw(self._data)

    def has_enough(self, step: int) -> bool:
        """See ``Camera``."""
        return step * self._dt >= self._seconds

    def take(self, copy: int, step: int) -> list[dict[str, Any]]:
        """See ``Camera``."""
        now = self._places[copy].copy()
        if step == 0:
            self._before, self._due, self._corners = now, 0, None
            self._heat[:], self._costing[:] = 0.0, False
        else:
            self._costing = self._world.costs[copy] > 0
        taken = []
        while (when := self._due / self._fps) < min(step * self._dt + 1e-9, self._seconds):
            share = 1.0 if step == 0 else when / self._dt - (step - 1)
            self._show(self._between(now, share))
            taken.append(self._picture())
            self._due += 1
        self._before = now
        return taken

    def _between(self, now: NDArray[np.float64], share: float) -> NDArray[np.float64]:
        """From the state before to ``now``, along the shortest way of every joint."""
        speed = np.zeros(self._model.nv)
        place: NDArray[np.float64] = self._before.copy()
        self._mujoco.mj_differentiatePos(self._model, speed, 1.0, self._before, now)
        self._mujoco.mj_integratePos(self._model, place, speed, min(max(share, 0.0), 1.0))
        return place

    def _show(self, place: NDArray[np.float64]) -> None:
        self._data.qpos[:] = place
        self._mujoco.mj_forward(self._model, self._data)

    def _picture(self) -> dict[str, Any]:
        self._follow(np.array(self._view.box(self._data, self._agent)))
        self._heat = np.where(self._costing, 1.0, self._heat * np.exp(-1.0 / (FADE_S * self._fps)))
        self._view.paint(self._heat)
        return as_message(self._view.draw(self._data))

    def _follow(self, corners: NDArray[np.float64]) -> None:
        """An alpha-beta filter over the box: calm, and not behind what travels at a constant speed."""
        if self._corners is None:
            self._corners, self._drift = corners, np.zeros_like(corners)
        alpha = 1.0 - np.exp(-1.0 / (CALM_S * self._fps))
        ahead = self._corners + self._drift / self._fps
        error = corners - ahead
        self._corners = low, high = ahead + alpha * error
        self._drift = self._drift + alpha**2 / (2.0 - alpha) * error * self._fps
        self._view.look_at(low, high, self._nearest)


class ForeignCamera:
    """What ``env.render()`` gives, one picture per control step."""

    def __init__(self, world: ForeignWorld, film: dict[str, Any]) -> None:
        self._world, self._most = world, int(film["seconds"] * film["fps"])
        try:
            world.picture(0)
        except WorldBroken as broken:
            tried = getattr(broken.__cause__, "__cause__", None) is not None
            raise Unfilmable(str(broken), tried) from broken

    def has_enough(self, step: int) -> bool:
        """See ``Camera``."""
        return step >= self._most - 1

    def take(self, copy: int, step: int) -> list[dict[str, Any]]:
        """See ``Camera``."""
        return [as_message(self._world.picture(copy))]


def as_message(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """``[height, width, 3]`` as it travels."""
    height, width, _ = pixels.shape
    return {"width": width, "height": height, "pixels": np.ascontiguousarray(pixels).tobytes()}


def with_pictures(spec: TaskSpec) -> TaskSpec:
    """A world from outside is made with ``render_mode="rgb_array"``, Gymnasium's word for pictures, if it takes that
    word and nobody gave it another."""
    about = spec.parameters
    if not spec.maker or "render_mode" in about["arguments"]:
        return spec
    try:
        taken = inspect.signature(open_callable(spec.maker, about["directory"])).parameters
    except (ContractBroken, TypeError, ValueError):
        return spec
    if "render_mode" not in taken and not any(one.kind is one.VAR_KEYWORD for one in taken.values()):
        return spec
    arguments = {**about["arguments"], "render_mode": "rgb_array"}
    return replace(spec, parameters={**about, "arguments": arguments})
