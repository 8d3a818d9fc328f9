"""A second, undisturbed run against the commit log of the first; and runs that went on without an agent."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack

from scalmarl.coordinator.commit_log import CommitLog, log_path, read_commits
from scalmarl.launch.config import resolve
from scalmarl.launch.planning import make_plan, write_plan
from scalmarl.launch.run_directory import create
from scalmarl.launch.verification import Difference, again, first_difference, run_segments, segments
from scalmarl.protocol.keys import SIM
from scalmarl.protocol.round_files import encode_row

Run = Callable[..., Any]


def test_the_first_round_that_differs_is_named_with_whose_files() -> None:
    one = [{0: b"a", 1: b"b", SIM: b"s"}, {0: b"c", 1: b"d", SIM: b"t"}, {0: b"e", 1: b"f", SIM: b"u"}]
    assert first_difference(one, one) is None
    assert first_difference(one, one[:1]) is None
    other = [one[0], {0: b"c", 1: b"x", SIM: b"y"}, {0: b"z", 1: b"f", SIM: b"u"}]
    assert first_difference(one, other) == Difference(1, ("agent/1", "sim"))
    assert first_difference(one, [{0: b"a", SIM: b"s"}]) == Difference(0, ("agent/1",))


def test_rounds_with_the_same_agents_make_a_segment() -> None:
    both, alone = {0: b"", 1: b"", SIM: b""}, {0: b"", SIM: b""}
    assert list(segments([both, both, alone, alone, both], 2)) == [(2, ()), (4, (1,)), (5, ())]
    assert list(segments([], 2)) == []


def test_the_second_run_needs_no_address_of_its_own(tmp_path: Path) -> None:
    there = ("processes.transport=tcp", "processes.address=127.0.0.9")
    first = create(tmp_path / "first", "")
    write_plan(first, make_plan(*resolve(None, there, {"run.agents": 3, "run.kappa": 1})))
    config, _ = resolve(again(first, tmp_path / "second").config, (), {})
    assert (config.processes.transport, config.processes.address, config.processes.namespace) == ("tcp", None, None)


def test_a_finished_run_is_verified_and_a_forged_one_found_out(calm: Any, scalmarl: Run, tmp_path: Path) -> None:
    said = scalmarl("verify", str(calm.path), "--rounds", "6", "--json")
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout) == {
        "schema": 1, "identical": True, "rounds": 6, "first_difference": None, "versions_changed": "",
    }  # fmt: skip

    forged = tmp_path / "forged"
    shutil.copytree(calm.path, forged)
    records = read_commits(log_path(forged))[0]
    log_path(forged).unlink()
    log = CommitLog(forged, lambda round, figures: encode_row(round, figures, [], {}))
    for round, record in records:
        content = record
        if round == 4:
            digests = [[process, b"\0" * 32 if process == 2 else digest] for process, digest in msgpack.unpackb(record)]
            content = msgpack.packb(digests)
        log.write(round, content, {})
    kept = tmp_path / "second"
    said = scalmarl("verify", str(forged), "--keep", str(kept), "--rounds", "6")
    assert said.returncode == 1
    assert "round 3 of 6 is the first that differs, in the files of agent/2" in said.stdout
    assert (kept / "metrics.jsonl").exists()


def test_there_must_be_something_to_verify(scalmarl: Run, tmp_path: Path) -> None:
    said = scalmarl("verify", str(tmp_path))
    assert (said.returncode, "is no run directory" in said.stderr) == (3, True)


def test_an_agent_can_be_left_out_of_rounds_and_come_back(scalmarl: Run, tmp_path: Path) -> None:
    """Agent 1 is absent in rounds 2 and 3 of five. That they can be repeated to the bit is shown in tests/chaos."""
    options = {"run.agents": 3, "run.kappa": 1, "run.on_loss": "mask", "world.envs": 4, "world.steps": 24}
    planned = make_plan(*resolve(None, (), {**options, "run.rounds": 5}))
    run = create(tmp_path / "masked", "")
    write_plan(run, planned)
    run_segments(run, [(2, ()), (4, (1,)), (5, ())], lambda: False)
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [line["absent"] for line in lines] == [[], [], [1], [1], []]
    for line in lines:
        assert [kl is None for kl in line["kl_agent"]] == [False, bool(line["absent"]), False]
        assert (line["bytes_agent"][1] == 0) == bool(line["absent"])
    traffic = json.loads(scalmarl("traffic", "--run", str(run.path), "--json").stdout)
    for row in traffic["neighbourhoods"]:
        assert abs(row["per_round_bytes"] - row["predicted_bytes"]) < 1e-6
    took_part = [
        {process for process, _ in msgpack.unpackb(record)} for _, record in read_commits(log_path(run.path))[0]
    ]
    assert took_part == [{0, 1, 2, SIM}] * 2 + [{0, 2, SIM}] * 2 + [{0, 1, 2, SIM}]
    assert scalmarl("digest", "--run", str(run.path)).returncode == 0
