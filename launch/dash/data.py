"""What the page is told of a run: facts that stay, lines as they come, events with their place on the curves.

Only reads the run's files. What an older version did not write is null on the page.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scalmarl import __version__
from scalmarl.launch.dash.marks import places, spells
from scalmarl.launch.errors import NoSuchRun
from scalmarl.launch.reading import current_state
from scalmarl.launch.records import GrowingLines
from scalmarl.launch.run_directory import SCHEMA, RunDirectory, read_plan
from scalmarl.launch.story import words
from scalmarl.launch.summary import visible_text
from scalmarl.launch.traffic import all_to_all_of_each, edges_of
from scalmarl.launch.voice import shell_words
from scalmarl.protocol.keys import SIM, Kind
from scalmarl.protocol.ledger import COLUMNS
from scalmarl.protocol.order import waves
from scalmarl.protocol.round_files import process_directory, round_paths

FIGURES = (
    "round", "env_steps", "return_team", "return_rate", "cost_team", "cost_rate_team", "distance_rate", "episodes",
    "wall_s", "sample_s", "update_s", "absent", "cost_agent", "cost_rate_agent", "cost_estimate_agent", "lambda_agent",
    "kl_agent", "radius_agent", "bound_agent", "bytes_agent",
)  # fmt: skip
_MESSAGES, _WIRE = 3 + COLUMNS.index("messages"), 3 + COLUMNS.index("wire_bytes")
_DEFAULT_ALGORITHM = "scal-mappo-l"


class PageData:
    """One reader's view of a run. Raises ``NoSuchRun`` and ``TrainingFailed`` where its files cannot be read."""

    def __init__(self, run: RunDirectory) -> None:
        self.run, self.plan = run, read_plan(run)
        run.read_state()
        self._metrics, self._traffic = GrowingLines(run.metrics), GrowingLines(run.traffic)
        self._events = GrowingLines(run.events)
        self._told_events: list[dict[str, Any]] = []
        self._wall_s: dict[int, float | None] = {}
        self._is_unsettled = False
        self._plan_written = self.run.plan.stat().st_mtime_ns
        self._patterns: dict[tuple[tuple[int, ...], ...], int] = {}

    def about(self) -> dict[str, Any]:
        """What does not change while the run lives."""
        plan, task = self.plan, self.plan.task
        algorithm = self._algorithm()
        return {
            "schema": SCHEMA, "version": __version__, "name": self.run.path.resolve().name,
            "run_words": shell_words(self.run.path), "task": task.label, "algorithm": algorithm, "agents": plan.agents,
            "kappa": plan.kappa, "sight": visible_text(plan, algorithm), "samples": plan.samples, "seed": plan.seed,
            "edges": [[agent, other] for agent, row in enumerate(edges_of(self.run)) for other in row],
            "neighbours": plan.neighbours, "limits": task.cost_limits, "cost_names": task.cost_names,
            "cost_mode": task.cost_mode, "standing_still_return": task.standing_still_return,
            "nonlocal": task.nonlocal_facts, "all_to_all_bytes": all_to_all_of_each(plan),
            "kinds": {int(kind): kind.name.lower() for kind in Kind},
        }  # fmt: skip

    def _algorithm(self) -> str:
        try:
            config = tomllib.loads(self.run.config.read_text(encoding="utf-8"))
            return str(config["run"].get("algo", _DEFAULT_ALGORITHM))
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise NoSuchRun(f"{self.run.config} cannot be read ({error!r})", "put back a copy") from None

    # ---- what grows ----

    def news(self) -> dict[str, Any]:
        """What was written since the last call: ``rounds``, ``traffic`` and ``events``, each only where it has grown.

        ``anew``: the run went back to an earlier round; what is told replaces all before.
        """
        found: dict[str, Any] = {}
        if lines := self._metrics.new():
            if self._metrics.is_anew:
                self._wall_s.clear()
            self._wall_s |= {line["round"]: line.get("wall_s") for line in lines}
            columns: dict[str, Any] = {name: [_short(line.get(name)) for line in lines] for name in FIGURES}
            columns["waves"] = [self._waves(line) for line in lines]
            found["rounds"] = {"anew": self._metrics.is_anew, "columns": columns}
        if lines := self._traffic.new():
            found["traffic"] = self._patterns_of(lines, self._traffic.is_anew)
        if events := self._events.new():
            self._told_events = events if self._events.is_anew else self._told_events + events
        if events or (self._is_unsettled and "rounds" in found):
            found["events"] = self._story()
        return found

    def _waves(self, line: dict[str, Any]) -> Sequence[Sequence[int]]:
        return waves(replace(self.plan, absent=tuple(line.get("absent") or ())), line["round"])

    def _patterns_of(self, lines: list[dict[str, Any]], is_anew: bool) -> dict[str, Any]:
        """First sendings of a round are a function of who takes part, so a whole run has a handful of different ones.

        ``patterns``: those that are new, in order; a row is source, destination, kind, messages, wire bytes.
        ``of_round``: pairs of a round and the number of its pattern.
        """
        new: list[tuple[tuple[int, ...], ...]] = []
        of_round = []
        for line in lines:
            pattern = tuple((*row[:3], row[_MESSAGES], row[_WIRE]) for row in line["sent"])
            if pattern not in self._patterns:
                self._patterns[pattern] = len(self._patterns)
                new.append(pattern)
            of_round.append((line["round"], self._patterns[pattern]))
        return {"anew": is_anew, "patterns": new, "of_round": of_round}

    def _story(self) -> dict[str, Any]:
        where = places(self._told_events, self._wall_s)
        # The end of the round under way moves the places of what happened in it.
        last = max(self._wall_s, default=-1)
        self._is_unsettled = any(place is None or place > last for place in where)
        began = self._told_events[0]["time"]
        return {
            "events": [
                {
                    "seconds": round(event["time"] - began, 3), "event": event["event"],
                    "process": event.get("process"), "words": words(event), "place": _short(place),
                }
                for event, place in zip(self._told_events, where)
            ],
            "spells": spells(self._told_events, where),
        }  # fmt: skip

    # ---- now ----

    def status(self) -> dict[str, Any]:
        """The state of the run and of its processes now. Raises ``TimedOut`` where the launcher does not answer."""
        state = current_state(self.run)
        round = state["round"]
        if (written := self.run.plan.stat().st_mtime_ns) != self._plan_written:
            # Who is absent stands there.
            self.plan, self._plan_written = read_plan(self.run), written
        turns = () if round >= state["rounds"] else waves(self.plan, round)
        return {
            "state": state["state"], "round": round, "rounds": state["rounds"], "reason": state.get("reason", ""),
            "processes": state["processes"], "waves": turns,
        }  # fmt: skip


def kept_states(run: RunDirectory) -> list[int]:
    """The rounds at whose start the state of the world is kept, ascending."""
    return list(round_paths(process_directory(run.path, SIM)))


def _short(value: Any) -> Any:
    """Six digits are more than a screen shows; what is not finite cannot travel as JSON."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return [_short(item) for item in value] if isinstance(value, list) else value
