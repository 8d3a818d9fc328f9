"""What a run writes about itself: events as they happen, one line of metrics and one of traffic per committed round."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from scalmarl.launch.run_directory import RunDirectory
from scalmarl.protocol.files import append_durably, write_durably
from scalmarl.protocol.keys import SIM
from scalmarl.protocol.ledger import COLUMNS
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.round_files import process_directory, row_path

_WIRE = 2 + COLUMNS.index("wire_bytes")


def note_event(run: RunDirectory, event: str, process: str | None = None, **more: Any) -> dict[str, Any]:
    """Append one line to ``events.jsonl`` and return it."""
    line = {"time": round(time.time(), 3), "event": event, "process": process, **more}
    with run.events.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    return line


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON-lines file; a torn last line is left out."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines if line]


class RoundRecords:
    """Turns the rows of a committed round into one line of ``metrics.jsonl`` and one of ``traffic.jsonl``.

    The rows lie beside the round files of every process, durable before the commit, so a launcher that died in between
    catches up when it resumes; a row is removed once its line is durable.
    """

    def __init__(self, run: RunDirectory, plan: Plan) -> None:
        self._run, self._plan = run, plan
        for path in (run.metrics, run.traffic):
            _cut_torn_line(path)
        self.recorded = min(len(read_lines(path)) for path in (run.metrics, run.traffic))
        for path in (run.metrics, run.traffic):
            _keep_lines(path, self.recorded)
        last = read_lines(run.metrics)[-1:]
        self.last: dict[str, Any] | None = last[0] if last else None
        self.first: dict[str, Any] | None = read_lines(run.metrics)[0] if last else None
        self._clock = time.monotonic()

    def catch_up(self, committed: int) -> list[dict[str, Any]]:
        """Record every committed round that is not recorded yet; returns the new lines of metrics."""
        lines = []
        while self.recorded <= committed:
            lines.append(self._record(self.recorded))
            self.recorded += 1
        return lines

    def _record(self, round: int) -> dict[str, Any]:
        rows = {process: self._read(process, round) for process in self._plan.processes()}
        agents = [rows[agent]["figures"] for agent in range(self._plan.agents)]
        now = time.monotonic()
        wall, self._clock = now - self._clock, now
        line = metrics_line(
            self._plan, round, rows[SIM]["figures"], agents, [rows[a]["sent"] for a in range(len(agents))], wall
        )
        traffic = {"round": round, "sent": [[process, *row] for process in rows for row in rows[process]["sent"]]}
        append_durably(self._run.traffic, json.dumps(traffic).encode() + b"\n")
        append_durably(self._run.metrics, json.dumps(line).encode() + b"\n")
        for process in rows:
            row_path(process_directory(self._run.path, process), round).unlink(missing_ok=True)
        self.last = line
        self.first = self.first or line
        return line

    def _read(self, process: int, round: int) -> dict[str, Any]:
        row: dict[str, Any] = json.loads(row_path(process_directory(self._run.path, process), round).read_bytes())
        return row


def metrics_line(
    plan: Plan,
    round: int,
    sim: dict[str, Any],
    agents: list[dict[str, Any]],
    sent: list[list[list[int]]],
    wall_s: float,
) -> dict[str, Any]:
    """One line of ``metrics.jsonl``; episode figures are means over the episodes that ended in the round."""
    single = all(len(limits) == 1 for limits in plan.task.cost_limits)

    def per_cost(name: str) -> list[Any]:
        return [figures[name][0] if single else figures[name] for figures in agents]

    return {
        "round": round,
        "env_steps": (round + 1) * plan.samples,
        **{name: sim[name] for name in ("return_team", "cost_team", "cost_agent", "distance", "episodes")},
        "cost_limit": [limits[0] if single else list(limits) for limits in plan.task.cost_limits],
        "lambda_agent": per_cost("multiplier"),
        "cost_estimate_agent": per_cost("cost_estimate"),
        **{f"{name}_agent": [figures[name] for figures in agents] for name in ("kl", "kl_max", "radius", "bound")},
        "bytes_agent": [sum(row[_WIRE] for row in rows) for rows in sent],
        **{
            name: sim[name]
            for name in ("return_rate", "cost_rate_team", "cost_rate_agent", "distance_rate", "terminations")
        },
        **{name: [figures[name] for figures in agents] for name in AGENT_FIGURES},
        "wall_s": wall_s,
        "sample_s": max(figures["sample_s"] for figures in agents),
        "update_s": max(figures["update_s"] for figures in agents),
    }


AGENT_FIGURES = ("explained_variance", "clip_fraction", "policy_std", "epochs")


def forget_after(run: RunDirectory, rounds: int) -> None:
    """Keep the lines of the first ``rounds`` rounds only."""
    for path in (run.metrics, run.traffic):
        _keep_lines(path, rounds)


def _cut_torn_line(path: Path) -> None:
    if path.exists():
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            write_durably(path, whole)


def _keep_lines(path: Path, count: int) -> None:
    if path.exists():
        lines = path.read_bytes().split(b"\n")[:-1]
        if len(lines) > count:
            write_durably(path, b"".join(line + b"\n" for line in lines[:count]))
