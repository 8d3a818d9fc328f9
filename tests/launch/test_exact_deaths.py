"""Killed and crashed at exact places: every place of a round, of every role, in one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

SIZE = ("--agents", "3", "--kappa", "1", "--envs", "4", "--steps", "24")
SMALL = (*SIZE, "--rounds", "40")


@pytest.mark.timeout(480)
def test_a_death_at_every_place_of_every_role_costs_a_round_at_most(
    calm: Any, start: Any, places: dict[str, tuple[str, ...]], difference: Callable[..., str]
) -> None:
    """In each round an agent, the sim server and the coordinator die, each time at another place of their stories."""
    process = {"agent": "agent/1", "sim": "sim", "coordinator": "coordinator"}
    plant = [
        {"do": "kill", "process": process[role], "place": place, "round": 1 + number}
        for role in places
        for number, place in enumerate(places[role])
    ]
    launch = start("everywhere", *SMALL, plant=plant)
    assert launch.end(within_s=240.0) == 0, launch.words
    journal = launch.journal()
    struck = [line for line in journal if "planting" in line]
    assert sorted(line["planting"] for line in struck) == list(range(len(plant))), "each death where it was planted"
    assert difference(launch.commits(), calm.commits()) == ""
    assert len(launch.commits()) == 40
    assert not [line for line in journal if "twin" in line], "never two lives of one process at once"
    for begun, planting in begun_after(journal):
        assert planting["round"] <= begun["begins"] <= planting["round"] + 1, (planting, begun)


def begun_after(journal: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Where each process that was killed began again, with its planting."""
    for number, line in enumerate(journal):
        if "planting" in line:
            yield next(e for e in journal[number:] if "begins" in e and e["process"] == line["process"]), line


def test_a_crash_that_comes_back_stops_the_run_and_names_its_place(start: Any) -> None:
    crash = {"do": "crash", "process": "agent/1", "place": "after need observation", "round": 1, "step": 7}
    launch = start("poisoned", *SMALL, plant=[crash])
    assert launch.end() == 1, launch.words
    assert "agent/1 crashed 3 times at round 1, step 7, phase 'sampling'" in launch.words
    assert "planted crash" in launch.words
    deaths = [event for event in launch.events() if event["event"] == "death"]
    assert [(e["process"], e["round"], e["step"], e["phase"]) for e in deaths] == [("agent/1", 1, 7, "sampling")] * 3
