"""A launcher that dies at any durable step of a regroup, or of going back to an archived round; then ``resume``.

Without a process: the files are those of the real stores, and every file's content is a hash of the rounds that its
owner took part in and with whom, so that a round lost, done twice or done under another plan shows in a digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import msgpack
import pytest

from scalmarl.coordinator.commit_log import CommitLog, log_path
from scalmarl.launch import resuming
from scalmarl.launch.absence import regroup, took_part
from scalmarl.launch.config import resolve
from scalmarl.launch.errors import TrainingFailed
from scalmarl.launch.planning import make_plan, write_plan
from scalmarl.launch.records import AGENT_FIGURES, RoundRecords, next_round
from scalmarl.launch.resuming import archived_rounds, prepare
from scalmarl.launch.run_directory import RunDirectory, create, read_plan
from scalmarl.launch.starting import first_state
from scalmarl.protocol.keys import COORDINATOR, SIM
from scalmarl.protocol.lifeline import release_stop_signals
from scalmarl.protocol.round_files import RoundFiles, encode_row, process_directory

RESOLVED = resolve(None, (), {"run.agents": 3, "run.kappa": 1, "run.on_loss": "mask"})
AGENTS = (0, 1, 2)
EVERYBODY = (*AGENTS, SIM)
BEFORE, AFTER = (1,), (2,)
"""Who is absent: agent 1 comes back in the regroup that leaves agent 2 out."""
FIGURES = {
    **dict.fromkeys(("return_team", "cost_team", "cost_agent", "distance", "episodes", "terminations"), 0),
    **dict.fromkeys(("return_rate", "cost_rate_team", "cost_rate_agent", "distance_rate", "radius", "kl", "kl_max"), 0),
    **dict.fromkeys(AGENT_FIGURES, 0),
    **dict.fromkeys(("sample_s", "update_s"), 0),
    "cost_agent": None, "explained_variance": None, "bound": "", "multiplier": [0.0], "cost_estimate": [0.0],
}  # fmt: skip


class Died(BaseException):
    """SIGKILL: nobody who mends errors hears of it."""


class Mortal:
    """Counts the durable steps of this process, and dies at one: before a file is synced, or after any step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trace: list[tuple[str, str]] = []
        self.passed, self.dies_at, self.is_watched, self.is_dead = 0, -1, False, False
        for name in ("rename", "replace", "unlink", "mkdir", "rmdir", "truncate"):
            monkeypatch.setattr(os, name, self._step(name, getattr(os, name)))
        monkeypatch.setattr(os, "fsync", self._sync)

    def watch(self, work: Callable[[], object], dies_at: int = -1) -> bool:
        """Whether it lived to the end of this."""
        self.passed, self.dies_at, self.is_watched, self.is_dead, self.trace = 0, dies_at, True, False, []
        try:
            work()
        except Died:
            return False
        finally:
            self.is_watched = False
        return True

    def _step(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            self._must_live()
            done = real(*arguments, **options)
            self._passes(name, *map(os.fspath, arguments[: 2 if name in ("rename", "replace") else 1]))
            return done

        return step

    def _sync(self, descriptor: int) -> None:
        """To the disk itself only the trace matters here."""
        self._must_live()
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if not os.path.isdir(path):
            self._passes("write", path)
        self._passes("sync", path)

    def _must_live(self) -> None:
        if self.is_watched and self.is_dead:
            raise Died

    def _passes(self, name: str, *paths: str) -> None:
        if not self.is_watched:
            return
        self.trace += [(name, path) for path in paths]
        self.passed += 1
        if self.passed - 1 == self.dies_at:
            self.is_dead = True
            raise Died


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> Mortal:
    # Slow, and they only read.
    monkeypatch.setattr(resuming, "changed_versions", lambda state: "")
    monkeypatch.setattr(resuming, "resolve", lambda *none: RESOLVED)
    return Mortal(monkeypatch)


def learnt(content: bytes, round: int, who: Iterable[int]) -> bytes:
    return hashlib.sha256(content + repr((round, sorted(who))).encode()).digest()


def play(run: RunDirectory, rounds: int, is_heard: bool = True) -> None:
    """So many rounds under the plan of the run; of the last one's commit only the coordinator knows unless ``heard``.
    Raises ``DeterminismLost`` where a file is written again with other content."""
    plan = read_plan(run)
    log = CommitLog(run.path, lambda round, figures: encode_row(round, figures, [], {}))
    records = RoundRecords(run, plan)
    first = (log.rounds() or [0])[0]
    for round in range(first, first + rounds):
        done = write_round(run, round)
        log.write(round + 1, msgpack.packb([[p, hashlib.sha256(done[p]).digest()] for p in done]), {})
        if is_heard or round < first + rounds - 1:
            for process in done:
                files = RoundFiles(run.path, process, plan, lambda round, figures: encode_row(round, figures, [], {}))
                for kept in files.rounds():
                    if kept <= round:
                        files.delete(kept)
            records.catch_up(round)


def write_round(run: RunDirectory, round: int, processes: Iterable[int] = EVERYBODY) -> dict[int, bytes]:
    """Those of these processes that take part end the round; nobody has committed it."""
    plan = read_plan(run)
    who, done = (*plan.present, SIM), {}
    for process in (process for process in processes if process in who):
        files = RoundFiles(run.path, process, plan, lambda round, figures: encode_row(round, figures, [], {}))
        content = files.read(round) if files.rounds() else bytes([process % 251])
        done[process] = learnt(content, round, who)
        files.write(round + 1, done[process], FIGURES)
    return done


def expected(rounds: Iterable[Iterable[int]]) -> list[dict[int, bytes]]:
    """The digests of an undisturbed run in whose rounds these took part."""
    contents, found = {process: bytes([process % 251]) for process in EVERYBODY}, []
    for round, who in enumerate(rounds):
        contents |= {process: learnt(contents[process], round, who) for process in who}
        found.append({process: hashlib.sha256(contents[process]).digest() for process in who})
    return found


def begin(path: Path) -> RunDirectory:
    run = create(path, "")
    write_plan(run, make_plan(*RESOLVED))
    run.write_state(first_state(read_plan(run).rounds, read_plan(run).config_hash))
    play(run, 3)
    regroup(run, read_plan(run), BEFORE)
    return run


def leave_litter(run: RunDirectory, round: int) -> None:
    """The last commit was not heard; some have ended the round after it; one was killed while it wrote."""
    write_round(run, round, (0, 2))
    for process in (*EVERYBODY, COORDINATOR):
        (process_directory(run.path, process) / "progress.bin").write_bytes(b"\1" * 24)
    (process_directory(run.path, 2) / f".{round + 1:06d}.round.99.tmp").write_bytes(b"half")


def change(run: RunDirectory) -> None:
    """What the supervisor does to the files once every process has ended."""
    RoundRecords(run, read_plan(run)).catch_up(len(took_part(run)) - 1)
    regroup(run, read_plan(run), AFTER)
    RoundRecords(run, read_plan(run))


def resume(run: RunDirectory, from_round: int | None = None) -> None:
    os.close(prepare(run, None, from_round))
    release_stop_signals()


def bytes_of(run: RunDirectory) -> dict[str, object]:
    """Every file with its bytes, but for what tells the time."""
    found: dict[str, object] = {}
    for path in sorted(path for path in run.path.rglob("*") if path.is_file()):
        name = str(path.relative_to(run.path))
        if name == "metrics.jsonl":
            found[name] = [{**json.loads(line), "wall_s": 0} for line in path.read_text().splitlines()]
        elif name not in ("run.json", "events.jsonl", "lock"):
            found[name] = path.read_bytes()
    return found


def copied(made: RunDirectory, name: str) -> RunDirectory:
    """A copy in the place of the last one. Files that are only ever replaced need not be copied themselves."""
    path = made.path.with_name(name)
    for directory, _, files in os.walk(path):
        for file in files:
            os.unlink(f"{directory}/{file}")

    def copy(file: str, to: str) -> None:
        (shutil.copyfile if file.endswith(("jsonl", "log", "lock")) else os.link)(file, to)

    return RunDirectory(Path(shutil.copytree(made.path, path, copy_function=copy, dirs_exist_ok=True)))


def deaths(
    mortal: Mortal, made: RunDirectory, work: Callable[[RunDirectory], None], first: int = 0, each: int = 1
) -> Iterator[RunDirectory]:
    """For every step of the work, or some of them, a copy of the run whose launcher died at it."""
    for number in count(first, each):
        copy = copied(made, "copy")
        if mortal.watch(partial(work, copy), dies_at=number):
            return
        yield copy


def goes_on(run: RunDirectory, committed: int) -> None:
    """Another round is played; all committed ones are what they are undisturbed, and nothing is left behind."""
    play(run, 1)
    assert took_part(run) == expected(took_part(run))
    assert len(took_part(run)) == committed + 1
    assert next_round(run.metrics) == next_round(run.traffic) == committed + 1
    assert not [path for process in (*EVERYBODY, COORDINATOR) for path in rows(run, process)]
    assert not list(run.path.rglob(".*.tmp"))


def rows(run: RunDirectory, process: int) -> list[Path]:
    return list(process_directory(run.path, process).glob("*.json"))


def not_durable(trace: list[tuple[str, str]], last: Path) -> list[str]:
    """The round files that were moved or removed before ``last`` got its new content, in a directory that was not
    synced in between."""
    end = trace.index(("rename", str(last)))
    return [
        path
        for number, (step, path) in enumerate(trace[:end])
        if path.endswith(".round") and step != "write" and ("sync", os.path.dirname(path)) not in trace[number:end]
    ]


@pytest.fixture
def regrouping(tmp_path: Path, mortal: Mortal) -> RunDirectory:
    """Five rounds, the last two without agent 1; the launcher is about to change who takes part."""
    run = begin(tmp_path / "run")
    play(run, 2, is_heard=False)
    leave_litter(run, 5)
    return run


@pytest.fixture
def going_back(tmp_path: Path, mortal: Mortal) -> RunDirectory:
    """Seven rounds, agent 1 absent in 3 and 4, agent 2 in 5 and 6."""
    run = begin(tmp_path / "run")
    play(run, 2)
    change(run)
    play(run, 2, is_heard=False)
    leave_litter(run, 7)
    return run


def test_a_death_at_any_step_of_a_regroup_costs_nothing(regrouping: RunDirectory, mortal: Mortal) -> None:
    whole = copied(regrouping, "whole")
    assert mortal.watch(lambda: change(whole))
    assert not not_durable(mortal.trace, whole.plan)
    assert not list(whole.path.rglob(".*.tmp"))
    resume(whole)
    assert read_plan(whole).absent == AFTER
    plans = []
    for run in deaths(mortal, regrouping, change):
        resume(run)
        plans.append(read_plan(run).absent)
        if plans[-1] != AFTER:
            change(run)
        assert bytes_of(run) == bytes_of(whole), f"after {mortal.trace[-1]}, step {len(plans) - 1}"
    goes_on(whole, 5)
    assert plans == sorted(plans), "the old plan until the last step, then the new one"
    assert set(plans) == {BEFORE, AFTER}


def test_a_regroup_that_a_death_broke_off_may_come_later(regrouping: RunDirectory, mortal: Mortal) -> None:
    for run in deaths(mortal, regrouping, change, each=3):
        resume(run)
        goes_on(run, 5)
        if read_plan(run).absent == BEFORE:
            change(run)
        goes_on(run, 6)


@pytest.mark.parametrize(
    ("back", "absent", "first"),
    [pytest.param(4, BEFORE, 0, id="into the absence"), pytest.param(3, (), 1, id="to its beginning")],
)
def test_a_death_at_any_step_of_going_back_leaves_a_run_that_can_go_back(
    going_back: RunDirectory, mortal: Mortal, back: int, absent: tuple[int, ...], first: int
) -> None:
    """Of the steps, which are much the same, one case takes the even ones and the other the odd ones."""
    whole = copied(going_back, "whole")
    assert mortal.watch(lambda: resume(whole, back))
    assert not not_durable(mortal.trace, log_path(whole.path))
    assert read_plan(whole).absent == absent
    found = []
    for run in deaths(mortal, going_back, lambda run: resume(run, back), first, each=2):
        try:
            resume(run)
            found.append("back" if len(took_part(run)) == back else "not begun")
        except TrainingFailed as refusal:
            found.append("half" if "--from-round" in refusal.hint else refusal.what)
        if found[-1] != "back":
            assert back in archived_rounds(run, read_plan(run))
            resume(run, back)
        assert bytes_of(run) == bytes_of(whole), f"after {mortal.trace[-1]}, step {len(found) - 1}"
    goes_on(whole, back)
    assert found == sorted(found, key=["not begun", "half", "back"].index)
    assert set(found) == {"not begun", "half", "back"}


def test_a_run_that_had_not_begun_to_go_back_goes_on(going_back: RunDirectory, mortal: Mortal) -> None:
    for run in deaths(mortal, going_back, lambda run: resume(run, 4)):
        try:
            resume(run)
        except TrainingFailed:
            return
        goes_on(run, 7)
