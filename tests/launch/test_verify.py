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
from scalmarl.launch.verification import Difference, again, first_difference, segments
from scalmarl.protocol.keys import COORDINATOR, SIM

Run = Callable[..., Any]
SIZE = ("--agents", "3", "--kappa", "1", "--envs", "4", "--steps", "24")


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
    log = CommitLog(forged, lambda round: [])
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


def test_a_masked_agent_is_left_out_comes_back_and_the_run_can_be_repeated(start: Run, scalmarl: Run) -> None:
    launch = start("masked", *SIZE, "--rounds", "60", "--on-loss", "mask", "--set", "processes.loss_after_s=0.2")
    where = ("--run", str(launch.path))
    launch.wait_for_round(2)
    assert scalmarl("kill", "1", *where).returncode == 0

    def absent(state: dict[str, Any]) -> bool:
        lines = (launch.path / "metrics.jsonl").read_text().splitlines()
        return bool(lines and json.loads(lines[-1])["absent"] == [1])

    launch.wait_until(absent)
    assert scalmarl("restart", "1", *where).returncode == 0
    assert launch.end() == 0, launch.words
    lines = [json.loads(line) for line in (launch.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines] == list(range(60))
    out = [line["round"] for line in lines if line["absent"]]
    assert out == list(range(out[0], out[-1] + 1)), "one absence, whole rounds"
    assert out[0] >= 2
    assert out[-1] < 59
    for line in lines:
        assert [kl is None for kl in line["kl_agent"]] == [False, bool(line["absent"]), False]
        assert (line["bytes_agent"][1] == 0) == bool(line["absent"])
    events = [json.loads(line) for line in (launch.path / "events.jsonl").read_text().splitlines()]
    regroups = [(e["round"], e["absent"]) for e in events if e["event"] == "regroup"]
    assert regroups == [(out[0], [1]), (out[-1] + 1, [])]
    traffic = json.loads(scalmarl("traffic", *where, "--json").stdout)
    for row in traffic["neighbourhoods"]:
        assert abs(row["per_round_bytes"] - row["predicted_bytes"]) < 1e-6
    log = read_commits(log_path(launch.path))[0]
    took_part = [{process for process, _ in msgpack.unpackb(record)} for _, record in log]
    assert [round for round, who in enumerate(took_part) if who == {0, 2, SIM}] == out
    assert all(COORDINATOR not in who for who in took_part)
    # Into the rounds after its return.
    said = scalmarl("verify", str(launch.path), "--rounds", str(out[-1] + 3))
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"identical: {out[-1] + 3} rounds" in said.stdout
