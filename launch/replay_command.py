"""``scalmarl replay``: the committed policies of a run, filmed."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from scalmarl.launch.committed import Committed, committed
from scalmarl.launch.errors import Exit, MachineNotFit, UsageProblem
from scalmarl.launch.eval_command import python_of, round_option, seed_option, stochastic_option
from scalmarl.launch.film_file import Caption, Film, require_film
from scalmarl.launch.playing import CannotDraw, NotBegun, play
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.launch.sim_tools import GRAPHICS_CURE, graphics_to_try
from scalmarl.launch.summary import each_cost
from scalmarl.protocol.plan import Plan
from scalmarl.sim_server.agent_colours import ABSENT, colours

MOST_EPISODES = 64
SAY_EVERY_S = 2.0


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The film: .mp4, or .gif; replaced if there."
)
@click.option("--episodes", type=click.IntRange(1, MOST_EPISODES), default=1, show_default=True)
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), default=20.0, show_default=True, help="Of each, at most."
)
@seed_option
@round_option
@stochastic_option
@click.option("--fps", type=click.IntRange(1, 120), default=30, show_default=True, help="Pictures a second.")
@click.option("--width", type=click.IntRange(64, 3840), default=960, show_default=True)
@click.option("--height", type=click.IntRange(64, 2160), default=540, show_default=True)
@click.option("--agent", type=click.IntRange(0), help="Whom the camera follows.  [default: all]")
@click.option("--caption/--no-caption", default=True, help="Step, return and costs below the picture.")
@guarded
def replay(
    directory: Path, output: Path, episodes: int, seed: int, round: int | None, stochastic: bool, caption: bool,
    **film: Any,
) -> None:  # fmt: skip
    """Film the committed policies of a run: what they do now, not what they did in training.

    \b
    scalmarl replay runs/mine -o film.mp4
    scalmarl replay runs/mine -o start.mp4 --round 0 --seconds 10
    scalmarl replay runs/mine -o small.gif --fps 12 --width 480 --height 270 --agent 3

    An agent has a colour of its own, and is red while it costs. The episodes are the first ones of 'scalmarl eval' with
    the same --seed. It needs the extra 'video', and a graphics library for all worlds but those from outside, which
    draw themselves.
    """
    require_film(output)
    # As after Ctrl-C, nothing half is left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(Exit.TERMINATED)))
    run = RunDirectory(directory)
    run.read_state()
    found = committed(run, round)
    task = found.plan.task
    if film["agent"] is not None and film["agent"] >= task.agents:
        raise UsageProblem(f"{task.label} has no agent {film['agent']}", f"give --agent 0 to {task.agents - 1}")
    if film["agent"] is not None and task.maker:
        raise UsageProblem(f"{task.label} draws itself: no camera of ours can follow an agent", "leave --agent out")
    wanted = {"episodes": episodes, "seed": seed, "stochastic": stochastic, "python": python_of(run), "film": film}
    with Film(output, film["fps"]) as reel:
        _play(found, wanted, Cutter(reel, found, episodes, caption))
        if not reel.pictures:
            raise MachineNotFit("no picture came of it", "report it with the command")
    size = output.stat().st_size / 1e6
    click.echo(f"{output}: {reel.pictures} pictures, {reel.pictures / film['fps']:.1f} s, {size:.2f} MB")


def _play(found: Committed, wanted: dict[str, Any], cutter: Cutter) -> None:
    """With the first graphics library that works. Raises ``UserProblem``."""
    # A world from outside may draw without one; if it needs one, it has been tried by then.
    choices = (*graphics_to_try(), *(("disabled",) if found.plan.task.maker else ()))
    last: NotBegun | CannotDraw | None = None
    for graphics in choices:
        try:
            play(found, **wanted, graphics=graphics, watch=cutter.watch)
            return
        except (NotBegun, CannotDraw) as problem:
            last = problem
    assert last is not None
    if found.plan.task.maker:
        raise last
    raise MachineNotFit(f"no graphics library works here (the last said: {last.what})", GRAPHICS_CURE)


class Cutter:
    """Takes the pictures as they come, with their caption, and says how far it is."""

    def __init__(self, reel: Film, found: Committed, episodes: int, caption: bool) -> None:
        self._reel, self._plan, self._round, self._episodes = reel, found.plan, found.round, episodes
        self._task = found.plan.task
        self._wants_caption = caption
        self._caption: Caption | None = None
        self._said = time.monotonic()

    def watch(self, told: dict[str, Any]) -> None:
        """See ``launch.playing.Watch``."""
        for picture in told["pictures"]:
            shape = (picture["height"], picture["width"], 3)
            pixels = np.frombuffer(picture["pixels"], np.uint8).reshape(shape)
            self._reel.add(self._with_caption(pixels, told) if self._wants_caption else pixels)
        if time.monotonic() - self._said > SAY_EVERY_S:
            self._said = time.monotonic()
            click.echo(
                f"episode {told['episode'] + 1} of {self._episodes}, step {told['step']}, {self._reel.pictures} "
                f"pictures", err=True,
            )  # fmt: skip

    def _with_caption(self, pixels: np.ndarray[Any, Any], told: dict[str, Any]) -> np.ndarray[Any, Any]:
        if self._caption is None:
            self._caption = Caption(pixels.shape[1], squares(self._plan))
        so_far = told["so_far"]
        costs = [each_cost(own) for own in so_far["cost_agent"]]
        above = [any(x > c for x, c in zip(own, limits)) for own, limits in zip(costs, self._task.cost_limits)]
        texts = ["/".join(map(short, own)) + ("!" if hot else "") for own, hot in zip(costs, above)]
        words = [
            f"round {self._round}", f"step {told['step']}", f"return {so_far['return_team']:,.1f}",
            *([] if so_far["distance"] is None else [f"{so_far['distance']:.1f} m"]),
            f"cost {so_far['cost_team']:g}", "each agent's (! above its limit):",
        ]  # fmt: skip
        return self._caption.below(pixels, words, texts, above)


def short(cost: float) -> str:
    """At most four figures of what is not very large."""
    return f"{cost:.0f}" if cost >= 100 or cost == round(cost) else f"{cost:.1f}"


def squares(plan: Plan) -> list[tuple[int, int, int]]:
    """Every agent's colour, as in the picture; of a world that draws itself nobody knows them: grey."""
    found = [ABSENT] * plan.agents if plan.task.maker else colours(plan.agents, plan.absent)
    return [as_bytes(colour) for colour in found]


def as_bytes(colour: tuple[float, float, float]) -> tuple[int, int, int]:
    """Red, green and blue from 0 to 255."""
    red, green, blue = (round(255 * part) for part in colour)
    return red, green, blue
