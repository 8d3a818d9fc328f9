"""What TensorBoard's event file costs the launcher: ``python -m benchmarks.event_file``.

Milliseconds of processor time per committed round and bytes per round, for a number of agents; and what a launcher
that takes over spends on reading what is there. The agents do not wait for it: the launcher writes after a commit.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from scalmarl.launch.event_file import EventFile

ROUNDS = 500
AGENTS = (8, 32, 128)


def line(agents: int, round: int) -> dict[str, Any]:
    """A line of metrics with every figure of every agent, and one cost each."""
    each = (
        "cost_agent", "cost_estimate_agent", "cost_limit", "bytes_agent", "kl_agent", "kl_max_agent", "radius_agent",
        "lambda_agent", "clip_fraction", "epochs", "policy_std", "policy_entropy",
    )  # fmt: skip
    team = (
        "return_team", "return_rate", "cost_team", "cost_rate_team", "distance", "distance_rate", "wall_s", "sample_s",
        "update_s",
    )  # fmt: skip
    figures = {name: [0.1 * agent for agent in range(agents)] for name in each} | dict.fromkeys(team, 0.5)
    return {"env_steps": 4096 * (round + 1), **figures, "explained_variance": [[0.5, 0.25]] * agents}


def main() -> None:
    began = time.process_time()
    EventFile(Path("unused"))
    print(f"loading the writer: {1e3 * (time.process_time() - began):.0f} ms, once")
    for agents in AGENTS:
        lines = [line(agents, round) for round in range(ROUNDS)]
        with tempfile.TemporaryDirectory(prefix="scalmarl-events-") as scratch:
            file, took = EventFile(Path(scratch)), []
            file.catch_up([])
            for row in lines:
                began = time.process_time()
                file.add(row)
                took.append(1e3 * (time.process_time() - began))
            size = sum(path.stat().st_size for path in Path(scratch).iterdir()) / ROUNDS
            began = time.process_time()
            EventFile(Path(scratch)).catch_up(lines)
            again = 1e3 * (time.process_time() - began)
        most = sorted(took)[99 * ROUNDS // 100]
        print(
            f"{agents:>4} agents: {statistics.median(took):6.2f} ms a round (99 %: {most:.2f}), {size:,.0f} bytes a "
            f"round; {ROUNDS} rounds read again in {again:.0f} ms"
        )


if __name__ == "__main__":
    main()
