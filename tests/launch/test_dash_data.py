"""What the page is told, against the run's own files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scalmarl.launch.cli import main
from scalmarl.launch.dash.camera import Camera
from scalmarl.launch.dash.data import PageData, kept_states
from scalmarl.launch.dash.marks import places, spells
from scalmarl.launch.errors import MachineNotFit, TrainingFailed
from scalmarl.launch.records import GrowingLines, read_lines
from scalmarl.launch.run_directory import RunDirectory, read_plan
from scalmarl.launch.traffic import all_to_all_bytes, report

pytest.importorskip("starlette", reason="the page needs starlette (the extra 'web')")
pytest.importorskip("uvicorn", reason="the page needs uvicorn (the extra 'web')")


WALL_S = {0: 2.0, 1: 2.0, 2: 4.0}
LAUNCH = {"event": "launch", "time": 100.0, "process": None, "committed": 0}


def test_an_event_lies_where_its_time_falls_in_its_round() -> None:
    events = [LAUNCH, *({"event": "start", "time": 100.0 + t, "process": "sim"} for t in (1.0, 2.0, 5.0, 8.0, 9.0))]
    assert places(events, WALL_S) == [0.0, 0.5, 1.0, 2.25, 3.0, 3.0]


def test_a_death_names_its_round_itself() -> None:
    events = [LAUNCH, {"event": "death", "time": 109.0, "process": "agent/1", "round": 2}]
    assert places(events, WALL_S) == [0.0, 2.999]


def test_what_was_given_up_by_going_back_has_no_place() -> None:
    events = [
        LAUNCH,
        {"event": "start", "time": 105.0, "process": "sim"},
        {"event": "back to round", "time": 200.0, "process": None, "rounds": 1},
        {"event": "launch", "time": 300.0, "process": None, "committed": 1},
        {"event": "start", "time": 301.0, "process": "sim"},
    ]
    assert places(events, WALL_S) == [0.0, None, 1.0, 1.0, 1.5]


def test_events_of_a_run_that_never_said_when_it_began_have_no_place() -> None:
    assert places([{"event": "start", "time": 1.0, "process": "sim"}], WALL_S) == [None]


def test_who_was_away_for_how_long() -> None:
    story: list[tuple[dict[str, Any], float]] = [
        ({"event": "silent", "process": "agent/0"}, 1.5),
        ({"event": "death", "process": "agent/1"}, 2.0),
        ({"event": "beats again", "process": "agent/0"}, 2.25),
        ({"event": "back", "process": "agent/1"}, 2.5),
        ({"event": "death", "process": "agent/2"}, 3.0),
        ({"event": "regroup", "process": None, "absent": [2]}, 4.0),
        ({"event": "regroup", "process": None, "absent": []}, 6.0),
        ({"event": "death", "process": "sim"}, 6.5),
    ]
    found = spells([event for event, _ in story], [place for _, place in story])
    assert [(s["process"], s["what"], s["since"], s["until"]) for s in found] == [
        ("agent/0", "late", 1.5, 2.25), ("agent/1", "dead", 2.0, 2.5), ("agent/2", "dead", 3.0, 4.0),
        ("agent/2", "absent", 4.0, 6.0), ("sim", "dead", 6.5, None),
    ]  # fmt: skip


# ---- a file as it grows ----


def test_lines_come_once_and_a_torn_one_waits(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = GrowingLines(path)
    assert lines.new() == []
    path.write_text('{"round": 0}\n{"rou')
    assert (lines.new(), lines.is_anew) == ([{"round": 0}], True)
    with path.open("a") as file:
        file.write('nd": 1}\n')
    assert (lines.new(), lines.is_anew, lines.new()) == ([{"round": 1}], False, [])
    beside = tmp_path / "beside"
    beside.write_text('{"round": 0}\n')
    beside.replace(path)
    assert (lines.new(), lines.is_anew) == ([{"round": 0}], True)
    with path.open("a") as file:
        file.write("nonsense\n")
    with pytest.raises(TrainingFailed, match="line 2 is damaged"):
        lines.new()


def test_what_the_page_is_told_is_what_the_files_say(run: RunDirectory) -> None:
    data, plan, lines = PageData(run), read_plan(run), read_lines(run.metrics)
    about, news = data.about(), data.news()
    assert about["edges"] == [[0, 1], [1, 2]]
    assert about["all_to_all_bytes"] == [all_to_all_bytes(plan, agent) for agent in range(3)]
    columns = news["rounds"]["columns"]
    assert columns["round"] == [line["round"] for line in lines]
    assert columns["bytes_agent"] == [line["bytes_agent"] for line in lines]
    assert columns["kl_agent"] == [[pytest.approx(kl, rel=1e-5) for kl in line["kl_agent"]] for line in lines]
    for waves in columns["waves"]:
        assert sorted(agent for wave in waves for agent in wave) == [0, 1, 2]
        assert all(abs(a - b) > 1 for wave in waves for a in wave for b in wave if a != b)
    json.dumps(news, allow_nan=False)
    assert data.news() == {}


def test_the_bytes_of_the_edges_are_those_of_traffic(run: RunDirectory) -> None:
    news, whole = PageData(run).news(), report(run, read_plan(run))
    patterns, rounds = news["traffic"]["patterns"], news["traffic"]["of_round"]
    assert len(patterns) == 1
    told = {(source, to, kind): len(rounds) * bytes for source, to, kind, _, bytes in patterns[0]}
    names = {f"agent/{agent}": agent for agent in range(3)} | {"sim": 0xFFFE, "coordinator": 0xFFFF}
    kinds = {name: kind for kind, name in PageData(run).about()["kinds"].items()}
    assert told == {
        (names[pair["src"]], names[pair["dst"]], kinds[pair["kind"]]): pair["wire_bytes"] for pair in whole["pairs"]
    }


def test_an_older_run_and_one_with_several_costs(run: RunDirectory, tmp_path: Path) -> None:
    old = RunDirectory(tmp_path / "old")
    shutil.copytree(run.path, old.path)
    plan = json.loads(old.plan.read_text())
    del plan["absent"], plan["on_loss"]
    plan["task"]["cost_limits"] = [[5.0, 7.0]] * 3
    plan["task"]["cost_names"] = [["wall", "fall"]] * 3
    plan["task"]["standing_still_return"] = None
    old.plan.write_text(json.dumps(plan))
    for path, gone in ((old.metrics, ("absent", "bound_agent", "distance_rate", "wall_s")), (old.traffic, ("absent",))):
        lines = [{name: value for name, value in line.items() if name not in gone} for line in read_lines(path)]
        for line in lines:
            if "lambda_agent" in line:
                line["lambda_agent"] = [[0.5, float("nan")]] * 3
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = PageData(old)
    columns = data.news()["rounds"]["columns"]
    assert columns["bound_agent"][0] is None
    assert columns["lambda_agent"][0][1] == [0.5, None]
    assert data.about()["limits"] == ((5.0, 7.0),) * 3
    assert report(old, read_plan(old))["rounds"] == len(columns["round"])
    assert data.status()["state"] == "finished"


def test_no_run_is_told_in_three_parts(tmp_path: Path) -> None:
    said = CliRunner().invoke(main, ["dash", "--run", str(tmp_path)])
    assert (said.exit_code, "is no run directory" in said.output, "hint:" in said.output) == (3, True, True)


def test_the_camera_draws_a_kept_state_or_says_why_not(run: RunDirectory) -> None:
    data = PageData(run)
    camera = Camera(run, data.plan)
    try:
        assert camera.picture(kept_states(run)[-1])[:3] == b"\xff\xd8\xff"
        with pytest.raises(MachineNotFit, match="no picture of round 7777"):
            camera.picture(7777)
    except MachineNotFit as problem:
        pytest.skip(f"{problem.what}; {problem.hint}")
    finally:
        camera.close()


def test_without_a_graphics_library_the_camera_says_so(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    camera = Camera(run, read_plan(run))
    for _ in range(2):
        with pytest.raises(MachineNotFit, match="no graphics library works here"):
            camera.picture(0)
