"""SIGSTOP: for a moment, for ever, and a frozen process that thaws beside its replacement."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
EVERYBODY = ["agent/0", "agent/2", "sim", "coordinator"]


def events_of(launch: Any, *names: str) -> list[dict[str, Any]]:
    return [event for event in launch.events() if event["event"] in names]


@pytest.mark.parametrize("process", EVERYBODY)
def test_a_short_freeze_restarts_nobody(
    process: str, start: Any, endless: Any, campaign: Any, check_bits: Any, stop: Any
) -> None:
    launch = start(f"short-{process.replace('/', '')}", *endless)
    launch.wait_for_round(1)
    pid = launch.pid_of(process)
    time.sleep(campaign.draw.uniform(0.0, 0.3))
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3.0)
    os.kill(pid, signal.SIGCONT)
    launch.wait_for_event("beats again", process)
    stop(launch)
    assert not events_of(launch, "death", "restart", "stall kill")
    told = [event["process"] for event in events_of(launch, "silent", "beats again")]
    assert told == [process, process], "suspected, and cleared"
    check_bits(launch)


@pytest.mark.parametrize("process", EVERYBODY)
def test_a_process_that_is_frozen_for_ever_is_replaced(
    process: str, start: Any, endless: Any, campaign: Any, check_bits: Any, stop: Any
) -> None:
    limit = 5.0
    name = f"for-ever-{process.replace('/', '')}"
    launch = start(name, *endless, "--set", f"processes.stall_kill_s={limit}", plant=[])
    launch.wait_for_round(1)
    pid = launch.pid_of(process)
    time.sleep(campaign.draw.uniform(0.0, 0.3))
    os.kill(pid, signal.SIGSTOP)
    launch.wait_for_event("back", process)
    stop(launch)
    silent, stalled, death, back = (events_of(launch, name)[0] for name in ("silent", "stall kill", "death", "back"))
    assert {event["process"] for event in (silent, stalled, death, back)} == {process}
    assert (death["pid"], death["signal"]) == (pid, "SIGKILL")
    assert 2.0 <= silent["seconds"] < 3.0
    assert limit <= stalled["seconds"] < limit + 1.0
    campaign.say(
        f"{process}: suspected after {silent['seconds']} s, killed after {stalled['seconds']} s,",
        f"back {back['seconds']} s after its death",
    )
    assert not [line for line in launch.journal() if "twin" in line]
    check_bits(launch)


@pytest.mark.parametrize("process", ["agent/1", "agent/3", "sim", "coordinator"])
def test_a_zombie_beside_its_replacement_changes_nothing(
    process: str, start: Any, endless: Any, campaign: Any, check_bits: Any, stop: Any
) -> None:
    """The launcher of this test starts a replacement beside the frozen process; then the frozen one thaws."""
    plant = [{"do": "spare the frozen", "process": process}]
    name = f"zombie-{process.replace('/', '')}"
    launch = start(name, *endless, "--set", "processes.stall_kill_s=3", plant=plant)
    launch.wait_for_round(1)
    frozen = launch.pid_of(process)
    time.sleep(campaign.draw.uniform(0.0, 0.3))
    os.kill(frozen, signal.SIGSTOP)
    launch.wait_for_event("spared", process)
    launch.wait_for_event("back", process)
    assert launch.pid_of(process) != frozen
    os.kill(frozen, signal.SIGCONT)
    thawed_at = launch.state()["round"]
    launch.wait_for_round(thawed_at + 4)
    twins = [line for line in launch.journal() if "twin" in line]
    assert [(line["twin"], line["pid"]) for line in twins] == [(process, frozen)], "there were two of it"
    os.kill(frozen, 0)
    heard = {
        p["name"]: p["dropped"].get("duplicate", 0) + p["dropped"].get("stale", 0)
        for p in launch.state()["processes"]
        if p["name"] != process
    }
    campaign.say(f"{process} thawed beside its replacement at round {thawed_at}; duplicates and stale values: {heard}")
    if process != "coordinator":
        # A coordinator may have had nothing to say when it froze.
        assert sum(heard.values()) > 0, "what both say is counted once"
    # A life that begins after the zombie has written must not be misled by what it finds.
    os.kill(launch.pid_of(process), signal.SIGKILL)
    launch.wait_for_round(launch.state()["round"] + 3)
    stop(launch)
    check_bits(launch)
