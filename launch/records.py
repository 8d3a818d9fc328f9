"""What a run writes about itself: events as they happen, one line of metrics and one of traffic per committed round."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scalmarl.launch.errors import TrainingFailed
from scalmarl.launch.event_file import EventFile, can_write
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.protocol.files import append_durably, write_durably
from scalmarl.protocol.keys import COORDINATOR, SIM
from scalmarl.protocol.ledger import COLUMNS
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.round_files import process_directory, row_path
from scalmarl.protocol.wall_time import Spent

_BLOCK = 65536
_WIRE = 2 + COLUMNS.index("wire_bytes")


def note_event(run: RunDirectory, event: str, process: str | None = None, **more: Any) -> dict[str, Any]:
    """Append one line to ``events.jsonl`` and return it."""
    line = {"time": round(time.time(), 3), "event": event, "process": process, **more}
    with run.events.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    return line


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON-lines file; a torn last line is left out. Raises ``TrainingFailed``."""
    return GrowingLines(path).new()


class GrowingLines:
    """A JSON-lines file that somebody else writes, read as it grows. ``is_anew``: the file was replaced since the look
    before (its run went back to an earlier round), so that the lines of this look are all there are."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode, self._at, self._lines = -1, 0, 0
        self.is_anew = True

    def new(self) -> list[dict[str, Any]]:
        """The whole lines since the last look; a torn last line waits. Raises ``TrainingFailed``."""
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                self.is_anew = status.st_ino != self._inode or status.st_size < self._at
                if self.is_anew:
                    self._inode, self._at, self._lines = status.st_ino, 0, 0
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        lines = [_line(self._path, self._lines + n, text) for n, text in enumerate(whole.split(b"\n")[:-1], start=1)]
        self._at, self._lines = self._at + len(whole), self._lines + len(lines)
        return lines


def _line(path: Path, number: int, text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    if not isinstance(line, dict) or not ("round" in line or "event" in line):
        raise TrainingFailed(f"{path}, line {number} is damaged", "remove that line or put back a copy of the file")
    return line


def last_lines(path: Path, count: int) -> list[dict[str, Any]]:
    """The last ``count`` whole lines, without reading what stands before them. Raises ``TrainingFailed``."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        size, want = file.seek(0, os.SEEK_END), _BLOCK
        while True:
            start = max(size - want, 0)
            file.seek(start)
            # Of a block that begins inside the file, the first line may be half a one.
            lines = file.read(size - start).split(b"\n")[int(start > 0) : -1]
            if start == 0 or len(lines) >= count:
                break
            want *= 2
    try:
        return [json.loads(line) for line in lines[-count:]]
    except ValueError:
        raise TrainingFailed(f"{path} is damaged", "'scalmarl events' or 'scalmarl resume' names the line") from None


def next_round(path: Path) -> int:
    """The round after the last one that a file of records tells of."""
    lines = read_lines(path)
    return int(lines[-1]["round"]) + 1 if lines else 0


class RoundRecords:
    """Turns the rows of a committed round into one line of ``metrics.jsonl`` and one of ``traffic.jsonl``.

    The rows lie beside the round files of every process, durable before the commit, so a launcher that died in between
    catches up when it resumes; a row is removed once its line is durable. Where a file of records was lost and the rows
    are gone, it goes on with a gap: lines carry their round.
    """

    def __init__(self, run: RunDirectory, plan: Plan) -> None:
        self._run, self._plan = run, plan
        self._next = {path: next_round(path) for path in (run.metrics, run.traffic)}
        self.recorded = min(self._next.values())
        for round, row in _rows(run, plan):
            if round < self.recorded:
                # The launcher before died between its lines and this.
                row.unlink()
        self._clock = time.monotonic()
        self._event_file: EventFile | None = None
        self._tells_tensorboard = can_write()

    def catch_up(self, committed: int) -> list[dict[str, Any]]:
        """Record every committed round that is not recorded yet; returns the new lines of metrics."""
        lines, lost = [], []
        while self.recorded <= committed:
            try:
                lines.append(self._record(self.recorded))
            except (FileNotFoundError, KeyError):
                # A row of another version lacks figures; one without them cannot be made up for.
                lost.append(self.recorded)
            self.recorded += 1
        if lost:
            note_event(self._run, "records lost", first=lost[0], last=lost[-1])
        return lines

    def _record(self, round: int) -> dict[str, Any]:
        rows = {process: self._read(process, round) for process in self._plan.processes()}
        now = time.monotonic()
        wall, self._clock = now - self._clock, now
        line = metrics_line(self._plan, round, rows, wall)
        traffic = {
            "round": round, "absent": list(self._plan.absent),
            "sent": [[process, *row] for process in rows for row in rows[process]["sent"]],
        }  # fmt: skip
        for path, document in ((self._run.traffic, traffic), (self._run.metrics, line)):
            if round >= self._next[path]:
                append_durably(path, json.dumps(document).encode() + b"\n")
        for process in rows:
            row_path(process_directory(self._run.path, process), round).unlink(missing_ok=True)
        self._tell_tensorboard(line)
        return line

    def _tell_tensorboard(self, line: dict[str, Any]) -> None:
        if not self._tells_tensorboard:
            return
        try:
            if self._event_file is None or not self._event_file.is_there():
                self._event_file = EventFile(self._run.tensorboard)
                self._event_file.catch_up(read_lines(self._run.metrics))
            else:
                self._event_file.add(line)
        except Exception as problem:
            # It repeats what is written already: whatever is wrong with it, the run goes on.
            self._tells_tensorboard = False
            note_event(self._run, "no event file", reason=f"{type(problem).__name__}: {problem}")

    def _read(self, process: int, round: int) -> dict[str, Any]:
        row: dict[str, Any] = json.loads(row_path(process_directory(self._run.path, process), round).read_bytes())
        return row


def metrics_line(plan: Plan, round: int, rows: Mapping[int, dict[str, Any]], wall_s: float) -> dict[str, Any]:
    """One line of ``metrics.jsonl`` from the row of every process; episode figures are means over the episodes that
    ended in the round. An absent agent has no row, and its figures are null."""
    single = all(len(limits) == 1 for limits in plan.task.cost_limits)
    sim, agents = rows[SIM]["figures"], [rows.get(agent) for agent in range(plan.agents)]
    present = [row["figures"] for row in agents if row is not None]

    def per_agent(name: str) -> list[Any]:
        return [None if row is None else row["figures"][name] for row in agents]

    def per_cost(name: str) -> list[Any]:
        return [values[0] if values and single else values for values in per_agent(name)]

    return {
        "round": round,
        "env_steps": (round + 1) * plan.samples,
        **{name: sim[name] for name in ("return_team", "cost_team", "cost_agent", "distance", "episodes")},
        "cost_limit": [limits[0] if single else list(limits) for limits in plan.task.cost_limits],
        "lambda_agent": per_cost("multiplier"),
        "cost_estimate_agent": per_cost("cost_estimate"),
        **{f"{name}_agent": per_agent(name) for name in ("kl", "kl_max", "radius", "bound")},
        "absent": list(plan.absent),
        "bytes_agent": [0 if row is None else sum(sending[_WIRE] for sending in row["sent"]) for row in agents],
        **{
            name: sim[name]
            for name in ("return_rate", "cost_rate_team", "cost_rate_agent", "distance_rate", "terminations")
        },
        **{name: per_agent(name) for name in AGENT_FIGURES},
        "wall_s": wall_s,
        "sample_s": max(figures["sample_s"] for figures in present),
        "update_s": max(figures["update_s"] for figures in present),
        "spent_agent": [None if row is None else seconds_by_part(row["spent"]) for row in agents],
        "spent_sim": seconds_by_part(rows[SIM]["spent"]),
    }


PARTS = ("sampling", "wait_sampling", "update", "wait_update", "messages")
"""Of the wall time of a process in a round: work and waiting while sampling, work and waiting otherwise (estimate,
turn, critics, file), and messages throughout. A round reaches from one row to the next: its file and the wait for its
commit, which come after its row, are told with the round after it."""


def seconds_by_part(spent: Spent) -> dict[str, float]:
    """``PARTS`` of a row. They are of one life: of a process that died, the one that finished the round."""
    seconds = dict.fromkeys(PARTS, 0.0)
    for on, phases in spent.items():
        for phase, value in phases.items():
            stage = "sampling" if phase == "sampling" else "update"
            seconds[{"work": stage, "wait": f"wait_{stage}", "messages": "messages"}[on]] += value
    return seconds


AGENT_FIGURES = (
    "explained_variance", "clip_fraction", "policy_std", "policy_entropy", "epochs", "reward_gain", "rejected_kl",
    "kept", "certain_gain", "accepted", "allowance",
)  # fmt: skip
"""What every agent tells of its round beside the figures that carry ``_agent`` in their names."""


def forget_after(run: RunDirectory, plan: Plan, rounds: int) -> None:
    """Keep the lines and rows of rounds before ``rounds`` only."""
    for round, row in _rows(run, plan):
        if round >= rounds:
            row.unlink()
    for path in (run.metrics, run.traffic):
        lines = read_lines(path)
        kept = [line for line in lines if line["round"] < rounds]
        if len(kept) < len(lines):
            write_durably(path, b"".join(json.dumps(line).encode() + b"\n" for line in kept))


def _rows(run: RunDirectory, plan: Plan) -> Iterator[tuple[int, Path]]:
    """Every row that no line has taken in yet, of whomever, with its round."""
    for process in (*range(plan.agents), SIM, COORDINATOR):
        for path in process_directory(run.path, process).glob("*.json"):
            yield int(path.stem) - 1, path


def cut_torn_line(path: Path) -> None:
    """Take off a last line that was not written to its end, so that the next one begins a line of its own."""
    if path.exists():
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            write_durably(path, whole)
