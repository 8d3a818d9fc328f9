"""Real launches for the sampled claims, each in a directory named after its configuration, so that none is run twice.

A finished run is read again, also one that was made elsewhere (``known``) if it has the same configuration and
versions of all packages; one that was interrupted is resumed with the same bits. Between two versions of our own the
code may have changed, so ``commits`` tells of which the runs are.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from scalmarl.launch.bench.live import Bench, begun
from scalmarl.launch.config import decides_bits, resolve
from scalmarl.launch.errors import TimedOut, TrainingFailed, UsageProblem, UserProblem
from scalmarl.launch.option_types import KEY_OF_FLAG
from scalmarl.launch.planning import draw_plan
from scalmarl.launch.reading import digests
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import RunDirectory, read_plan
from scalmarl.launch.run_list import runs_under
from scalmarl.launch.traffic import first_sendings, rounds_by_absence, totals
from scalmarl.launch.versions import versions
from scalmarl.launch.voice import shell_words
from scalmarl.protocol.keys import Kind
from scalmarl.protocol.ledger import CONTROL
from scalmarl.protocol.plan import Plan

WITHIN_S = 7200.0
"""No single run of the battery takes longer."""
GROUPS = {
    "state": (Kind.STATE,),
    "advantage": (Kind.ADVANTAGE,),
    "slack and turn": (Kind.SLACK, Kind.TURN),
    "sim and coordinator": (Kind.ACTION, Kind.TURN_DONE, Kind.DONE),
}
"""What an agent sends, in the kinds of the report."""

Disturbance = Callable[[Bench], None]
Known = Mapping[tuple[str, int], RunDirectory]
"""(hash of a configuration, rounds) -> a finished run of it."""


def known_runs(directories: Iterable[Path], say: Callable[[str], None] = lambda words: None) -> Known:
    """The finished runs under some directories, of the versions that are installed; ``say`` is told of how many a
    directory holds such, and why another one cannot be read. Raises ``UsageProblem`` where a directory holds no run."""
    found: dict[tuple[str, int], RunDirectory] = {}
    for directory in directories:
        runs = list(runs_under(directory))
        if not runs:
            raise UsageProblem(f"--reuse {directory} holds no run", "name a directory of 'scalmarl compare', or runs")
        before = len(found)
        for run in runs:
            try:
                state = run.read_state()
                if state["state"] == "finished" and state.get("versions") == versions():
                    found[resolve(run.config, (), {})[0].digest(), state["rounds"]] = run
            except UserProblem as problem:
                say(f"{run.path} is not reused: {problem.what}")
        say(f"{len(found) - before} of {len(runs)} runs under {directory} are finished and of these versions")
    return found


@dataclass(frozen=True)
class Finished:
    """A finished run, and how long this call waited for it."""

    run: RunDirectory
    seconds: float

    @cached_property
    def plan(self) -> Plan:
        """The plan that its processes read."""
        return read_plan(self.run)

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        """One line of metrics per round."""
        return read_lines(self.run.metrics)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that all agents learnt."""
        return str(digests(self.run)["run"])

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of a kind."""
        return [line for line in read_lines(self.run.events) if line["event"] == name]

    def mean(self, name: str, last: float = 0.25) -> float:
        """The mean of a figure over the last part of the rounds, and over the agents where each has one."""
        count = max(1, int(len(self.lines) * last))
        rows = [line[name] for line in self.lines[-count:]]
        values = [value for row in rows for value in (row if isinstance(row, list) else [row])]
        return float(sum(values) / len(values))

    @cached_property
    def sent(self) -> list[dict[str, float]]:
        """Per agent: wire bytes of first sendings a round, measured at its sockets, by ``GROUPS`` and in ``all``."""
        first, rounds = first_sendings(self.run), sum(rounds_by_absence(self.run).values())
        tables = []
        for agent in range(self.plan.agents):
            row = {
                group: sum(c.wire_bytes for (source, _, kind), c in first.items() if source == agent and kind in kinds)
                / rounds
                for group, kinds in GROUPS.items()
            }
            tables.append({**row, "all": sum(row.values())})
        return tables

    def control(self, agent: int) -> float:
        """Wire bytes of watermarks, needs and hellos a round; they depend on timing, so they are no function of the
        configuration."""
        table = totals(self.run, self.plan, agent)
        return sum(count.wire_bytes for (_, kind), count in table.items() if kind == CONTROL) / len(self.lines)

    def interior(self) -> list[int]:
        """The agents that hear as many others as any does."""
        most = max(map(len, self.plan.neighbours))
        return [agent for agent, heard in enumerate(self.plan.neighbours) if len(heard) == most]


class Laboratory:
    """Makes runs under ``directory/runs``. ``say`` is told what begins; ``again`` is the command that goes on; of
    ``known`` runs none is made again."""

    def __init__(
        self,
        directory: Path,
        say: Callable[[str], None] = lambda words: None,
        again: str = "",
        known: Known = MappingProxyType({}),
    ) -> None:
        self._runs, self._say, self._again, self._known = directory / "runs", say, again, known
        self._read: dict[Path, str] = {}

    @property
    def commits(self) -> Counter[str]:
        """The commits at which the runs that were read so far began -> how many; '' where none is known."""
        return Counter(self._read.values())

    def run(self, name: str, *flags: str, disturb: Disturbance | None = None) -> Finished:
        """The finished run of ``scalmarl launch FLAGS``; ``disturb`` is called while it is live. A name is for readers,
        and tells a disturbed run from an undisturbed one. Raises ``UserProblem``."""
        finished = self._finished(name, flags, disturb)
        self._read[finished.run.path] = str(finished.run.read_state().get("commit") or "")
        return finished

    def _finished(self, name: str, flags: Sequence[str], disturb: Disturbance | None) -> Finished:
        if not disturb and (there := self._known_run(flags)):
            self._say(f"  {name}: {there.path} is this run")
            return Finished(there, 0.0)
        self._runs.mkdir(parents=True, exist_ok=True)
        kept = [name if disturb else "", sorted(zip(flags[::2], flags[1::2])), versions()]
        run = RunDirectory(self._runs / hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:12])
        if run.path.exists() and not run.state.exists():
            shutil.rmtree(run.path)
        if run.path.exists():
            state = run.read_state()
            if state["state"] == "finished" and state["round"] == state["rounds"]:
                return Finished(run, 0.0)
            words: tuple[str, ...] = ("resume", str(run.path))
        else:
            words = ("launch", "--run", str(run.path), *flags)
        self._say(f"  {name}: scalmarl {words[0]}, in {run.path}")
        began = time.monotonic()
        try:
            with begun(run.path, *words) as bench:
                if disturb:
                    disturb(bench)
                self._wait(bench, words)
        except (KeyboardInterrupt, SystemExit):
            self._say(f"stopped {run.path}; go on with it and with the rest: {self._again}")
            raise
        return Finished(run, time.monotonic() - began)

    def _known_run(self, flags: Sequence[str]) -> RunDirectory | None:
        if not self._known:
            return None
        chosen = []
        for flag, value in zip(flags[::2], flags[1::2]):
            key = KEY_OF_FLAG.get(flag.removeprefix("--"))
            if flag != "--set" and (key is None or not (decides_bits(key) or key == "run.rounds")):
                # A run that is asked for by what changes no bit is asked for to be made so.
                return None
            chosen.append(value if flag == "--set" else f"{key}={value}")
        plan = draw_plan(*resolve(None, tuple(chosen), {})).plan
        return self._known.get((plan.config_hash, plan.rounds))

    @staticmethod
    def _wait(bench: Bench, words: Iterable[str]) -> None:
        command = shell_words("scalmarl", *words)
        try:
            code = bench.process.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            raise TimedOut(f"{command} has not ended after {WITHIN_S:,.0f} s", "try it by hand") from None
        if code != 0:
            said = bench.run.path.with_suffix(".txt").read_text(errors="replace").strip().splitlines()[-3:]
            raise TrainingFailed(f"{command} ended with {code}: {' '.join(said)}", "try it by hand to see more")
