"""A grid of runs: its cells, its figures in closed form, and real cells that are interrupted, skipped and failed."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from scalmarl.launch import option_types
from scalmarl.launch.comparison.grid import Asked, Cell, Grid, build, read_grid, take_lock
from scalmarl.launch.comparison.run import duration_words, standing
from scalmarl.launch.errors import UsageProblem

WITHIN_S = 60.0
SMALL = ("--agents", "2", "--set", "world.envs=4", "--set", "world.steps=8", "--set", "world.horizon=16")


# ---- the grid ----


def grid_of(path: Path, **asked: Any) -> Grid:
    return build(path, Asked(**{"algorithms": ("scal-mappo-l",), "env_steps": 10_000, **asked}))


def test_an_algorithm_without_kappa_has_one_cell_a_seed(tmp_path: Path) -> None:
    algorithms = ("scal-mappo-l", "mappo-l", "ippo", "mappo-l")
    grid = grid_of(tmp_path, algorithms=algorithms, kappas=(2, 0, 2), seeds=(1, 0, 1))
    names = [cell.name for cell in grid.cells()]
    assert names == [
        "scal-mappo-l-k0-s0", "scal-mappo-l-k0-s1", "scal-mappo-l-k2-s0", "scal-mappo-l-k2-s1",
        "mappo-l-s0", "mappo-l-s1", "ippo-s0", "ippo-s1",
    ]  # fmt: skip
    assert [cell.sight for cell in grid.cells()][3:7:1] == ["2", "all", "all", "0"]
    assert "--kappa" not in grid.launch_words(Cell("ippo", None, 0))


def test_environment_steps_become_whole_rounds(tmp_path: Path) -> None:
    sized = ("world.envs=4", "world.steps=8")
    assert grid_of(tmp_path, env_steps=96, assignments=sized).rounds == 3
    assert grid_of(tmp_path, env_steps=97, assignments=sized).rounds == 4


def test_a_stored_grid_is_extended_but_not_contradicted(tmp_path: Path) -> None:
    grid_of(tmp_path, kappas=(1,), seeds=(0,), flags={"world.limit": 5.0}).write()
    stored = read_grid(tmp_path)
    assert stored == build(tmp_path, Asked())
    more = build(tmp_path, Asked(kappas=(2,), seeds=(3,), env_steps=20_000, assignments=("world.limit=5.0",)), "again")
    assert (more.kappas, more.seeds, more.env_steps, more.commands) == ((1, 2), (0, 3), 20_000, ("again",))
    for asked, words in (
        (Asked(flags={"world.task": "cheetahs"}), "world.task is 'safe-manyant' there, 'cheetahs' here"),
        (Asked(assignments=("learner.clip=0.3",)), "learner.clip is 0.2 there, 0.3 here"),
        (Asked(flags={"world.reward": "team"}), "world.reward is the default there, 'team' here"),
        (Asked(env_steps=10), "--env-steps is 10,000 there, only 10 here"),
    ):
        with pytest.raises(UsageProblem, match=words) as problem:
            build(tmp_path, asked)
        assert "another directory" in problem.value.hint


def test_another_runs_file_does_not_decide_what_the_grid_decides(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[run]\nkappa = 7\nseed = 5\nrounds = 9\n[learner]\nclip = 0.3\n", encoding="utf-8")
    grid = grid_of(tmp_path / "grid", file=file)
    assert (grid.kappas, grid.seeds, grid.settings.learner.clip) == ((2,), (0, 1, 2), 0.3)
    with pytest.raises(UsageProblem, match=r"run\.seed: the grid decides it"):
        grid_of(tmp_path / "grid", assignments=("run.seed=3",))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"algorithms": ()}, "--algo is missing"),
        ({"env_steps": None}, "--env-steps is missing"),
        ({"algorithms": ("mapo",)}, "unknown algorithm 'mapo'"),
        ({"env_steps": 0}, "not at least 1"),
    ],
)
def test_what_a_new_grid_lacks_is_said(asked: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match=words):
        grid_of(tmp_path / "new", **asked)


def test_a_configuration_that_cannot_be_is_said_with_its_cell(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match=r"cell scal-mappo-l-k2-s0: .*grid:3x3"):
        grid_of(tmp_path, flags={"run.graph": "grid:3x3"}).check()


def test_a_cell_of_other_settings_is_refused(tmp_path: Path) -> None:
    grid = grid_of(tmp_path, seeds=(0,))
    run = grid.run(grid.cells()[0])
    run.path.mkdir(parents=True)
    run.config.write_text("[learner]\nclip = 0.7\nof_another_version = 1\n", encoding="utf-8")
    with pytest.raises(UsageProblem, match=r"learner\.clip 0\.7, not 0\.2\)"):
        grid.check()


def test_a_grid_of_a_world_from_outside_remembers_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scalmarl: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Asked(flags={"world.task": "mine:make"}).named()["world.directory"] == str(tmp_path)
    assert "world.directory" not in Asked(flags={"world.task": "safe-ant:4x2"}).named()
    both = scalmarl("compare", str(tmp_path / "grid"), "--world", "mine:make", "--task", "cheetahs")
    assert both.returncode == 2
    assert "leave one out" in both.stderr


def test_one_compare_at_a_time(tmp_path: Path) -> None:
    take_lock(tmp_path)
    with pytest.raises(UsageProblem, match="another compare is at work"):
        take_lock(tmp_path)


def test_times_are_read_and_said() -> None:
    read: Callable[..., float | None] = option_types.seconds
    assert [read(None, None, text) for text in ("90m", "2h", "1h30m", "45s")] == [5400, 7200, 5400, 45]
    assert [duration_words(seconds) for seconds in (12, 200, 7500)] == ["12 s", "3 min 20 s", "2 h 05 min"]


# ---- real cells ----


def nobody_is_left(grid: Path) -> None:
    deadline = time.monotonic() + 10.0
    left = {
        process["pid"] for run in grid.glob("cells/*/run.json") for process in json.loads(run.read_text())["processes"]
    }
    while any(psutil.pid_exists(pid) for pid in left if pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def wait_for_round(grid: Grid, cell: Cell, compare: Any) -> None:
    deadline = time.monotonic() + WITHIN_S
    while standing(grid, cell)[1] < 1:
        assert compare.process.poll() is None, compare.said.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_interrupted_grid_goes_on_and_finished_cells_are_not_run_again(
    start: Any, scalmarl: Any, tmp_path: Path
) -> None:
    where = tmp_path / "grid"
    asked = ("--algo", "scal-mappo-l", "--kappa", "0,1", "--seeds", "0", "--env-steps", "960")
    compare = start("compare", *asked, *SMALL, command=("compare", str(where)))
    first, second = Cell("scal-mappo-l", 0, 0), Cell("scal-mappo-l", 1, 0)
    deadline = time.monotonic() + WITHIN_S
    while (grid := read_grid(where)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    wait_for_round(grid, second, compare)
    assert standing(grid, first) == ("finished", 30)
    compare.process.send_signal(signal.SIGINT)
    assert compare.end() == 130, compare.words
    assert f"1 of 2 cells finished; go on with: scalmarl compare {where}" in compare.words
    assert standing(grid, second)[0] == "begun"
    nobody_is_left(where)

    before = (grid.run(first).state.stat().st_mtime_ns, grid.run(first).events.read_bytes())
    again = scalmarl("compare", str(where), "--json")
    assert again.returncode == 0, again.stderr
    assert "1 of 2 cells are finished already" in again.stderr
    assert (grid.run(first).state.stat().st_mtime_ns, grid.run(first).events.read_bytes()) == before
    document = json.loads(again.stdout)
    assert (document["schema"], document["finished"], document["window_rounds"]) == (1, 2, 10)
    assert [group["kappa"] for group in document["groups"]] == ["0", "1"]
    assert all(group["measures"]["return"]["iqm"] is not None for group in document["groups"])
    assert document == json.loads((where / "report.json").read_text(encoding="utf-8"))
    text = (where / "report.md").read_text(encoding="utf-8")
    assert "--kappa 0,1 --seeds 0" in text
    assert "torch" in text
    assert (where / "report.png").read_bytes().startswith(b"\x89PNG")
    nobody_is_left(where)


def test_a_failing_cell_is_told_and_the_others_go_on(scalmarl: Any, tmp_path: Path) -> None:
    where = tmp_path / "grid"
    grid = grid_of(where, kappas=(0,), seeds=(0, 1), env_steps=64, assignments=tuple(SMALL[3::2]),
                   flags={"run.agents": 2})  # fmt: skip
    grid.write()
    failing, other = grid.cells()
    grid.run(failing).path.write_text("a file stands where the run directory should be", encoding="utf-8")
    answer = scalmarl("compare", str(where))
    assert answer.returncode == 1, answer.stderr
    assert f"failed: {failing.name}: exit code 2, error: the run directory" in answer.stderr
    assert standing(grid, other) == ("finished", 2)
    assert "1 of 2" in answer.stdout
    assert standing(replace(grid, env_steps=96), other) == ("begun", 2), "a longer grid extends what is finished"
    nobody_is_left(where)
