"""Real processes, real sockets: a run ends by itself, survives kills of every role, and gives the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
ROUNDS = 40
SIZE = ("--agents", "3", "--kappa", "1", "--envs", "4", "--steps", "24")
SMALL = (*SIZE, "--rounds", str(ROUNDS))
METRICS = {
    "round", "env_steps", "return_team", "cost_team", "cost_agent", "cost_limit", "lambda_agent", "kl_agent",
    "radius_agent", "bytes_agent", "wall_s", "sample_s", "update_s", "distance",
}  # fmt: skip


def digest(scalmarl: Run, path: Path) -> dict[str, Any]:
    answer = scalmarl("digest", "--run", str(path), "--json")
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def first_sendings(scalmarl: Run, path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    document = json.loads(scalmarl("traffic", "--run", str(path), "--json").stdout)
    pairs = [{k: v for k, v in pair.items() if k != "repeat_bytes"} for pair in document["pairs"]]
    return pairs, document["neighbourhoods"]


def test_a_run_ends_by_itself_and_says_what_it_did(calm: Any, scalmarl: Run) -> None:
    assert "standing still" in calm.words
    assert "kappa 1 hop: 2 to 3 of 3 agents visible" in calm.words
    assert f"finished after {ROUNDS} of {ROUNDS} rounds" in calm.words
    state = json.loads(scalmarl("ps", "--run", str(calm.path), "--json").stdout)
    assert (state["schema"], state["state"], state["round"]) == (1, "finished", ROUNDS)
    assert [p["name"] for p in state["processes"]] == ["agent/0", "agent/1", "agent/2", "sim", "coordinator"]
    assert all(p["pid"] and p["state"] == "exited" and p["restarts"] == 0 for p in state["processes"])
    whole = json.loads((calm.path / "run.json").read_text(encoding="utf-8"))
    assert not any(process["waits_for"] for process in whole["processes"]), "who has exited waits for nobody"


def test_metrics_have_a_line_per_round(calm: Any) -> None:
    lines = [json.loads(line) for line in (calm.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines] == list(range(ROUNDS))
    assert [line["env_steps"] for line in lines] == [96 * (n + 1) for n in range(ROUNDS)]
    assert all(line.keys() >= METRICS and len(line["kl_agent"]) == 3 for line in lines)
    assert all(0 < kl <= 0.02 for line in lines for kl in line["kl_agent"]), "every turn moves, inside its radius"


def test_measured_bytes_equal_the_formula(calm: Any, scalmarl: Run) -> None:
    document = json.loads(scalmarl("traffic", "--run", str(calm.path), "--json").stdout)
    assert [row["members"] for row in document["neighbourhoods"]] == [[0, 1], [0, 1, 2], [1, 2]]
    for row in document["neighbourhoods"]:
        assert row["per_round_bytes"] == row["predicted_bytes"] > 0
    hops = {pair["hops"] for pair in document["pairs"] if "agent" in pair["src"] and "agent" in pair["dst"]}
    assert hops == {1}, "nothing is sent beyond kappa hops"


def test_the_schedule_tcp_and_addresses_of_their_own_change_no_bit(calm: Any, start: Any, scalmarl: Run) -> None:
    tcp = ("--set", "processes.transport=tcp", "--set", "processes.address=127.0.0.{number}")
    other = start("serial", *SMALL, "--schedule", "serial", *tcp)
    assert other.end() == 0, other.words
    assert digest(scalmarl, other.path) == digest(scalmarl, calm.path)
    assert first_sendings(scalmarl, other.path) == first_sendings(scalmarl, calm.path)


def test_another_seed_gives_other_bits(calm: Any, start: Any) -> None:
    other = start("seed1", *SIZE, "--rounds", "2", "--seed", "1")
    assert other.end() == 0, other.words
    for here, there in zip(other.commits(), calm.commits()):
        assert here.keys() == there.keys()
        assert all(here[process] != there[process] for process in here)


# ``test_exact_deaths`` has the death of every role.
@pytest.mark.parametrize(
    "name", ["agent/1", *(pytest.param(name, marks=pytest.mark.chaos) for name in ("sim", "coordinator"))]
)
def test_a_killed_process_comes_back_and_nothing_changes(name: str, calm: Any, start: Any, scalmarl: Run) -> None:
    launch = start(f"kill-{name.replace('/', '')}", *SMALL)
    launch.wait_for_round(1)
    before = {p["name"]: p["pid"] for p in launch.state()["processes"]}
    os.kill(before[name], signal.SIGKILL)
    launch.wait_until(lambda state: any(p["name"] == name and p["restarts"] == 1 for p in state["processes"]))
    assert launch.end() == 0, launch.words
    after = {p["name"]: (p["pid"], p["restarts"]) for p in launch.state()["processes"]}
    assert {other for other in before if after[other][0] != before[other]} == {name}, "the others keep their pids"
    assert digest(scalmarl, launch.path) == digest(scalmarl, calm.path)
    assert first_sendings(scalmarl, launch.path) == first_sendings(scalmarl, calm.path)
    events = [json.loads(line) for line in (launch.path / "events.jsonl").read_text().splitlines()]
    story = [(e["event"], e.get("signal")) for e in events if e["process"] == name]
    assert story == [
        ("start", None),
        ("death", "SIGKILL"),
        ("restart", None),
        ("start", None),
        ("back", None),
        ("in step", None),
    ]


def test_everything_killed_at_once_comes_back(calm: Any, start: Any, scalmarl: Run) -> None:
    launch = start("kill-all", *SMALL)
    launch.wait_for_round(1)
    for process in launch.state()["processes"]:
        os.kill(process["pid"], signal.SIGKILL)
    assert launch.end() == 0, launch.words
    assert digest(scalmarl, launch.path) == digest(scalmarl, calm.path)


def test_two_launches_at_once_do_not_meet(calm: Any, start: Any) -> None:
    pair = [start(f"twin-{number}", *SIZE, "--rounds", "8") for number in range(2)]
    assert [launch.end() for launch in pair] == [0, 0], [launch.words for launch in pair]
    assert all(launch.commits() == calm.commits()[:8] for launch in pair)


def test_kill_holds_an_agent_down_until_restart(calm: Any, start: Any, scalmarl: Run) -> None:
    launch = start("hold", *SMALL)
    launch.wait_for_round(1)
    where = ("--run", str(launch.path))
    assert scalmarl("kill", "2", *where).returncode == 0
    launch.wait_until(lambda state: any(p["index"] == 2 and p["state"] == "down" for p in state["processes"]))
    unknown = scalmarl("kill", "99", *where)
    assert unknown.returncode == 2
    assert "agents 0 to 2" in unknown.stderr
    seen = scalmarl("ps", *where)
    assert "down" in seen.stdout
    assert scalmarl("restart", "2", *where).returncode == 0
    assert launch.end() == 0, launch.words
    assert digest(scalmarl, launch.path) == digest(scalmarl, calm.path)
    log = scalmarl("logs", "2", "--previous", *where)
    assert "agent/2, life 0" in log.stdout
    events = [json.loads(line)["event"] for line in (launch.path / "events.jsonl").read_text().splitlines()]
    assert {"launch", "start", "ready", "hold", "death", "restart", "back", "finished"} <= set(events)
    assert events.count("restart") == 1


def test_stop_then_resume_gives_the_same_bits(calm: Any, start: Any, scalmarl: Run) -> None:
    launch = start("stopped", *SMALL)
    launch.wait_for_round(1)
    live = scalmarl("resume", str(launch.path))
    assert live.returncode == 2
    assert "belongs to a live run" in live.stderr
    assert scalmarl("stop", "--run", str(launch.path)).returncode == 0
    assert launch.end() == 143, launch.words
    assert launch.state()["state"] == "stopped"
    resumed = start("stopped", str(launch.path), command=("resume",))
    assert resumed.end() == 0, resumed.words
    assert digest(scalmarl, launch.path) == digest(scalmarl, calm.path)
    assert first_sendings(scalmarl, launch.path) == first_sendings(scalmarl, calm.path)


def test_ctrl_c_ends_at_a_commit_and_a_killed_launcher_takes_everybody_along(
    calm: Any, start: Any, scalmarl: Run
) -> None:
    launch = start("interrupted", *SMALL)
    launch.wait_for_round(1)
    launch.process.send_signal(signal.SIGINT)
    assert launch.end() == 130, launch.words
    again = start("interrupted", str(launch.path), command=("resume",))
    again.wait_until(
        lambda state: state["state"] == "running" and any(p["state"] == "running" for p in state["processes"])
    )
    again.process.kill()
    again.process.wait()
    state = json.loads(scalmarl("ps", "--run", str(launch.path), "--json").stdout)
    assert state["state"] == "failed", "its lock is free and it is not finished"
    last = start("interrupted", str(launch.path), command=("resume",))
    assert last.end() == 0, last.words
    assert digest(scalmarl, launch.path) == digest(scalmarl, calm.path)


def test_a_finished_run_can_be_extended_and_taken_back(calm: Any, start: Any, scalmarl: Run) -> None:
    longer = start("longer", *SIZE, "--rounds", "30")
    assert longer.end() == 0, longer.words
    nothing = scalmarl("resume", str(longer.path))
    assert nothing.returncode == 2
    assert "--rounds" in nothing.stderr
    extended = start("longer", str(longer.path), "--rounds", str(ROUNDS), command=("resume",))
    assert extended.end() == 0, extended.words
    assert digest(scalmarl, longer.path) == digest(scalmarl, calm.path)
    damaged = longer.path / "agents" / "001" / f"{ROUNDS:06d}.round"
    data = bytearray(damaged.read_bytes())
    data[200] ^= 1
    damaged.write_bytes(data)
    refused = scalmarl("resume", str(longer.path), "--rounds", str(ROUNDS + 1))
    assert refused.returncode == 1
    assert str(damaged) in refused.stderr
    # The last commit may end a process before it has put its file away.
    archived = int(refused.stderr.rpartition("--from-round ")[2])
    assert archived in (ROUNDS - 2, ROUNDS - 1)
    before = sorted(path.stat().st_mtime_ns for path in longer.path.rglob("*.round"))
    useless = scalmarl("resume", str(longer.path), "--from-round", str(archived), "--rounds", "10")
    assert useless.returncode == 2
    assert sorted(path.stat().st_mtime_ns for path in longer.path.rglob("*.round")) == before, "refused, nothing lost"
    back = start(
        "longer", str(longer.path), "--from-round", str(archived), "--rounds", str(ROUNDS), command=("resume",)
    )
    assert back.end() == 0, back.words
    assert digest(scalmarl, longer.path) == digest(scalmarl, calm.path)
