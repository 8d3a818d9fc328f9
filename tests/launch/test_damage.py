"""Damaged, lost and foreign files of a finished run: every command says what, where and how, and loses nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Damage = Callable[[Path], Any]
MORE = ("resume", "{run}", "--rounds", "60")


def emptied(name: str) -> Damage:
    return lambda run: (run / name).write_bytes(b"")


def with_line(name: str, line: str) -> Damage:
    def add(run: Path) -> None:
        with (run / name).open("a") as file:
            file.write(line + "\n")

    return add


def without_task(run: Path) -> None:
    plan = json.loads((run / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps({**plan, "task": None}))


CASES: dict[str, tuple[Damage, tuple[str, ...], int, str, str]] = {
    "an emptied commit log": (
        emptied("coordinator/commits.log"), MORE, 1, "knows of 0 rounds, but agent/0", "put back a copy",
    ),
    "a lost commit log, asked for a digest": (
        lambda run: (run / "coordinator/commits.log").unlink(), ("digest", "--run", "{run}"), 1, "commits.log", "copy",
    ),
    "garbage in the metrics": (with_line("metrics.jsonl", "garbage"), MORE, 1, "metrics.jsonl, line 41", "remove"),
    "an empty object in the metrics": (with_line("metrics.jsonl", "{}"), MORE, 1, "metrics.jsonl, line 41", "remove"),
    "garbage in the traffic": (
        with_line("traffic.jsonl", "[1]"), ("traffic", "--run", "{run}"), 1, "traffic.jsonl, line 41", "remove",
    ),
    "garbage in the events": (with_line("events.jsonl", "x"), ("events", "--run", "{run}"), 1, "events.jsonl", "copy"),
    "no configuration": (lambda run: (run / "config.toml").unlink(), MORE, 2, "config.toml", "TOML"),
    "an unknown key in the configuration": (with_line("config.toml", "foo = 1"), MORE, 2, "foo", "--help-config"),
    "a plan without a task": (without_task, ("traffic", "--run", "{run}"), 3, "plan.json is damaged", "copy"),
    "no graph": (lambda run: (run / "graph.json").unlink(), ("traffic", "--run", "{run}"), 1, "graph.json", "copy"),
    "no graph, to be verified": (
        lambda run: (run / "graph.json").unlink(), ("verify", "{run}"), 1, "graph.json is not there", "copy",
    ),
    "a state that is none": (
        lambda run: (run / "run.json").write_text("[]"), ("ps", "--run", "{run}"), 3, "run.json", "copy",
    ),
    "too many rounds": (
        lambda run: None, ("resume", "{run}", "--rounds", "20000000000"), 2, "random stream", "at most",
    ),
    "a round that is not archived": (
        lambda run: None, ("resume", "{run}", "--from-round", "99"), 2, "round 99 is not in the archive", "39",
    ),
}  # fmt: skip


def fingerprint(run: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in run.rglob("*") if path.is_file() and path.name != "lock"):
        digest.update(str(path.relative_to(run)).encode() + path.read_bytes())
    return digest.hexdigest()


@pytest.mark.parametrize("name", CASES)
def test_damage_is_told_and_nothing_is_lost(name: str, calm: Any, scalmarl: Run, tmp_path: Path) -> None:
    damage, command, code, what, cure = CASES[name]
    run = tmp_path / "run"
    shutil.copytree(calm.path, run)
    damage(run)
    before = fingerprint(run)
    answer = scalmarl(*(word.format(run=run) for word in command))
    assert "Traceback" not in answer.stderr
    assert answer.returncode == code, answer.stderr
    assert what in answer.stderr.partition("hint:")[0]
    assert cure in answer.stderr.partition("hint:")[2]
    assert fingerprint(run) == before


def test_lost_records_leave_a_gap_and_the_run_goes_on(calm: Any, start: Any, scalmarl: Run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(calm.path, run)
    (run / "traffic.jsonl").unlink()
    whole = (run / "metrics.jsonl").read_bytes()
    answer = scalmarl("resume", str(run), "--rounds", "42")
    assert answer.returncode == 0, answer.stderr
    assert (run / "metrics.jsonl").read_bytes().startswith(whole)
    rounds = [json.loads(line)["round"] for line in (run / "traffic.jsonl").read_text().splitlines()]
    assert rounds == [40, 41]
    assert "records lost" in scalmarl("events", "--run", str(run)).stdout


def test_a_log_that_is_not_text_and_a_strange_file_beside_it_are_no_trouble(
    calm: Any, scalmarl: Run, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(calm.path, run)
    (run / "agents/000/log.old.txt").write_text("mine")
    with (run / "agents/000/log.0.txt").open("ab") as file:
        file.write(b"\xff\xfe\n")
    answer = scalmarl("logs", "0", "--run", str(run))
    assert answer.returncode == 0, answer.stderr
    assert "agent/0, life 0" in answer.stdout
