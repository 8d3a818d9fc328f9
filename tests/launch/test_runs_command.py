"""``scalmarl runs``: what it lists, exports and deletes, and what it refuses to."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scalmarl.launch.cli import main
from scalmarl.launch.event_file import can_write
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import RunDirectory, hold


def run_command(*words: str | Path, **how: Any) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], **how)


@pytest.fixture
def place(calm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``runs/a``, ``runs/grid/cells/b``, and ``runs/latest`` that leads to ``a``."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "grid/cells/b"):
        path = tmp_path / "runs" / name
        path.mkdir(parents=True)
        for file in calm.path.iterdir():
            if file.is_file():
                shutil.copy(file, path / file.name)
    (tmp_path / "runs" / "latest").symlink_to("a")
    return tmp_path


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_every_run_is_listed_once_also_those_of_grids(place: Path) -> None:
    found = json.loads(run_command("runs", "list", "--json").stdout)["runs"]
    assert [row["run"] for row in found] == ["runs/a", "runs/grid/cells/b"]
    last = read_lines(place / "runs" / "a" / "metrics.jsonl")[-1]
    for row in found:
        assert (row["state"], row["round"], row["rounds"], row["problem"]) == ("finished", 40, 40, None)
        assert (row["task"], row["algo"], row["agents"], row["kappa"]) == ("safe-manyant:3x1", "scal-mappo-l", 3, 1)
        assert (row["env_steps"], row["return_rate"]) == (last["env_steps"], last["return_rate"])
    words = run_command("runs", "list").stdout
    assert "grid/cells/b" in words
    assert "40/40" in words


def test_a_run_that_cannot_be_read_is_listed_with_the_reason(place: Path) -> None:
    (place / "runs" / "a" / "plan.json").write_text("{}")
    rows = json.loads(run_command("runs", "list", "--json").stdout)["runs"]
    assert "of another version" in rows[0]["problem"]
    assert rows[1]["problem"] is None
    assert "plan.json is damaged" in run_command("runs", "list").stdout
    assert run_command("runs", "show", "runs/a").exit_code == 3


def test_an_empty_place_says_so(tmp_path: Path) -> None:
    assert "no run under" in run_command("runs", "list", tmp_path).stdout


def test_show_tells_one_run(place: Path) -> None:
    words = run_command("runs", "show").stdout
    for needed in ("40 of 40", "safe-manyant:3x1", "scal-mappo-l, 3 agents, kappa 1, seed 0", "torch"):
        assert needed in words


def test_a_link_to_the_latest_that_leads_nowhere_is_named(place: Path) -> None:
    shutil.rmtree(place / "runs" / "a")
    answer = run_command("ps")
    assert answer.exit_code == 3
    assert "runs/latest points to a, which is not there" in answer.stderr
    assert "runs list" in answer.stderr


def test_rm_deletes_and_the_link_names_the_newest_left(place: Path) -> None:
    shutil.copytree(place / "runs" / "a", place / "runs" / "b")
    answer = run_command("runs", "rm", "runs/latest", "--yes")
    assert answer.exit_code == 0, answer.output
    assert sorted(path.name for path in (place / "runs").iterdir()) == ["b", "grid", "latest"]
    assert os.readlink(place / "runs" / "latest") == "b"
    assert run_command("runs", "rm", "runs/b", "--yes").exit_code == 0
    assert [path.name for path in (place / "runs").iterdir()] == ["grid"]


def test_rm_asks_and_no_is_no(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = run_command("runs", "rm", "runs/a")
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    monkeypatch.setattr("scalmarl.launch.runs_command.asks", lambda: True)
    answer = run_command("runs", "rm", "runs/a", input="n\n")
    assert "delete 1 run?" in answer.stdout
    assert (place / "runs" / "a" / "run.json").exists()
    assert run_command("runs", "rm", "runs/a", input="y\n").exit_code == 0
    assert not (place / "runs" / "a").exists()


def test_rm_refuses_a_live_run_and_what_is_no_run(place: Path) -> None:
    lock = hold(place / "runs" / "a" / "lock")
    assert lock is not None
    answer = run_command("runs", "rm", "runs/grid/cells/b", "runs/a", "--yes")
    os.close(lock)
    assert answer.exit_code == 2
    assert "runs/a is live" in answer.stderr
    assert (place / "runs" / "grid" / "cells" / "b").exists(), "nothing is deleted where one is refused"
    for path in ("runs", "runs/grid", "nowhere"):
        assert run_command("runs", "rm", path, "--yes").exit_code == 3
    assert (place / "runs" / "grid").exists()


def test_tables_have_a_row_per_round_and_per_agent_with_the_figures_of_the_files(place: Path) -> None:
    answer = run_command("runs", "export", "runs/a", "runs/grid/cells/b", "-o", "tables")
    assert answer.exit_code == 0, answer.output
    rounds, agents = (table(place / "tables" / f"{name}.csv") for name in ("rounds", "agents"))
    wanted = read_lines(place / "runs" / "a" / "metrics.jsonl")
    assert (len(rounds), len(agents)) == (2 * len(wanted), 2 * 3 * len(wanted))
    assert {row["run"] for row in rounds} == {"runs/a", "runs/grid/cells/b"}
    for row, line in zip(rounds, wanted):
        assert (int(row["round"]), int(row["env_steps"])) == (line["round"], line["env_steps"])
        assert float(row["return/rate"]) == line["return_rate"]
        assert row["return/team"] == ("" if line["return_team"] is None else str(line["return_team"]))
    for row in agents[:9]:
        line, agent = wanted[int(row["round"])], int(row["agent"])
        assert float(row["update/kl"]) == line["kl_agent"][agent]
        assert row["update/bound"] == line["bound_agent"][agent]
        assert float(row["cost/estimate"]) == line["cost_estimate_agent"][agent]


def test_parquet_holds_the_same_table(place: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="comes with the extra 'parquet'")
    for form in ("csv", "parquet"):
        assert run_command("runs", "export", "runs/a", "-o", "tables", "--format", form).exit_code == 0
    for name in ("rounds", "agents"):
        there = parquet.read_table(place / "tables" / f"{name}.parquet").to_pylist()
        texts = table(place / "tables" / f"{name}.csv")
        assert len(there) == len(texts)
        for row, text in zip(there, texts):
            assert row.keys() == text.keys()
            for column, value in row.items():
                same = text[column] == ("" if value is None else str(value))
                assert same or math.isclose(float(text[column]), value), column


def test_events_of_a_run_that_has_none_can_be_made(place: Path) -> None:
    if not can_write():
        pytest.skip("tensorboardX comes with the extra 'tensorboard'")
    answer = run_command("runs", "export", "runs/a", "-o", "tb", "--format", "tensorboard")
    assert answer.exit_code == 0, answer.output
    assert len(list((place / "tb" / "a").glob("events.out.tfevents.*"))) == 1


@pytest.mark.parametrize(("module", "form"), [("pyarrow", "parquet"), ("tensorboardX", "tensorboard")])
def test_a_format_whose_package_is_missing_names_the_extra(
    module: str, form: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("scalmarl.launch.exporting.can_write", lambda: False)
    answer = run_command("runs", "export", "runs/a", "-o", "out", "--format", form)
    assert answer.exit_code == 2
    assert "which is not installed" in answer.stderr
    assert f"[{form}]" in answer.stderr
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    "form",
    [
        "csv",
        pytest.param(
            "tensorboard", marks=pytest.mark.skipif(not can_write(), reason="the extra tensorboard is not installed")
        ),
    ],
)
def test_an_export_below_a_file_is_refused(form: str, place: Path) -> None:
    (place / "file").write_text("precious")
    answer = run_command("runs", "export", "runs/a", "-o", "file/x", "--format", form)
    assert answer.exit_code == 2, answer.output
    assert "-o file/x" in answer.stderr
    assert "cannot be made (Not a directory)" in answer.stderr


def test_nothing_recorded_is_nothing_to_export(place: Path) -> None:
    (place / "runs" / "a" / "metrics.jsonl").unlink()
    answer = run_command("runs", "export", "runs/a", "-o", "out")
    assert (answer.exit_code, (place / "out").exists()) == (2, False)


def test_a_death_while_deleting_leaves_no_half_of_a_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scalmarl.launch import run_list

    def dies(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_list.shutil, "rmtree", dies)
    with pytest.raises(KeyboardInterrupt):
        run_list.remove(RunDirectory(place / "runs" / "a"))
    assert not (place / "runs" / "a").exists()
    assert [run.path.name for run in run_list.runs_under(place / "runs")] == ["b"]
