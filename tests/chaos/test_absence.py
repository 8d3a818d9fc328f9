"""``--on-loss mask`` on a live run: an agent is killed, missed, left out, and brought back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from scalmarl.coordinator.commit_log import log_path, read_commits
from scalmarl.protocol.keys import COORDINATOR, SIM

pytestmark = pytest.mark.chaos
Run = Callable[..., Any]
SIZE = ("--agents", "3", "--kappa", "1", "--envs", "4", "--steps", "24")


def test_an_agent_that_is_killed_is_left_out_comes_back_and_the_run_can_be_repeated(start: Run, scalmarl: Run) -> None:
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
    events = [json.loads(line) for line in (launch.path / "events.jsonl").read_text().splitlines()]
    regroups = [(e["round"], e["absent"]) for e in events if e["event"] == "regroup"]
    assert regroups == [(out[0], [1]), (out[-1] + 1, [])]
    log = read_commits(log_path(launch.path))[0]
    took_part = [{process for process, _ in msgpack.unpackb(record)} for _, record in log]
    assert [round for round, who in enumerate(took_part) if who == {0, 2, SIM}] == out
    assert all(COORDINATOR not in who for who in took_part)
    # Into the rounds after its return.
    said = scalmarl("verify", str(launch.path), "--rounds", str(out[-1] + 3))
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"identical: {out[-1] + 3} rounds" in said.stdout
