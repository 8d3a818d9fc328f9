"""``scalmarl bench busy``: the share of a round's wall time in which the cores that a run may use do its work.

Work is what the kernel counts as spent by the run's processes, launcher and fork server included: a blocked wait costs
nothing, a spinning one would count. So it is read beside the phases' times, not alone.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

from scalmarl.launch.bench.live import Bench, launched
from scalmarl.launch.run_directory import SCHEMA

WARM_UP_ROUNDS = 3


def busy(agents: int, kappa: int, rounds: int, runs: int) -> dict[str, Any]:
    """Per launch: processor time of all its processes over cores times wall time, for ``rounds`` default rounds."""
    cores = len(os.sched_getaffinity(0))
    shares, user_shares, round_s = [], [], []
    for _ in range(runs):
        last = WARM_UP_ROUNDS + rounds
        with launched("--agents", str(agents), "--kappa", str(kappa), "--rounds", str(last + 1)) as bench:
            before = _spent(bench, WARM_UP_ROUNDS)
            after = _spent(bench, last)
        wall, user, system = (late - early for early, late in zip(before, after))
        shares.append((user + system) / (cores * wall))
        user_shares.append(user / (cores * wall))
        round_s.append(wall / rounds)
    return {
        "schema": SCHEMA, "agents": agents, "cores": cores, "busy_share": statistics.median(shares),
        "user_share": statistics.median(user_shares), "round_s": statistics.median(round_s), "shares": shares,
    }  # fmt: skip


def _spent(bench: Bench, rounds: int) -> tuple[float, float, float]:
    """When so many rounds are recorded: the time, and the user and system seconds that the run has spent so far."""
    bench.wait_for_rounds(rounds)
    times = [process.cpu_times() for process in bench.tree()]
    return time.monotonic(), sum(t.user for t in times), sum(t.system for t in times)
