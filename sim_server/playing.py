"""``python -m scalmarl.sim_server.playing``: a world that somebody else's policies play whole episodes in.

It is told once ``spec``, ``episodes``, ``seed`` and ``film`` (``None``, or what ``filming`` takes), and answers
``ready``. Then it tells every agent's observation, with the pictures taken since the one before, is told ``actions``,
and ends with ``episodes`` (see ``Episodes.finished``), or with ``broken`` or ``unfilmable``: why.

Without a film all episodes are played at once, as copies of one group; with one, one after the other. Episode e is
that of copy e of the world with this seed either way.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from scalmarl.protocol.lifeline import die_with_launcher
from scalmarl.protocol.message_stream import MessageStream, StreamClosed
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.body import WorldBroken
from scalmarl.sim_server.filming import Unfilmable, open_camera, with_pictures
from scalmarl.sim_server.making import CountedWorld, make_world

BEAT_EVERY_S = 5.0


class Play:
    """See the module."""

    def __init__(self, stream: MessageStream, told: dict[str, Any]) -> None:
        self._stream, self._spec = stream, TaskSpec.from_data(told["spec"])
        self._episodes, self._film = int(told["episodes"]), told["film"]
        self._groups = self._episodes if self._film else 1
        self._size = self._episodes // self._groups
        self._beaten = time.monotonic()
        if self._film is not None:
            self._spec = with_pictures(self._spec)
        self._world: CountedWorld = make_world(
            self._spec, copies=self._episodes, groups=self._groups, seed=told["seed"], threads=0, staggered=False
        )

    def play(self) -> list[dict[str, Any]]:
        """What every episode amounted to; of a film, those that came to their end in it."""
        self._work(self._world.begin())
        camera = None if self._film is None else open_camera(self._world, self._spec, self._film)
        self._stream.send({"ready": True})
        found: dict[int, dict[str, Any]] = {}
        for group in range(self._groups):
            here, step, over = range(group * self._size, (group + 1) * self._size), 0, False
            while True:
                pictures = camera.take(here.start, step) if camera else []
                actions = self._tell(group, step, pictures, over)
                if over:
                    break
                self._work(self._world.step(group, actions))
                step += 1
                for copy in here:
                    if self._world.episodes.over[copy] and copy not in found:
                        found[copy] = self._so_far(copy)
                over = all(copy in found for copy in here) or (camera is not None and camera.has_enough(step))
        return [found[copy] for copy in sorted(found)]

    def _tell(self, group: int, step: int, pictures: list[Any], over: bool) -> list[Any]:
        """Observations and pictures out, actions in; nothing comes in where it is ``over``."""
        agents = range(self._spec.agents)
        message: dict[str, Any] = {"episode": group, "step": step, "pictures": pictures, "over": over}
        if self._film is not None:
            message["so_far"] = self._so_far(group)
        if over:
            self._stream.send(message)
            return []
        seen = [np.ascontiguousarray(self._world.observation(agent, group), np.float32) for agent in agents]
        self._stream.send({**message, "observations": [told.tobytes() for told in seen]})
        answer = self._stream.receive()["actions"]
        return [np.frombuffer(action, np.float32).reshape(self._size, -1) for action in answer]

    def _so_far(self, copy: int) -> dict[str, Any]:
        return {**self._world.episodes.finished(copy), **({"distance": None} if self._spec.maker else {})}

    def _work(self, pieces: Iterable[None]) -> None:
        """All of some work, with a sign of life now and then: nobody knows how long a world takes for a step."""
        for _ in pieces:
            if time.monotonic() - self._beaten > BEAT_EVERY_S:
                self._stream.send({"busy": True})
                self._beaten = time.monotonic()


def main() -> None:
    """One play."""
    stream = MessageStream.of_tool()
    told = stream.receive()
    try:
        answer: dict[str, Any] = {"episodes": Play(stream, told).play()}
    except WorldBroken as broken:
        answer = {"broken": str(broken)}
    except Unfilmable as why:
        answer = {"unfilmable": str(why), "tried": why.tried}
    stream.send(answer)


if __name__ == "__main__":
    die_with_launcher()
    with contextlib.suppress(StreamClosed):
        main()
