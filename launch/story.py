"""The events of a run in words: what died, when and of what, how long it took to be back, what was done again."""

from __future__ import annotations

from typing import Any

WORDS = {
    "launch": "{rounds} rounds to do, {committed} committed",
    "ready": "all processes are ready after {seconds} s",
    "start": "pid {pid}, life {life}",
    "signal": "{signal} sent by {by} (pid {pid})",
    "hold": "killed on request (pid {pid}); stays down until restart",
    "death": "{cause} in round {round}, step {step}, phase {phase} (pid {pid})",
    "restart": "restart {restarts}",
    "back": "runs again {seconds} s after its death",
    "in step": "as far as at its death, {seconds} s after it; {redone_steps} steps, {redone_values} values again",
    "commit-wait": "round {round} waits for it: {state}",
    "silent": "no beat for {seconds} s",
    "beats again": "it was frozen or busy; nothing was restarted",
    "stall kill": "no beat for {seconds} s: killed",
    "return": "takes part again from round {round} on, or the next",
    "regroup": "all start again at round {round}; absent: {absent}",
    "stop": "{reason}: at the next commit",
    "stopped": "{reason}; {rounds} rounds committed",
    "finished": "{rounds} rounds committed",
    "failed": "{reason}; {rounds} rounds committed",
    "back to round": "{rounds}, from the archive",
    "no event file": "TensorBoard's file is not written: {reason}",
    "records lost": "of rounds {first} to {last}",
}


def words(event: dict[str, Any]) -> str:
    """One event in words; an unknown or incomplete one as its fields."""
    try:
        return WORDS[event["event"]].format_map({**event, "absent": event.get("absent") or "nobody"})
    except KeyError:
        fields = {name: value for name, value in event.items() if name not in ("time", "event", "process")}
        return " ".join(f"{name}={value}" for name, value in fields.items() if value not in ("", None))
