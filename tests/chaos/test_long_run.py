"""Ten minutes with 16 agents and kappa 3, a process killed every minute: the same bits, and nothing grows."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import time
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]
CROWD = ("--agents", "16", "--kappa", "3", "--envs", "4", "--steps", "32")
SECONDS = 600.0
KILL_EVERY_S = 60.0
SAMPLE_S = 2.0
GROWTH_BYTES = 20 * 2**20


def measure(names: dict[str, int]) -> dict[str, tuple[int, int, int]]:
    """Name -> (pid, resident bytes, open descriptors) of what runs."""
    found = {}
    for name, pid in names.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found[name] = (pid, process.memory_info().rss, process.num_fds())
    return found


def growth(samples: list[tuple[int, int, int]]) -> tuple[int, int]:
    """Bytes and descriptors that the longest life gained between the end of its first third and its last third."""
    lives: dict[int, list[tuple[int, int]]] = {}
    for pid, memory, descriptors in samples:
        lives.setdefault(pid, []).append((memory, descriptors))
    life = max(lives.values(), key=len)
    third = max(1, len(life) // 3)
    early, late = life[third : 2 * third] or life[:1], life[-third:]
    return tuple(
        int(statistics.median(row[n] for row in late) - statistics.median(row[n] for row in early)) for n in (0, 1)
    )  # type: ignore[return-value]


def test_a_crowd_under_fire_for_ten_minutes(
    start: Any, campaign: Any, check_bits: Any, reference_of: Any, stop: Any, unreaped: Any
) -> None:
    """Bits, memory and descriptors; how long a control step takes is judged where nothing else was running before."""
    load = os.getloadavg()[0]
    launch = start("crowd", *CROWD, "--rounds", "100000", plant=[{"do": "time steps", "process": "sim"}])
    launch.wait_for_round(1)
    begun, seconds = time.monotonic(), campaign.lasts(SECONDS)
    samples: dict[str, list[tuple[int, int, int]]] = {}
    kills = 0
    while (now := time.monotonic() - begun) < seconds:
        there = {**launch.running(), "launcher": launch.process.pid}
        for name, row in measure(there).items():
            samples.setdefault(name, []).append(row)
        if now > min(KILL_EVERY_S, seconds) * (kills + 0.5):
            kills += 1
            victim = campaign.draw.choice(sorted(name for name in there if name != "launcher"))
            campaign.say(f"{now:.0f} s, round {launch.state()['round']}: SIGKILL for {victim}")
            os.kill(there[victim], signal.SIGKILL)
        time.sleep(SAMPLE_S)
    launch.wait_until(lambda state: all(p["state"] == "running" for p in state["processes"]))
    assert not unreaped(launch.process.pid)
    stop(launch)
    grown = {name: growth(rows) for name, rows in samples.items()}
    most = [max(gained) for gained in zip(*grown.values())]
    took = sorted(step for line in launch.journal() for step in line.get("steps_ms", ()))
    median, late = took[len(took) // 2], took[int(0.99 * len(took))]
    campaign.say(
        f"{kills} kills, {len(launch.commits())} rounds; control step {median:.2f} ms median, {late:.2f} ms at "
        f"the 99th percentile ({late / median:.1f} x); at most {most[0] / 2**20:.1f} MiB and {most[1]} descriptors more"
    )
    assert most[0] < GROWTH_BYTES, grown
    assert most[1] <= 2, grown
    check_bits(launch, against=reference_of("crowd-reference", *CROWD))
    if load > (os.cpu_count() or 1):
        campaign.say(f"the step time is not judged: the machine was busy before (load {load:.1f})")
    else:
        assert late < 5 * median, f"a control step takes {median:.2f} ms, and {late:.2f} ms at the 99th percentile"
