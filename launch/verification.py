"""A run put to the test: its configuration once more, undisturbed, and every committed digest compared on the way.

The commit log holds the SHA-256 of every process's file of every round, so two runs of one configuration must have the
same log. Where agents were absent (``--on-loss mask``), the log tells from which round to which; the second run leaves
out the same agents in the same rounds.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from scalmarl.launch.absence import Digests, regroup, took_part
from scalmarl.launch.config import resolve, to_toml
from scalmarl.launch.errors import TrainingFailed
from scalmarl.launch.planning import check_sockets
from scalmarl.launch.run_directory import RunDirectory, create, read_plan
from scalmarl.launch.starting import first_state, start_in_background
from scalmarl.protocol.errors import DamagedFile
from scalmarl.protocol.keys import process_name

LOOK_EVERY_S = 0.1
ASK_AGAIN_S = 0.5
END_WITHIN_S = 20.0


@dataclass(frozen=True)
class Difference:
    """The first round whose files differ, and whose."""

    round: int
    processes: tuple[str, ...]


def committed_digests(run: RunDirectory) -> list[Digests]:
    """Of every committed round, the digests of all that took part. Raises ``TrainingFailed``."""
    try:
        return took_part(run)
    except DamagedFile as damage:
        raise TrainingFailed(str(damage).partition(";")[0], "put back a copy of the commit log") from None


def first_difference(one: list[Digests], other: list[Digests]) -> Difference | None:
    """Compares as many rounds as both have."""
    for round, (a, b) in enumerate(zip(one, other)):
        differing = [process for process in sorted({*a, *b}) if a.get(process) != b.get(process)]
        if differing:
            return Difference(round, tuple(process_name(process) for process in differing))
    return None


def segments(digests: list[Digests], agents: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """``(up to which round, absent agents)``, one after the other: the rounds in which the same agents took part."""
    absences = [tuple(agent for agent in range(agents) if agent not in here) for here in digests]
    for round, absent in enumerate(absences):
        if round + 1 == len(absences) or absences[round + 1] != absent:
            yield round + 1, absent


def again(run: RunDirectory, path: Path) -> RunDirectory:
    """A new run directory with the configuration of ``run`` and nothing of its fate: nobody absent, no round done, no
    bad links, and no addresses or namespaces of its own, which may be gone. Raises ``UserProblem``."""
    plan = read_plan(run)
    elsewhere: dict[str, object] = {"links": [], "address": None, "namespace": None}
    config, origins = resolve(run.config, (), {})
    config = config.model_copy(update={"processes": config.processes.model_copy(update=elsewhere)})
    check_sockets(config.processes.transport, plan.agents)
    for file in (run.origin, run.graph):
        if not file.is_file():
            raise TrainingFailed(f"{file} is not there", "put back a copy")
    second = create(path, "")
    for file, copy in ((run.origin, second.origin), (run.graph, second.graph)):
        shutil.copy(file, copy)
    second.config.write_text(to_toml(config, origins), encoding="utf-8")
    regroup(second, replace(plan, absent=()), ())
    return second


def run_again(second: RunDirectory, digests: list[Digests], progress: Callable[[int], None]) -> Difference | None:
    """Run the second run as far as ``digests`` go, comparing as it goes; ends at the first difference. ``progress``
    hears how many rounds were equal. Raises ``TrainingFailed`` when the second run fails."""
    found: Difference | None = None

    def differs() -> bool:
        nonlocal found
        mine = committed_digests(second)
        found = first_difference(digests, mine)
        progress(len(mine))
        return found is not None

    run_segments(second, segments(digests, read_plan(second).agents), differs)
    return found


def run_segments(
    run: RunDirectory, parts: Iterable[tuple[int, tuple[int, ...]]], is_enough: Callable[[], bool]
) -> None:
    """Run a prepared run to the end of each ``(up to which round, absent agents)`` in turn, or until ``is_enough``,
    which is asked often and once after every part. Raises ``TrainingFailed`` when a part does not come to its end."""
    for rounds, absent in parts:
        plan = regroup(run, replace(read_plan(run), rounds=rounds), absent)
        lock = run.take_lock()
        run.write_state(first_state(plan.rounds, plan.config_hash))
        launcher = start_in_background(run, lock, owned=True)
        os.close(lock)
        try:
            while launcher.poll() is None:
                if is_enough():
                    return
                time.sleep(LOOK_EVERY_S)
        finally:
            _end(launcher)
        if is_enough():
            return
        if (committed := len(committed_digests(run))) < rounds:
            state = run.read_state()
            raise TrainingFailed(
                f"the run ended after {committed} of {rounds} rounds: {state.get('reason') or state['state']}",
                f"its last words: {_last_words(run)}",
            )


def _last_words(run: RunDirectory) -> str:
    """Of the launcher's log, which may be gone when they are read."""
    lines = run.log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if run.log.is_file() else []
    return " / ".join(lines[-3:]) or "none"


def _end(launcher: subprocess.Popen[bytes]) -> None:
    """At once: the second run is not needed any more."""
    deadline = time.monotonic() + END_WITHIN_S
    while launcher.poll() is None:
        launcher.send_signal(signal.SIGINT if time.monotonic() < deadline else signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            launcher.wait(ASK_AGAIN_S)
