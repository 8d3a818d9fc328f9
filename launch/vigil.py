"""Who is silent, who hangs, and whom the next commit waits for."""

from __future__ import annotations

from scalmarl.launch.crew import Crew
from scalmarl.launch.display import Display
from scalmarl.launch.records import note_event
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.launch.watched import Watched

SUSPECT_S = 2.0
START_WITHIN_S = 60.0


class Vigil:
    """Over the processes of a ``crew``; one that is silent for ``stall_kill_s`` is killed."""

    def __init__(self, run: RunDirectory, display: Display, crew: Crew, stall_kill_s: float) -> None:
        self._run, self._display, self._crew, self.stall_kill_s = run, display, crew, stall_kill_s

    def over(self, watched: Watched, now: float, committed: int) -> None:
        """Look at a process; ``committed``: the last round that is."""
        self._for_silence(watched, now)
        self._for_absence(watched, now, committed)

    def _for_silence(self, watched: Watched, now: float) -> None:
        if watched.child is None:
            return
        limit = self.stall_kill_s if watched.beat else START_WITHIN_S
        if now - watched.beat_at > min(SUSPECT_S, limit):
            # This process itself may have been held up, by a new fork server perhaps: what was said meanwhile counts.
            self._crew.hear_out(watched, watched.child)
        silent = now - watched.beat_at
        if silent > SUSPECT_S and watched.beat and not watched.suspected:
            watched.suspected = True
            note_event(self._run, "silent", watched.name, seconds=round(silent, 1))
            self._display.note(f"{watched.name} has been silent for {silent:.0f} s")
        if silent > limit:
            note_event(self._run, "stall kill", watched.name, seconds=round(silent, 1))
            watched.beat_at = now
            if not watched.child.is_stopped():
                # Nobody holds it up: it hangs by itself, and may do so again.
                watched.error = f"hung: it said nothing for {silent:.0f} s"
            watched.child.kill()

    def _for_absence(self, watched: Watched, now: float, committed: int) -> None:
        """Say once that the next commit waits for a process that is away."""
        if watched.died_at is None or watched.state == "running" or watched.is_missed:
            return
        if now - watched.died_at > SUSPECT_S:
            watched.is_missed = True
            note_event(self._run, "commit-wait", watched.name, round=committed + 1, state=watched.state)
