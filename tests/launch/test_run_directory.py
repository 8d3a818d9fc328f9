"""Names, locks and how commands find a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scalmarl.launch.errors import NoSuchRun, UsageProblem
from scalmarl.launch.run_directory import RunDirectory, create, find
from scalmarl.launch.starting import first_state


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def live(run: RunDirectory) -> int:
    run.write_state({**first_state(3, "hash"), "processes": [{"name": "sim", "state": "running"}]})
    return run.take_lock()


def test_a_run_without_a_name_gets_one_and_becomes_the_latest() -> None:
    one, two = create(None, "ant8"), create(None, "ant8")
    assert one.path != two.path
    assert one.path.parent == Path("runs")
    assert "ant8" in one.path.name
    two.write_state({**first_state(3, "hash"), "state": "finished"})
    assert find(None).path == two.path
    assert find(Path("runs/latest")).read_state()["state"] == "finished"


def test_a_name_that_is_taken_is_refused_and_left_alone() -> None:
    Path("mine").mkdir()
    with pytest.raises(UsageProblem, match=r"mine exists already$"):
        create(Path("mine"), "x")
    run = create(Path("deep/in/there"), "x")
    lock = live(run)
    with pytest.raises(UsageProblem, match="exists already and belongs to a live run"):
        create(run.path, "x")
    os.close(lock)


def test_a_lock_is_held_by_one_and_freed_by_death() -> None:
    run = create(Path("mine"), "x")
    assert not run.is_live()
    lock = live(run)
    assert run.is_live()
    assert run.read_state()["state"] == "running"
    with pytest.raises(UsageProblem, match="belongs to a live run"):
        run.take_lock()
    os.close(lock)
    assert not run.is_live()
    state = run.read_state()
    assert (state["state"], state["processes"]) == ("failed", [{"name": "sim", "state": "exited"}])


def test_the_one_live_run_is_meant_else_the_latest_else_none() -> None:
    with pytest.raises(NoSuchRun, match="no run in runs/"):
        find(None)
    one, two = create(None, "a"), create(None, "b")
    locks = [live(one)]
    assert find(None).path == one.path
    locks.append(live(two))
    with pytest.raises(UsageProblem, match="2 runs are live"):
        find(None)
    for lock in locks:
        os.close(lock)
    assert find(None).path == two.path


@pytest.mark.parametrize("text", ["{}", "[]", "not json", '{"state": "running"}'])
def test_a_damaged_state_is_named(text: str) -> None:
    run = create(Path("mine"), "x")
    run.state.write_text(text)
    with pytest.raises(NoSuchRun, match=r"mine/run.json"):
        run.read_state()


def test_a_directory_in_the_place_of_the_link_is_left_alone() -> None:
    Path("runs/latest").mkdir(parents=True)
    with pytest.raises(UsageProblem, match=r"runs/latest is not the link"):
        create(None, "x")
    with pytest.raises(NoSuchRun, match="no run in runs/"):
        find(None)
    assert [path.name for path in Path("runs").iterdir()] == ["latest"]


def test_a_dangling_link_is_taken() -> None:
    Path("mine").symlink_to("nowhere")
    with pytest.raises(UsageProblem, match="mine exists already"):
        create(Path("mine"), "x")


def test_what_is_no_run_is_named() -> None:
    with pytest.raises(NoSuchRun, match="nowhere is no run directory"):
        find(Path("nowhere")).read_state()
