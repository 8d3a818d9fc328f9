"""Whatever the surroundings do: poisoned generators, another hash seed, delays everywhere, no processor to be had."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
ROUNDS = 6


@pytest.fixture
def busy_loops() -> Iterator[list[subprocess.Popen[bytes]]]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    yield loops
    for loop in loops:
        loop.kill()
        loop.wait()


@pytest.mark.parametrize("hash_seed", ["0", "1", "4294967295"])
def test_poisoned_surroundings_change_no_bit(
    hash_seed: str, start: Any, small: Any, busy_loops: Any, check_bits: Any
) -> None:
    launch = start(
        f"poison-{hash_seed}", *small, "--rounds", str(ROUNDS),
        plant=[{"do": "poison", "process": "any"}], env={"PYTHONHASHSEED": hash_seed},
    )  # fmt: skip
    assert launch.end(within_s=600.0) == 0, launch.words
    assert all(loop.poll() is None for loop in busy_loops)
    assert not [e for e in launch.events() if e["event"] in ("death", "stall kill")], "busy is not frozen"
    check_bits(launch, ROUNDS)


def test_poison_and_deaths_together(start: Any, small: Any, places: Any, campaign: Any, check_bits: Any) -> None:
    """A life after a death draws other random states and takes other times, and still says the same."""
    struck = [
        {
            "do": "kill",
            "process": name,
            "place": campaign.draw.choice(places[name.partition("/")[0]]),
            "round": number + 1,
        }
        for number, name in enumerate(("agent/2", "sim", "coordinator", "agent/0"))
    ]
    campaign.say(struck)
    launch = start(
        "poison-deaths", *small, "--rounds", str(ROUNDS), plant=[*struck, {"do": "poison", "process": "any"}]
    )
    assert launch.end(within_s=600.0) == 0, launch.words
    assert sum("planting" in line for line in launch.journal()) == len(struck)
    check_bits(launch, ROUNDS)
