"""Bad links in real runs: cuts that heal, a network that loses, doubles and reorders, and a proxy that counts.

Acceptance tests 12, 13 and the last line of 25. The fate of every frame follows from the seed, so the command that a
failure prints repeats it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scalmarl.coordinator.commit_log import log_path, read_commits
from scalmarl.launch.reading import digests
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import RunDirectory, read_plan
from scalmarl.launch.traffic import report, totals
from scalmarl.protocol.keys import SIM, Kind

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

SMALL = ("--agents", "4", "--kappa", "1", "--envs", "4")
WITHIN_S = 400.0
CUT_S = (30.0, 40.0)
"""Late enough that the run is on its way on a busy machine."""
HEALED_WITHIN_S = 2.0
HANDSHAKE_BYTES = 552
"""What a sender writes before its first frame: docs/protocol.md, Bytes."""
PROXIED = Path(__file__).with_name("proxied_launch.py")


@dataclass
class Trial:
    """One run and the words that repeat it."""

    run: RunDirectory
    process: subprocess.Popen[bytes]
    words: tuple[str, ...]

    def repeat(self) -> str:
        said = self.run.path.with_suffix(".txt").read_text(errors="replace")[-500:]
        return f"repeat it: {shlex.join(self.words)}\nit said: {said}"

    def wait_until(self, what: Any) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not what():
            assert self.process.poll() is None, f"the run ended early. {self.repeat()}"
            assert time.monotonic() < deadline, f"nothing came of it. {self.repeat()}"
            time.sleep(0.02)

    def committed(self) -> int:
        return int(self.run.read_state()["round"]) if self.run.state.exists() else 0

    def observations(self) -> int:
        """Observations that the sim server has sent, repeats included."""
        table = totals(self.run, read_plan(self.run), SIM)
        return sum(count.messages for (_, kind), count in table.items() if kind == Kind.OBSERVATION)

    def end(self) -> int:
        return self.process.wait(WITHIN_S)


@contextlib.contextmanager
def trial(path: Path, *words: str) -> Iterator[Trial]:
    """A command that runs ``path``; it and its processes are gone at the end."""
    # Not below the test's own directory: the path of a socket may have few characters only.
    with tempfile.TemporaryDirectory(prefix="sc-", ignore_cleanup_errors=True) as sockets:
        with path.with_suffix(".txt").open("ab") as said:
            process = subprocess.Popen(words, stdout=said, stderr=said, env={**os.environ, "TMPDIR": sockets})
        try:
            yield Trial(RunDirectory(path), process, words)
        finally:
            if process.poll() is None:
                # The processes of a run die with their launcher.
                process.send_signal(signal.SIGKILL)
            process.wait()


def launch(path: Path, *arguments: str) -> contextlib.AbstractContextManager[Trial]:
    return trial(path, sys.executable, "-m", "scalmarl", "launch", "--run", str(path), *SMALL, *arguments)


def to_its_end(path: Path, *arguments: str) -> Trial:
    with launch(path, *arguments) as done:
        assert done.end() == 0, done.repeat()
    return done


def records(run: RunDirectory) -> list[bytes]:
    """The digests of every process at every commit."""
    return [record for _, record in read_commits(log_path(run.path))[0]]


def first_sendings(run: RunDirectory) -> Any:
    found = report(run, read_plan(run))
    pairs = [{k: v for k, v in pair.items() if k != "repeat_bytes"} for pair in found["pairs"]]
    return pairs, found["neighbourhoods"]


def nobody_was_restarted(told: Trial) -> None:
    story = {line["event"] for line in read_lines(told.run.events)}
    assert not story & {"death", "restart", "stall kill", "silent"}, told.repeat()
    assert all(process["restarts"] == 0 for process in told.run.read_state()["processes"]), told.repeat()


# ---- 12: cuts that heal ----

CUTS = {
    "one edge": ("1-2",),
    "one agent": ("2-*",),
    "halves": ("1-2", "2-sim", "3-sim", "2-coordinator", "3-coordinator"),
}


class Calm:
    """An undisturbed run, made as long as somebody needs it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rounds = 0

    def records(self, rounds: int) -> list[bytes]:
        if rounds > self._rounds:
            words: tuple[str, ...] = ("launch", "--run", str(self._path), *SMALL, "--steps", "32")
            if self._rounds:
                words = ("resume", str(self._path))
            with trial(self._path, sys.executable, "-m", "scalmarl", *words, "--rounds", str(rounds)) as calm:
                assert calm.end() == 0, calm.repeat()
            self._rounds = rounds
        return records(RunDirectory(self._path))[:rounds]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Calm:
    return Calm(tmp_path_factory.mktemp("calm") / "run")


@pytest.mark.parametrize("name", CUTS)
def test_after_a_cut_of_ten_seconds_the_run_goes_on_at_once_with_the_same_bits(
    name: str, calm: Calm, tmp_path: Path
) -> None:
    begin, end = CUT_S
    links = [word for link in CUTS[name] for word in ("--link", f"{link}:cut={begin:g}s-{end:g}s")]
    with launch(tmp_path / "run", "--steps", "32", "--rounds", "10000", *links) as cut:
        cut.wait_until(lambda: cut.committed() >= 1)
        ready = next(line for line in read_lines(cut.run.events) if line["event"] == "ready")
        began = ready["time"] - ready["seconds"]
        assert time.time() < began + begin, "the cut came before the first round: raise CUT_S on so slow a machine"
        cut.wait_until(lambda: time.time() > began + begin + 1.0)
        before = cut.observations()
        cut.wait_until(lambda: time.time() > began + end - 0.1)
        # An observation may be said again to an agent that asks for it, but no step is taken.
        step = read_plan(cut.run).agents
        assert cut.observations() - before <= step, f"it went on through the cut. {cut.repeat()}"
        before = cut.observations()
        cut.wait_until(lambda: cut.observations() > before + 4 * step)
        took = time.time() - began - end
        print(f"{name}: going on {took:.2f} s after the cut healed")
        assert took < HEALED_WITHIN_S, cut.repeat()
        rounds = cut.committed()
        cut.wait_until(lambda: cut.committed() >= rounds + 3)
        nobody_was_restarted(cut)
        cut.process.send_signal(signal.SIGTERM)
        assert cut.end() == 143, cut.repeat()
    found = records(cut.run)
    wanted = calm.records(len(found))
    differs = [round for round, (one, other) in enumerate(zip(found, wanted)) if one != other]
    assert not differs, f"round {differs[0]} differs. {cut.repeat()}"
    assert len(found) == len(wanted) > 3


# ---- 13: a network that loses, doubles and reorders ----


def test_a_network_that_loses_doubles_and_reorders_changes_no_bit(tmp_path: Path) -> None:
    size = ("--steps", "8", "--rounds", "3")
    good = to_its_end(tmp_path / "good", *size)
    bad = to_its_end(tmp_path / "bad", *size, "--link", "*-*:loss=30%,duplicate=10%,delay=0ms-200ms")
    nobody_was_restarted(bad)
    assert digests(bad.run) == digests(good.run), bad.repeat()
    assert first_sendings(bad.run) == first_sendings(good.run), bad.repeat()
    told = report(bad.run, read_plan(bad.run))
    repeats, lost = sum(pair["repeat_bytes"] for pair in told["pairs"]), sum(row["wire_bytes"] for row in told["lost"])
    first = sum(pair["wire_bytes"] for pair in told["pairs"])
    print(f"first sendings {first:,} bytes, repeats {repeats:,}, lost {lost:,}, in {_seconds(bad):.0f} s")
    assert repeats > 0, bad.repeat()
    assert lost > 0, bad.repeat()


def _seconds(done: Trial) -> float:
    events = read_lines(done.run.events)
    return float(events[-1]["time"] - events[0]["time"])


# ---- 25: bytes as a proxy counts them ----


@pytest.mark.parametrize("faults", ["none", "bad links", "a killed agent"])
def test_the_ledger_is_what_counting_proxies_between_real_processes_saw(faults: str, tmp_path: Path) -> None:
    """To the byte, for every (sender, receiver); of a killed process, what it had not written yet died with it."""
    links = ("--link", "*-*:loss=5%,duplicate=10%,delay=0ms-20ms") if faults == "bad links" else ()
    counts, path = tmp_path / "counts.json", tmp_path / "run"
    arguments = ("--steps", "16", "--rounds", "4", "--set", "processes.transport=tcp", *links)
    words = (sys.executable, str(PROXIED), str(counts), "launch", "--run", str(path), *SMALL, *arguments)
    with trial(path, *words) as run:
        if faults == "a killed agent":
            run.wait_until(lambda: run.committed() >= 1)
            victim = next(p["pid"] for p in run.run.read_state()["processes"] if p["index"] == 1)
            os.kill(victim, signal.SIGKILL)
        assert run.end() == 0, run.repeat()
    seen = {
        pair: sum(max(0, written - HANDSHAKE_BYTES) for written in connections)
        for pair, connections in json.loads(counts.read_text()).items()
    }
    told = counted_on_the_wire(run.run)
    assert set(told) == set(seen)
    for pair, count in told.items():
        if faults == "a killed agent" and "agent/1" in pair.split(">"):
            assert 0 < seen[pair] <= count, f"{pair}. {run.repeat()}"
        else:
            assert seen[pair] == count, f"{pair}. {run.repeat()}"
    print(f"{faults}: {sum(seen.values()):,} bytes seen by {len(seen)} proxies, {sum(told.values()):,} in the ledger")


def counted_on_the_wire(run: RunDirectory) -> dict[str, int]:
    """(sender, receiver) -> wire bytes of ``scalmarl traffic``: values, repeats and control, less what was lost."""
    found = report(run, read_plan(run))
    told: dict[str, int] = {}
    for rows, sign in ((found["pairs"], 1), (found["control"], 1), (found["lost"], -1)):
        for row in rows:
            pair = f"{row['src']}>{row['dst']}"
            told[pair] = told.get(pair, 0) + sign * (row["wire_bytes"] + row.get("repeat_bytes", 0))
    return told
