"""SIGKILL: at every place of every process, at all at once, in a storm, at the launcher and at the fork server."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
ROUNDS = 6


def wait(until: Callable[[], Any], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not until():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def is_alive(process: psutil.Process) -> bool:
    """An ended process that its new parent has not reaped yet is not alive."""
    try:
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def family(launch: Any) -> list[psutil.Process]:
    """Every process of a run below its launcher, fork server and its resource tracker included."""
    return psutil.Process(launch.process.pid).children(recursive=True)


def fork_server(launch: Any) -> psutil.Process:
    return next(
        child
        for child in psutil.Process(launch.process.pid).children()
        if any("multiprocessing.forkserver" in word for word in child.cmdline())
    )


@pytest.mark.parametrize("process", ["agent/0", "agent/1", "agent/2", "agent/3", "sim", "coordinator"])
def test_one_death_at_every_place(
    process: str, start: Any, small: Any, places: Any, campaign: Any, check_bits: Any
) -> None:
    """A death in each round, each at another place; nothing else happens."""
    mine = places[process.partition("/")[0]]
    plant = [{"do": "kill", "process": process, "place": p, "round": 1 + n} for n, p in enumerate(mine)]
    rounds = len(plant) + 2
    launch = start(f"one-by-one-{process.replace('/', '')}", *small, "--rounds", str(rounds), plant=plant)
    assert launch.end(within_s=600.0) == 0, launch.words
    journal = launch.journal()
    struck = [line for line in journal if "planting" in line]
    assert [line["place"] for line in struck] == list(mine)
    check_bits(launch, rounds)
    assert not [line for line in journal if "twin" in line]
    for number, line in enumerate(journal):
        if "planting" in line:
            begun = next(e for e in journal[number:] if "begins" in e and e["process"] == process)
            assert line["round"] <= begun["begins"] <= line["round"] + 1, f"at most one round is redone: {line}"
    others = [line for line in journal if "life" in line and line["process"] != process]
    assert len(others) == 5, "nobody else started again"
    back = sorted(event["seconds"] for event in launch.events() if event["event"] == "back")
    campaign.say(f"{process}: {len(back)} deaths, back in {back[len(back) // 2]:.2f} s median, {back[-1]:.2f} s worst")


@pytest.mark.parametrize("time_to_kill", range(10))
def test_everything_killed_at_once(
    time_to_kill: int, start: Any, endless: Any, campaign: Any, check_bits: Any, stop: Any
) -> None:
    launch = start(f"all-at-once-{time_to_kill}", *endless)
    if time_to_kill < 2:
        launch.wait_until(lambda state: any(p["pid"] for p in state["processes"]))
        after, moment = "the first of them was started", campaign.draw.uniform(0.0, 5.0)
    else:
        committed = campaign.draw.randrange(0, ROUNDS - 1)
        launch.wait_until(lambda state: state["round"] >= committed and len(launch.running()) == 6)
        after, moment = f"commit {committed}", campaign.draw.uniform(0.0, 0.5)
    time.sleep(moment)
    victims = [p["pid"] for p in launch.state()["processes"] if p["pid"]]
    campaign.say(f"SIGKILL for {len(victims)} processes {moment:.3f} s after {after}")
    for pid in victims:
        kill(pid)
    stop(launch)
    assert len([event for event in launch.events() if event["event"] == "death"]) >= len(victims)
    check_bits(launch)


@pytest.mark.parametrize("storm", range(10))
def test_a_storm_of_kills(
    storm: int, start: Any, endless: Any, campaign: Any, check_bits: Any, stop: Any, unreaped: Any
) -> None:
    """Five kills a second, of any process, for a minute: the bits hold, nothing is left over, nothing leaks."""
    launch = start(f"storm-{storm}", *endless)
    launch.wait_until(lambda state: state["round"] >= 1)
    launcher = psutil.Process(launch.process.pid)
    before = launcher.num_fds()
    end, kills = time.monotonic() + campaign.lasts(60.0), 0
    while time.monotonic() < end:
        time.sleep(campaign.draw.expovariate(5.0))
        there = launch.running()
        if there:
            kill(there[campaign.draw.choice(sorted(there))])
            kills += 1
    at_rest = launch.state()["round"] + 1
    launch.wait_until(
        lambda state: state["round"] > at_rest and all(p["state"] == "running" for p in state["processes"])
    )
    campaign.say(f"storm {storm}: {kills} kills, {at_rest} rounds committed meanwhile")
    wait(lambda: not unreaped(launch.process.pid))
    wait(lambda: launcher.num_fds() <= before)
    # The launcher's children: fork server, its resource tracker, sim server and coordinator; below them four agents.
    assert len(family(launch)) == 8, [child.cmdline() for child in family(launch)]
    stop(launch)
    check_bits(launch)


def test_a_killed_launcher_takes_everything_along_and_resume_goes_on(
    start: Any, endless: Any, campaign: Any, check_bits: Any, stop: Any
) -> None:
    launch = start("launcher", *endless)
    for number in range(4):
        if number % 2 == 0:
            wait(lambda made=launch: len(made.running()) == 6 and len(family(made)) == 8)
            time.sleep(campaign.draw.uniform(0.0, 0.5))
        else:
            # Also while it starts.
            time.sleep(campaign.draw.uniform(0.0, 3.0))
        children = family(launch)
        launch.process.kill()
        launch.process.wait()
        wait(lambda dead=children: not any(is_alive(child) for child in dead), within_s=1.0)
        campaign.say(f"launcher {number} killed after round {launch.state()['round']}, {len(children)} went with it")
        launch = start("launcher", str(launch.path), command=("resume",))
    wait(lambda: len(launch.running()) == 6 and len(family(launch)) == 8)
    stop(launch)
    check_bits(launch)


@pytest.mark.parametrize("time_to_kill", range(3))
def test_a_killed_fork_server_never_doubles_an_agent(
    time_to_kill: int, start: Any, endless: Any, campaign: Any, check_bits: Any, stop: Any
) -> None:
    launch = start(f"fork-server-{time_to_kill}", *endless, plant=[])
    launch.wait_until(lambda state: state["round"] >= 1)
    time.sleep(campaign.draw.uniform(0.0, 0.5))
    server = fork_server(launch)
    campaign.say(f"SIGKILL for the fork server after round {launch.state()['round']}")
    server.kill()
    launch.wait_until(lambda state: sum(event["event"] == "back" for event in launch.events()) == 4)
    stop(launch)
    journal = launch.journal()
    lives = Counter(line["process"] for line in journal if "life" in line)
    assert lives == {**{f"agent/{n}": 2 for n in range(4)}, "sim": 1, "coordinator": 1}
    assert not [line for line in journal if "twin" in line], "two lives of one process at once"
    check_bits(launch)
