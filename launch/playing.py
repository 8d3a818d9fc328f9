"""Committed policies played in a world: two tools, the world's and the agents', and this process between them.

The world may live in another interpreter, and neither tool knows of the other: what passes through here is what passes
between sim server and agents in training, for all agents at once.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, Any

from scalmarl.launch.committed import Committed
from scalmarl.launch.errors import MachineNotFit, TimedOut, TrainingFailed, UsageProblem
from scalmarl.launch.sim_tools import WORLD_NEEDS, command_of, environment_of_world, last_words_of
from scalmarl.protocol.message_stream import MessageStream, StreamClosed
from scalmarl.protocol.task import TaskSpec

STEP_WITHIN_S = 300.0
"""A step of all copies; between copies the world's tool shows that it is alive."""
END_WITHIN_S = 5.0
Watch = Callable[[dict[str, Any]], None]
"""Hears ``episode``, ``step``, ``pictures`` and, of a film, ``so_far``, after every control step."""


class ToolDied(Exception):
    """A tool ended before its work was done; its last words."""


class NotBegun(MachineNotFit):
    """The world's tool ended before anybody played: a library is missing."""


class CannotDraw(UsageProblem):
    """A world from outside failed to draw itself with this graphics library."""


class Tool:
    """A process of ours that is talked with over its standard input and output."""

    def __init__(self, module: str, python: str | None, graphics: str) -> None:
        ours, theirs = socket.socketpair()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the tool
        self._name = module
        with theirs:
            try:
                self._process = subprocess.Popen(
                    command_of(module, python), stdin=theirs.fileno(), stdout=theirs.fileno(),
                    stderr=self._log.fileno(), env=environment_of_world(graphics),
                )  # fmt: skip
            except OSError as error:
                ours.close()
                self._log.close()
                if python is None:
                    raise
                raise UsageProblem(
                    f"the world's interpreter {python} cannot be run ({error.strerror})", "name a Python, 3.9 or newer"
                ) from None
        self._stream = MessageStream(ours, STEP_WITHIN_S)

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """What it answers. Raises ``ToolDied`` or ``TimedOut``."""
        with self._in_time():
            self._stream.send(message)
            return self._next()

    def hear(self) -> dict[str, Any]:
        """The next thing that it says of its own accord. Raises as ``ask`` does."""
        with self._in_time():
            return self._next()

    def _next(self) -> dict[str, Any]:
        while "busy" in (message := self._stream.receive()):
            pass
        return message

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        try:
            yield
        except StreamClosed:
            raise ToolDied(self._last_words()) from None
        except TimeoutError:
            raise TimedOut(f"{self._name} has said nothing for {STEP_WITHIN_S:g} s", "try fewer --episodes") from None

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_WITHIN_S)
        self._log.seek(0)
        return last_words_of(self._log.read(), self._process.returncode)

    def end(self) -> None:
        """It is not needed any more."""
        self._stream.close()
        self._process.kill()
        self._process.wait()
        self._log.close()


@contextlib.contextmanager
def tool(module: str, python: str | None = None, graphics: str = "disabled") -> Iterator[Tool]:
    """A tool, which ends with the block."""
    started = Tool(module, python, graphics)
    try:
        yield started
    finally:
        started.end()


def play(
    found: Committed,
    *,
    episodes: int,
    seed: int,
    stochastic: bool,
    python: str | None,
    film: dict[str, Any] | None = None,
    graphics: str = "disabled",
    watch: Watch = lambda told: None,
) -> list[dict[str, Any]]:
    """Whole episodes: what each amounted to. Raises ``UserProblem``, and of these ``NotBegun`` and
    ``CannotDraw``, before anybody plays."""
    needs = f"it needs: {python} -m pip install {WORLD_NEEDS}" if python else "see: scalmarl doctor"
    task = found.plan.task
    with tool("scalmarl.sim_server.playing", python, graphics) as world:
        try:
            shown = film and {**film, "absent": list(found.plan.absent)}
            told = world.ask({"spec": task.to_data(), "episodes": episodes, "seed": seed, "film": shown})
        except ToolDied as died:
            raise NotBegun(f"{task.label} cannot be played here: {died}", needs) from None
        sound(told, task)
        with tool("scalmarl.agents.acting") as agents:
            cast = {
                "plan": found.plan.to_data(), "contents": found.contents, "copies": 1 if film else episodes,
                "seed": seed if stochastic else None,
            }  # fmt: skip
            try:
                agents.ask(cast)
                return _relay(world, agents, task, watch)
            except ToolDied as died:
                raise MachineNotFit(f"playing {task.label} failed: {died}", needs) from None


def _relay(world: Tool, agents: Tool, task: TaskSpec, watch: Watch) -> list[dict[str, Any]]:
    told = world.hear()
    while "step" in told:
        watch(told)
        if told["over"]:
            told = world.hear()
        else:
            seen = {name: told[name] for name in ("episode", "step", "observations")}
            told = world.ask({"actions": agents.ask(seen)["actions"]})
        sound(told, task)
    episodes: list[dict[str, Any]] = told["episodes"]
    return episodes


def sound(told: dict[str, Any], task: TaskSpec) -> None:
    """Raises ``UserProblem`` if the world said that it cannot go on."""
    if "unfilmable" in told:
        cure = "a world from outside draws itself: give it render() under render_mode='rgb_array'"
        raise (CannotDraw if told["tried"] else UsageProblem)(told["unfilmable"], cure)
    if "broken" in told:
        look = f"mend it, then look at it with: scalmarl env check {task.label}"
        raise TrainingFailed(
            told["broken"], look if task.maker else "another --seed may pass; report it with this line"
        )
