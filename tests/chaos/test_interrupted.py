"""A launcher that is killed while it changes who takes part, or while a run goes back; then ``resume``."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scalmarl.launch.absence import took_part
from scalmarl.launch.control_socket import ask
from scalmarl.launch.resuming import archived_rounds
from scalmarl.launch.run_directory import RunDirectory, read_plan

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]
SIZE = ("--agents", "3", "--kappa", "1", "--envs", "4", "--steps", "24", "--rounds", "100000", "--on-loss", "mask")
EVERY = 4
"""Of the steps of a regroup, and twice as many of going back, one in so many; the default suite has each of them."""


def wait(launch: Any, until: Callable[[], Any]) -> None:
    """Until then, or until the launcher is dead."""
    deadline = time.monotonic() + 120.0
    while launch.process.poll() is None and not until():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def dying(work: str, step: int) -> list[dict[str, Any]]:
    return [{"do": "die", "process": "launcher", "work": work, "step": step}]


def is_killed(launch: Any) -> bool:
    launch.state()
    launch.process.wait(timeout=120.0)
    return bool(launch.process.returncode == -signal.SIGKILL)


def lives(start: Any, path: str | None, work: str, words: tuple[str, ...], first: int, each: int) -> Iterator[Any]:
    """Launchers of one run, each of which dies at a later step of the work."""
    while True:
        plant = dying(work, first)
        if path is None:
            launch = start("interrupted", *words, plant=plant)
            path = str(launch.path)
        else:
            launch = start("interrupted", path, *words, command=("resume",), plant=plant)
        yield launch
        words = () if work == "regroup" else words
        first += each


def check(launch: Any, scalmarl: Callable[..., Any]) -> None:
    """The run, stopped, is what the same absences make of it undisturbed; no round is lost or told twice; no litter."""
    rounds = len(launch.commits())
    for name in ("metrics.jsonl", "traffic.jsonl"):
        lines = [json.loads(line)["round"] for line in (launch.path / name).read_text().splitlines()]
        assert lines == list(range(rounds)), name
    assert not list(launch.path.rglob(".*.tmp"))
    assert not list((launch.path.parent / "t").glob("scalmarl-*"))
    said = scalmarl("verify", str(launch.path))
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"identical: {rounds} rounds" in said.stdout


def test_a_launcher_killed_in_regroups_and_while_going_back(
    start: Any, scalmarl: Callable[..., Any], campaign: Any, stop: Callable[[Any], None]
) -> None:
    path, words = None, (*SIZE, "--set", "processes.loss_after_s=0.1")
    for command, wanted in (("kill", (1,)), ("restart", ())):
        for launch in lives(start, path, "regroup", words, campaign.draw.randrange(EVERY), EVERY):
            run, path = RunDirectory(launch.path), str(launch.path)
            before = len(launch.commits()) if run.state.exists() else 0
            launch.wait_for_round(before + 2)
            ask(run, {"command": command, "process": "1"})
            wait(launch, lambda run=run, wanted=wanted: read_plan(run).absent == wanted)
            if read_plan(run).absent == wanted:
                break
            assert is_killed(launch)
            assert len(launch.commits()) >= before + 2
        words = ()
        if launch.process.poll() is None:
            launch.process.kill()
        launch.process.wait()
    launch = start("interrupted", str(path), command=("resume",), plant=[])
    launch.wait_for_round(len(launch.commits()) + 2)
    stop(launch)
    tell(campaign, launch, "regroup")
    check(launch, scalmarl)
    go_back(launch, start, campaign, stop)
    check(launch, scalmarl)


def go_back(launch: Any, start: Any, campaign: Any, stop: Callable[[Any], None]) -> None:
    """Into the absence, if the archive still has a round of it."""
    run = RunDirectory(launch.path)
    there, rounds = archived_rounds(run, read_plan(run)), took_part(run)
    back = max((r for r in there if r > 0 and 1 not in rounds[r - 1]), default=there[-1])
    found = launch.commits()
    words = ("--from-round", str(back))
    for again in lives(start, str(launch.path), "prepare", words, campaign.draw.randrange(2 * EVERY), 2 * EVERY):
        wait(again, lambda again=again: len(again.running()) > 2)
        if again.process.poll() is None:
            break
        assert is_killed(again), again.said.read_text()
        assert len(again.commits()) in (back, len(found)), "the log is cut in one"
        assert again.commits() == found[: len(again.commits())]
    assert again.commits()[:back] == found[:back]
    stop(again)
    tell(campaign, again, "prepare")
    campaign.say(f"gone back from round {len(found)} to {back}, absent then: {read_plan(run).absent}")


def tell(campaign: Any, launch: Any, work: str) -> None:
    died = [line for line in launch.journal() if line.get("died_in") == work]
    assert died, "no launcher died where it should"
    places = ", ".join(f"{line['step']} ({line['at']} {Path(line['path']).name})" for line in died)
    campaign.say(f"{len(died)} deaths in {work}, at steps {places}")
