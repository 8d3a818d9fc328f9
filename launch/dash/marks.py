"""Where on the curves the events of a run belong: which round was under way, and who was away for how long.

Rules of this file: pure. A place is a round and the part of it that was over: 12.5 is the middle of round 12.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

Event = dict[str, Any]
_ENDS = ("launch", "finished", "stopped", "failed")
"""Nobody is away any more: all start again, or all have ended."""


@dataclass
class _Segment:
    """Rounds that one launcher committed one after the other: its first round began at ``began``."""

    began: float
    first: int
    ends: list[float]

    def place(self, time: float) -> float:
        """The place of a time; in the round that is under way, its start."""
        done = bisect_right(self.ends, time)
        if done >= len(self.ends):
            return float(self.first + len(self.ends))
        start = self.ends[done - 1] if done else self.began
        return self.first + done + max(0.0, time - start) / max(self.ends[done] - start, 1e-9)


def _segments(events: Sequence[Event], wall_s: Mapping[int, float | None]) -> list[_Segment]:
    """The launcher's clock of a round begins where it starts, or where it set the round anew without somebody."""
    starts = [(e, e.get("committed" if e["event"] == "launch" else "round")) for e in events]
    began = [(e["time"], first) for e, first in starts if e["event"] in ("launch", "regroup") and first is not None]
    segments = []
    for index, (time, first) in enumerate(began):
        later = [other for _, other in began[index + 1 :]]
        # A later launcher that went back did these rounds anew: the figures of the first time are gone.
        last = min([max(wall_s, default=-1) + 1, *later])
        walls = [wall_s.get(round) or 0.0 for round in range(first, last)]
        segments.append(_Segment(time, first, list(accumulate(walls, initial=time))[1:]))
    return segments


def places(events: Sequence[Event], wall_s: Mapping[int, float | None]) -> list[float | None]:
    """The place of every event, ``None`` where it cannot be told or where its round was given up since.

    ``wall_s``: seconds of every recorded round. A death names its round itself.
    """
    segments = _segments(events, wall_s)
    found: list[float | None] = []
    for event in events:
        segment = next((s for s in reversed(segments) if s.began <= event["time"]), None)
        place = segment.place(event["time"]) if segment else None
        if event["event"] == "death" and (round := event.get("round", -1)) is not None and round >= 0:
            place = min(max(place if place is not None else round, round), round + 0.999)
        if event["event"] == "back to round":
            back = event.get("rounds", 0)
            found = [None if other is not None and other >= back else other for other in found]
        found.append(place)
    return found


def spells(events: Sequence[Event], where: Sequence[float | None]) -> list[dict[str, Any]]:
    """Who was ``dead``, ``late`` (no sign of life) or ``absent`` (the run went on without it), from where to where;
    ``until`` is null while it lasts."""
    found: list[dict[str, Any]] = []
    open_: dict[tuple[str, str], dict[str, Any]] = {}

    def begin(process: str, what: str, place: float) -> None:
        if (process, what) not in open_:
            open_[process, what] = {"process": process, "what": what, "since": place, "until": None}
            found.append(open_[process, what])

    def end(process: str, what: str, place: float) -> None:
        if spell := open_.pop((process, what), None):
            spell["until"] = place

    for event, place in zip(events, where):
        name, process = event["event"], event.get("process") or ""
        if place is None:
            continue
        if name == "death":
            end(process, "late", place)
            begin(process, "dead", place)
        elif name in ("back", "in step"):
            end(process, "dead", place)
        elif name == "silent":
            begin(process, "late", place)
        elif name == "beats again":
            end(process, "late", place)
        elif name == "regroup":
            away = {f"agent/{agent}" for agent in event.get("absent") or ()}
            for other, what in [key for key in open_ if key[1] != "absent" or key[0] not in away]:
                end(other, what, place)
            for other in sorted(away):
                begin(other, "absent", place)
        elif name in _ENDS:
            for other, what in list(open_):
                end(other, what, place)
    return found
