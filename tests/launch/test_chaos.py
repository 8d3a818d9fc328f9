"""Deaths and freezes on purpose: the schedule is the seed's, and a run that was struck has the bits of a calm one."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scalmarl.launch.chaos import FREEZE, KILL, Blow, schedule

SMALL = ("--agents", "3", "--kappa", "1", "--envs", "4", "--steps", "24", "--rounds", "40")


def first(count: int, *arguments: Any) -> list[Blow]:
    return list(itertools.islice(schedule(*arguments), count))


def test_a_seed_decides_times_and_victims() -> None:
    assert first(50, 7, 2.0, 10.0) == first(50, 7, 2.0, 10.0)
    assert first(50, 7, 2.0, 10.0) != first(50, 8, 2.0, 10.0)
    blows = first(600, 7, 2.0, 10.0)
    assert [blow.at for blow in blows] == sorted(blow.at for blow in blows)
    assert all(0.0 <= blow.pick < 1.0 for blow in blows)


def test_kills_and_freezes_are_independent_poisson_processes() -> None:
    """Mean gaps 2 and 10: 3,000 blows are 2,500 kills to a few standard deviations of sqrt(3000 * 5/6 * 1/6) = 20; the
    kills of a schedule without freezes are the same."""
    blows = first(3000, 3, 2.0, 10.0)
    kills = [blow for blow in blows if blow.kind == KILL]
    assert abs(len(kills) - 2500) < 100
    gaps = np.diff([blow.at for blow in kills])
    assert np.mean(gaps) == pytest.approx(2.0, rel=0.1)
    assert np.std(gaps) == pytest.approx(2.0, rel=0.1)
    assert first(100, 3, 2.0, None) == kills[:100]
    assert {blow.kind for blow in first(20, 3, None, 1.0)} == {FREEZE}
    assert first(5, 3, None, None) == []


def test_a_struck_run_ends_with_the_bits_of_a_calm_one(
    calm: Any, start: Callable[..., Any], scalmarl: Callable[..., Any]
) -> None:
    launch = start("struck", *SMALL)
    launch.wait_until(lambda state: any(p["state"] == "running" for p in state["processes"]))
    where = ("--run", str(launch.path))
    # Held up by an agent that is down until the first blow has fallen: a fast run would be over before.
    assert scalmarl("kill", "0", *where).returncode == 0
    blows = ("--kill-every", "400ms", "--freeze-every", "1s", "--freeze-for", "200ms", "--seed", "5")
    command = [sys.executable, "-m", "scalmarl", "chaos", *where, *blows, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as chaos:
        launch.wait_until(lambda state: '"by": "chaos"' in (launch.path / "events.jsonl").read_text())
        assert scalmarl("restart", "0", *where).returncode == 0
        assert launch.end() == 0, launch.words
        said, errors = chaos.communicate(timeout=60.0)
    assert chaos.returncode == 0, errors
    result = json.loads(said)
    assert (result["state"], result["round"], result["seed"]) == ("finished", 40, 5)
    events = [json.loads(line) for line in (launch.path / "events.jsonl").read_text().splitlines()]
    sent = [(e["signal"], e["by"]) for e in events if e["event"] == "signal"]
    assert sum(result["kills"].values()) == sent.count(("SIGKILL", "chaos")) > 0
    assert sum(result["freezes"].values()) == sent.count(("SIGSTOP", "chaos"))
    assert result["deaths"] > 0
    ends = [scalmarl("digest", "--run", str(path), "--json").stdout for path in (launch.path, calm.path)]
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "nothing to do"),
        (("--kill-every", "2 weeks"), 2, "is not a time"),
        (("--kill-every", "1ms"), 2, "too often"),
        (("--kill-every", "2s", "--roles", "king"), 2, "not a list of roles"),
        (("--kill-every", "2s"), 3, "is not live"),
    ],
)
def test_what_cannot_be_done_is_told(
    arguments: tuple[str, ...], code: int, words: str, calm: Any, scalmarl: Callable[..., Any]
) -> None:
    said = scalmarl("chaos", "--run", str(calm.path), *arguments)
    assert said.returncode == code
    assert words in said.stderr
    assert "Traceback" not in said.stderr
