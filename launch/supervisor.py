"""The launcher's loop: start, watch, restart and stop the processes of one run, and answer the command line.

One selector, no thread. It restarts processes and knows nothing of rounds beyond the coordinator's watermark: who
recovers state is the process itself. Only under ``mask``, when the set of agents that take part changes, all end and
their files are put in order (``launch.absence``).
"""

from __future__ import annotations

import os
import platform
import selectors
import shutil
import signal
import time
from functools import partial
from typing import Any

from scalmarl.coordinator.commit_log import log_path, read_commits
from scalmarl.launch.absence import regroup
from scalmarl.launch.children import Nursery
from scalmarl.launch.control_socket import ControlServer
from scalmarl.launch.crew import Crew
from scalmarl.launch.display import Display
from scalmarl.launch.endpoint_book import private_directory
from scalmarl.launch.errors import Exit
from scalmarl.launch.records import RoundRecords, note_event
from scalmarl.launch.requests import answer
from scalmarl.launch.restart_policy import Death, RestartPolicy
from scalmarl.launch.run_directory import SCHEMA, RunDirectory
from scalmarl.launch.stop_requests import StopRequests
from scalmarl.launch.versions import commit, hardware, versions
from scalmarl.launch.vigil import Vigil
from scalmarl.launch.voice import shell_words
from scalmarl.launch.watched import Watched
from scalmarl.protocol.errors import DamagedFile
from scalmarl.protocol.keys import COORDINATOR, process_name
from scalmarl.protocol.plan import Plan

TICK_S = 0.1
COMMIT_GRACE_S = 5.0
"""How long a stop waits for the commit that is under way."""


class Supervisor:
    """Runs one plan to its end in a run directory whose lock this process holds."""

    def __init__(
        self,
        run: RunDirectory,
        plan: Plan,
        settings: dict[str, Any],
        display: Display,
        nursery: Nursery,
        stop_requests: StopRequests,
    ) -> None:
        self.run_directory, self.plan, self.display = run, plan, display
        self._loss_after_s = float(settings["loss_after_s"])
        self._policy = RestartPolicy()
        self._records = RoundRecords(run, plan)
        self._selector = selectors.DefaultSelector()
        self._private = private_directory(run.path)
        told = (self._hear, self._died)
        self._crew = Crew(run, plan, settings, nursery, self._selector, self._private, told)
        self._vigil = Vigil(run, display, self._crew, float(settings["stall_kill_s"]))
        self.watched = self._crew.watched
        self._committed = self._records.recorded - 1
        self._ready_s: float | None = None
        self._stop_reason: str | None = None
        self._stop_at: float | None = None
        self._stop_after = -1
        self._exit: tuple[str, Exit, str] | None = None
        self._nursery, self._stop_requests = nursery, stop_requests

    # ---- the run ----

    def run(self) -> Exit:
        """Start everything and serve until the last commit, a stop, or a diagnosis."""
        server = ControlServer(self._private / "control", self._selector, partial(answer, self))
        self._write_state("running", "")
        self._selector.register(self._stop_requests, selectors.EVENT_READ, self._signalled)
        try:
            note_event(self.run_directory, "launch", rounds=self.plan.rounds, committed=self._committed + 1)
            self._crew.start_all(self.plan)
            self._write_state("running", "")
            while self._exit is None:
                for key, _ in self._selector.select(TICK_S):
                    key.data()
                self._tick(time.monotonic())
        finally:
            self._crew.end_all()
            server.close()
            self._stop_requests.close()
            self.display.close()
            shutil.rmtree(self._private, ignore_errors=True)
        state, code, reason = self._exit
        note_event(self.run_directory, state, reason=reason, rounds=self._committed + 1)
        self._write_state(state, reason)
        self.display.finish(self.snapshot(), state, reason)
        return code

    def _signalled(self) -> None:
        for number in self._stop_requests.take():
            if self._stop_reason is not None and number == signal.SIGINT:
                self._exit = ("stopped", Exit.INTERRUPTED, "interrupted twice")
            else:
                self.ask_to_stop(number.name)

    def ask_to_stop(self, reason: str) -> None:
        """End at the next commit, or in a while at the last one."""
        if self._stop_reason is None:
            self._stop_reason, self._stop_at = reason, time.monotonic()
            self._stop_after = self._committed + 1
            note_event(self.run_directory, "stop", reason=reason)
            self.display.note(f"stopping ({reason}) at the next commit, or in {COMMIT_GRACE_S:.0f} s at the last one")

    def _tick(self, now: float) -> None:
        for watched in self.watched.values():
            if watched.start_at is not None and now >= watched.start_at:
                self._start(watched)
            self._keep_vigil(watched, now)
        if self.plan.on_loss == "mask" and self._exit is None and self._stop_at is None:
            self._watch_for_absence(now)
        if self._exit is None and self._stop_at is not None:
            waited = now - self._stop_at
            if self._committed >= self._stop_after or waited > COMMIT_GRACE_S:
                code = Exit.INTERRUPTED if self._stop_reason == "SIGINT" else Exit.TERMINATED
                self._exit = ("stopped", code, self._stop_reason or "")
        self.display.show(self.snapshot())

    def _keep_vigil(self, watched: Watched, now: float) -> None:
        self._vigil.over(watched, now, self._committed)

    # ---- what processes say ----

    def _hear(self, watched: Watched, message: dict[str, Any]) -> None:
        if message["type"] == "failed":
            watched.error = message["error"]
            watched.beat = message
        elif message["type"] == "in step":
            self._is_in_step(watched, message)
        elif message["type"] == "beat":
            watched.beat, watched.beat_at = message, time.monotonic()
            if watched.suspected:
                watched.suspected = False
                note_event(self.run_directory, "beats again", watched.name)
            if watched.state in ("starting", "restarting") and message["phase"] != "waiting for peers":
                self._is_running(watched)
            if watched.process == COORDINATOR and message["watermark"] > self._committed:
                self._commit(message["watermark"])

    def _is_running(self, watched: Watched) -> None:
        watched.state = "running"
        if watched.died_at is not None:
            took = round(time.monotonic() - watched.died_at, 3)
            note_event(self.run_directory, "back", watched.name, seconds=took, life=watched.incarnation)
        if self._ready_s is None and all(self.watched[p].state == "running" for p in self.plan.processes()):
            self._ready_s = round(time.monotonic() - self._nursery.began, 3)
            note_event(self.run_directory, "ready", seconds=self._ready_s)
        self._write_state("running", "")

    def _is_in_step(self, watched: Watched, message: dict[str, Any]) -> None:
        """It has come as far as the life before it had: all that the death cost is over."""
        if watched.state in ("starting", "restarting"):
            self._is_running(watched)
        if watched.died_at is None:
            return
        took = round(time.monotonic() - watched.died_at, 3)
        redone = {name: message[name] for name in ("redone_steps", "redone_values")}
        note_event(self.run_directory, "in step", watched.name, seconds=took, life=watched.incarnation, **redone)

    # ---- commits ----

    def _commit(self, watermark: int) -> None:
        for line in self._records.catch_up(watermark):
            self.display.committed(line)
        self._committed = watermark
        self._policy.committed()
        if watermark >= self.plan.rounds - 1:
            # The last commit is durable: the run is over, whatever dies from here on.
            self._exit = ("finished", Exit.DONE, "")
        else:
            self._write_state("running", "")

    # ---- absence ----

    def _watch_for_absence(self, now: float) -> None:
        """Go on without agents that have been down for too long, while anybody is left and the first round is over, and
        with those that return once a round is over. Not in the middle of hearing somebody: it ends every life."""
        returning = {
            agent
            for agent in self.plan.absent
            if (since := self.watched[agent].return_after) is not None and self._committed > since
        }
        lost = {
            agent
            for agent in self.plan.present
            if self.watched[agent].state == "down" and now - (self.watched[agent].died_at or now) > self._loss_after_s
        }
        if self._committed < 0 or not lost < {*self.plan.present, *returning}:
            lost = set()
        if lost or returning:
            for agent in returning:
                self.watched[agent].hold = False
            try:
                self._regroup({*self.plan.absent, *lost} - returning)
            except DamagedFile as damage:
                self._exit = ("failed", Exit.TRAINING_FAILED, str(damage))

    def _regroup(self, absent: set[int]) -> None:
        """Everybody starts again from the first round that is not committed, under a plan with these agents absent."""
        self._crew.end_all()
        for line in self._records.catch_up(len(read_commits(log_path(self.run_directory.path))[0]) - 1):
            self.display.committed(line)
        self._committed = self._records.recorded - 1
        if self._committed >= self.plan.rounds - 1:
            self._exit = ("finished", Exit.DONE, "")
            return
        self.plan = regroup(self.run_directory, self.plan, absent)
        self._records = RoundRecords(self.run_directory, self.plan)
        note_event(self.run_directory, "regroup", round=self._committed + 1, absent=sorted(absent))
        away = ", ".join(process_name(agent) for agent in sorted(absent))
        self.display.note(f"from round {self._committed + 1} on {f'without {away}' if away else 'with everybody'}")
        self._crew.regroup(self.plan)
        self._write_state("running", "")

    # ---- deaths ----

    def _died(self, watched: Watched, code: int | None) -> None:
        death = Death(watched.process, code, watched.place, watched.error)
        note_event(
            self.run_directory, "death", watched.name, pid=watched.pid, signal=death.signal,
            code=None if death.signal else code, cause=death.cause(),
            round=death.place[0], step=death.place[1], phase=death.place[2],
        )  # fmt: skip
        if watched.hold:
            watched.state = "down"
            self.display.note(f"{watched.name} is down: {death.cause()}; bring it back with restart")
        else:
            self._restart_or_stop(watched, death)
        self._write_state("running", "")

    def _restart_or_stop(self, watched: Watched, death: Death) -> None:
        delay = self._policy.delay(death)
        can_be_missed = watched.process in self.plan.present and len(self.plan.present) > 1 and self._committed >= 0
        if delay is None and self.plan.on_loss == "mask" and can_be_missed:
            watched.hold, watched.state = True, "down"
            self.display.note(f"{self._policy.diagnosis(death)}; it is left down")
            return
        if delay is None:
            watched.state = "exited"
            reason = f"{self._policy.diagnosis(death)}; resume leads to the same bits, so mend the cause first"
            self._exit = ("failed", Exit.TRAINING_FAILED, reason)
            return
        self._plan_restart(watched, time.monotonic() + delay)
        name = watched.name
        log = shell_words("scalmarl", "logs", name, "--previous", "--run", self.run_directory.path)
        self.display.note(
            f"{name} died: {death.cause()}, round {death.place[0]}; restarting"
            + (f" in {delay:.1f} s; log: {log}" if delay else "")
        )
        if not delay:
            self._start(watched)

    def _start(self, watched: Watched) -> None:
        self._crew.start(watched)
        self._write_state("running", "")

    def _plan_restart(self, watched: Watched, at: float) -> None:
        watched.state, watched.start_at = "restarting", at
        watched.restarts += 1
        note_event(self.run_directory, "restart", watched.name, pid=watched.pid, restarts=watched.restarts)

    def bring_back(self, watched: Watched) -> None:
        """Start a process that is down; kill one that runs first; take back an absent agent once the round is over."""
        if watched.process in self.plan.absent:
            if watched.return_after is None:
                watched.return_after = self._committed
                note_event(self.run_directory, "return", watched.name, round=self._committed + 2)
            return
        watched.hold = False
        if watched.child is not None:
            # Killed, and started again by the ordinary rule for a death from outside.
            watched.child.kill()
        elif watched.start_at is None:
            self._plan_restart(watched, time.monotonic())

    # ---- what others see ----

    def snapshot(self) -> dict[str, Any]:
        """The run and its processes as ``ps`` shows them."""
        return {
            "schema": SCHEMA,
            "state": "running" if self._exit is None else self._exit[0],
            "round": self._committed + 1,
            "rounds": self.plan.rounds,
            "ready_s": self._ready_s,
            "processes": [watched.line(self._exit is not None) for watched in self.watched.values()],
        }

    def _write_state(self, state: str, reason: str) -> None:
        snapshot = self.snapshot()
        snapshot.update(
            state=state,
            reason=reason,
            pid=os.getpid(),
            control=str(self._private / "control"),
            host=platform.node(),
            config_hash=self.plan.config_hash,
            versions=versions(),
            commit=commit(),
            hardware=hardware(),
        )
        self.run_directory.write_state(snapshot)
