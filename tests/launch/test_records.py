"""Rows of processes become lines of the run; what a death tore is mended, what was written stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scalmarl.launch.event_file import can_write
from scalmarl.launch.records import AGENT_FIGURES, RoundRecords, cut_torn_line, forget_after, note_event, read_lines
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.launch.traffic import report
from scalmarl.protocol.keys import COORDINATOR, SIM
from scalmarl.protocol.ledger import Totals
from scalmarl.protocol.round_files import process_directory, row_path
from scalmarl.protocol.standins import toy_plan

PLAN = toy_plan(((1,), (0,)), (0, 1), steps=3, copies=2)
SIM_FIGURES = {
    "return_team": None, "cost_team": None, "cost_agent": None, "distance": None, "episodes": 0, "return_rate": 1.0,
    "cost_rate_team": 2.0, "cost_rate_agent": [0.5, 1.5], "distance_rate": 3.0, "terminations": 0,
}  # fmt: skip
SPENT = {
    "work": {"sampling": 1.0, "critics": 2.0, "policy": 0.5}, "wait": {"sampling": 0.25, "saving": 0.125},
    "messages": {"sampling": 0.75, "saving": 0.0625},
}  # fmt: skip


def agent_figures(agent: int) -> dict[str, Any]:
    costs = PLAN.costs(agent)
    return {
        **dict.fromkeys(AGENT_FIGURES),
        "kl": 0.01, "kl_max": 0.1, "radius": 0.02, "bound": "epochs", "epochs": 5, "clip_fraction": 0.1,
        "policy_std": 0.4, "policy_entropy": 1.2, "explained_variance": [0.0] * (1 + costs),
        "sensitivity": [1.0] * costs, "cost_estimate": [7.0 + agent] * costs, "multiplier": [0.5] * costs,
        "sample_s": 1.0 + agent, "update_s": 2.0,
    }  # fmt: skip


def write_rows(run: RunDirectory, round: int) -> None:
    for process in PLAN.processes():
        path = row_path(process_directory(run.path, process), round)
        path.parent.mkdir(parents=True, exist_ok=True)
        figures = SIM_FIGURES if process == SIM else {} if process == COORDINATOR else agent_figures(process)
        sent = [[1 - process, 2, 8, 100, 200, 300], [SIM, 3, 6, 10, 20, 30]] if process in (0, 1) else []
        path.write_text(json.dumps({"round": round, "figures": figures, "sent": sent, "spent": SPENT}))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def test_a_committed_round_becomes_one_line_of_each_and_its_rows_go(run: RunDirectory) -> None:
    write_rows(run, 0)
    (line,) = RoundRecords(run, PLAN).catch_up(0)
    assert [line] == read_lines(run.metrics)
    assert (line["round"], line["env_steps"]) == (0, 6)
    assert line["bytes_agent"] == [330, 330]
    assert line["cost_estimate_agent"] == [[7.0], [8.0, 8.0]], "a list per cost where agents have several"
    assert (line["sample_s"], line["return_team"]) == (2.0, None)
    parts = {"sampling": 1.0, "update": 2.5, "wait_sampling": 0.25, "wait_update": 0.125, "messages": 0.8125}
    assert (line["spent_sim"], line["spent_agent"]) == (parts, [parts, parts])
    assert read_lines(run.traffic)[0]["sent"] == [
        [0, 1, 2, 8, 100, 200, 300], [0, SIM, 3, 6, 10, 20, 30],
        [1, 0, 2, 8, 100, 200, 300], [1, SIM, 3, 6, 10, 20, 30],
    ]  # fmt: skip
    assert not list(run.path.rglob("0*.json"))


def test_a_launcher_that_died_catches_up(run: RunDirectory) -> None:
    write_rows(run, 0)
    RoundRecords(run, PLAN).catch_up(0)
    for round in (1, 2):
        write_rows(run, round)
    again = RoundRecords(run, PLAN)
    assert again.recorded == 1
    assert [line["round"] for line in again.catch_up(2)] == [1, 2]
    assert [line["round"] for line in read_lines(run.metrics)] == [0, 1, 2]


def test_a_torn_line_and_a_line_without_its_partner_are_written_again(run: RunDirectory) -> None:
    for round in (0, 1):
        write_rows(run, round)
        RoundRecords(run, PLAN).catch_up(round)
    whole = run.metrics.read_bytes()
    first = whole.index(b"\n") + 1
    run.metrics.write_bytes(whole[: first + 20])
    write_rows(run, 1)
    assert read_lines(run.metrics) == read_lines(run.metrics)[:1]
    cut_torn_line(run.metrics)
    again = RoundRecords(run, PLAN)
    assert again.recorded == 1
    again.catch_up(1)
    assert [line["round"] for line in read_lines(run.metrics)] == [0, 1]
    assert [line["round"] for line in read_lines(run.traffic)] == [0, 1]


def test_repeats_are_told_only_once_every_round_is_recorded(run: RunDirectory, call: Any) -> None:
    """Until then the totals hold a round that is under way, whose first sendings are no repeats."""
    run.graph.write_text(json.dumps({"nodes": [{"id": 0}, {"id": 1}], "edges": [{"source": 0, "target": 1}]}))
    counted = Totals(PLAN, 0, memory := memoryview(bytearray(8 * Totals.size(PLAN, 0))).cast("Q"))
    for _ in range(4):
        counted.enter(1, 2, frame_bytes=500)
    run.plan.write_text(json.dumps(PLAN.to_data()))
    run.write_state({"state": "finished", "round": 3, "rounds": 3, "processes": [], "control": "", "pid": 0})
    told, hidden = [], []
    for round in range(PLAN.rounds):
        write_rows(run, round)
        (process_directory(run.path, 0) / "totals.bin").write_bytes(memory)
        RoundRecords(run, PLAN).catch_up(round)
        told += [pair["repeat_bytes"] for pair in report(run, PLAN)["pairs"] if pair["dst"] == "agent/1"]
        hidden.append("once all rounds are committed" in call("traffic", "--run", run.path).stdout)
    # 33 bytes of CURVE and 9 of ZMTP per frame; the first sendings of a round are 300 wire bytes.
    assert hidden == [True, True, False]
    assert told == [None, None, 4 * (500 + 33 + 9) - 3 * 300]


def test_going_back_forgets_later_lines(run: RunDirectory) -> None:
    for round in range(4):
        write_rows(run, round)
        RoundRecords(run, PLAN).catch_up(round)
    forget_after(run, PLAN, 2)
    assert [line["round"] for line in read_lines(run.metrics)] == [0, 1]
    assert RoundRecords(run, PLAN).recorded == 2


def test_events_are_appended_with_their_time(run: RunDirectory) -> None:
    note_event(run, "launch", rounds=3)
    note_event(run, "death", "agent/1", signal="SIGKILL")
    lines = read_lines(run.events)
    assert [(line["event"], line["process"]) for line in lines] == [("launch", None), ("death", "agent/1")]
    assert lines[1]["time"] >= lines[0]["time"] > 1e9


def test_an_event_after_a_torn_one_begins_a_line_of_its_own(run: RunDirectory) -> None:
    note_event(run, "launch")
    whole = run.events.read_bytes()
    run.events.write_bytes(whole + whole[:-20])
    cut_torn_line(run.events)
    note_event(run, "ready")
    assert [line["event"] for line in read_lines(run.events)] == ["launch", "ready"]


def test_an_event_file_that_cannot_be_written_is_told_once_and_costs_nothing_else(run: RunDirectory) -> None:
    run.tensorboard.write_text("in the way")
    records = RoundRecords(run, PLAN)
    for round in range(3):
        write_rows(run, round)
        assert len(records.catch_up(round)) == 1
    told = [line for line in read_lines(run.events) if line["event"] == "no event file"]
    assert len(told) == (1 if can_write() else 0)
    assert all("FileExistsError" in line["reason"] for line in told)
