"""Figures of made-up runs whose numbers are known by hand, and of a real one; files that hold their command."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

pytest.importorskip("matplotlib", reason="the extra plot is not installed")

from PIL import Image

from scalmarl.launch.figures import style as figures_style
from scalmarl.launch.figures.data import find_figures
from scalmarl.launch.figures.draw import log_ticks, same_lines
from scalmarl.launch.figures.runs import Gathered, gather, read_run
from scalmarl.launch.figures.style import bytes_words, looks
from scalmarl.launch.records import PARTS, read_lines
from scalmarl.launch.run_statistics import middle_round

ROUNDS = 4
MadeUp = Callable[..., Path]
Call = Callable[..., Result]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# ---- numbers ----


def test_curves_hold_the_mean_over_seeds_the_limit_and_the_deaths(made_up: MadeUp, call: Call, tmp_path: Path) -> None:
    runs = [made_up(tmp_path / f"s{seed}", seed=seed, returns=[seed, seed + 6.0, None, 9.0 * seed], deaths=[seed])
            for seed in range(3)]  # fmt: skip
    assert call("plot", *runs, "-o", tmp_path / "f", "--format", "svg", "--only", "curves").exit_code == 0
    rows = table(tmp_path / "f" / "curves.csv")
    returns = [row for row in rows if row["measure"] == "return"]
    assert [float(row["env_steps"]) for row in returns] == [4.0, 12.0, 28.0], "middles of bins in which episodes ended"
    assert [float(row["iqm"]) for row in returns] == [1.0, 7.0, 9.0]
    assert [(float(row["low"]), float(row["high"])) for row in returns] == [(0.0, 2.0), (6.0, 8.0), (0.0, 18.0)]
    assert {row["seeds"] for row in returns} == {"3"}
    assert {row["iqm"] for row in rows if row["measure"] == "cost"} == {"3.0"}, "of agents with 2, 3 and 4"
    assert {row["iqm"] for row in rows if row["measure"] == "largest_cost"} == {"4.0"}
    assert [row["env_steps"] for row in rows if row["measure"] == "death"] == ["0.0", "8.0", "16.0"]
    assert [row["iqm"] for row in rows if row["measure"] == "limit"] == ["5.0"]


def test_a_cost_that_all_agents_share_is_told_once(made_up: MadeUp, tmp_path: Path) -> None:
    run = read_run(made_up(tmp_path / "r", agents=1, kappa=0))
    found, _ = find_figures(Gathered([run]).worlds(), 0.1, ("curves",))
    assert "largest_cost" not in {row["measure"] for row in found[0].rows}


def test_kappa_stands_beside_those_that_hear_nobody_and_everybody(made_up: MadeUp, tmp_path: Path) -> None:
    for kappa in (0, 1, 2):
        made_up(tmp_path / f"k{kappa}", kappa=kappa, returns=[10.0 * kappa] * ROUNDS)
    made_up(tmp_path / "all", algorithm="mappo-l", kappa=2, returns=[30.0] * ROUNDS)
    made_up(tmp_path / "own", algorithm="ippo", kappa=0, returns=[-1.0] * ROUNDS, cost=60.0)
    found, lacking = find_figures(gather(sorted(tmp_path.iterdir())).worlds(), 0.1)
    rows = {one.name: one.rows for one in found}
    returns = [
        (row["label"], row["role"], row["kappa"], row["iqm"]) for row in rows["kappa"] if row["measure"] == "return"
    ]
    assert sorted(returns) == [
        ("ippo", "independent", 0, -1.0), ("mappo-l", "full state", 2, 30.0), ("scal-mappo-l", "kappa", 0, 0.0),
        ("scal-mappo-l", "kappa", 1, 10.0), ("scal-mappo-l", "kappa", 2, 20.0),
    ]  # fmt: skip
    assert {row["label"] for row in rows["multipliers"]}.isdisjoint({"ippo, kappa 0"}), "it charges no cost"
    sizes = rows["bytes-kappa"]
    assert [row["measured_mean"] for row in sizes] == [row["predicted_mean"] for row in sizes]
    assert sizes[-1]["measured_mean"] == sizes[-1]["all_to_all_mean"], "kappa 2 of 3 agents is everybody"
    assert list(lacking) == ["improvement", "profiles", "bytes-agents"]


def test_bytes_do_not_grow_with_the_agents_at_fixed_kappa(made_up: MadeUp, tmp_path: Path) -> None:
    for agents in (12, 18, 24):
        made_up(tmp_path / f"n{agents}", agents=agents)
    found, _ = find_figures(gather(sorted(tmp_path.iterdir())).worlds(), 0.1, ("bytes-agents",))
    rows = found[0].rows
    assert [row["agents"] for row in rows] == [12, 18, 24]
    assert len({row["measured_most"] for row in rows}) == 1
    everybody = [row["all_to_all_most"] for row in rows]
    assert everybody[0] < everybody[1] < everybody[2]


def test_the_scatter_has_every_run_and_the_mean_of_its_group(made_up: MadeUp, tmp_path: Path) -> None:
    for seed in range(3):
        made_up(tmp_path / f"s{seed}", seed=seed, returns=[float(seed)] * ROUNDS, cost=seed)
    found, _ = find_figures(gather(sorted(tmp_path.iterdir())).worlds(), 0.1, ("tradeoff",))
    each = [(row["seed"], row["return_iqm"], row["cost_iqm"]) for row in found[0].rows]
    assert each == [(0, 0.0, 1.0), (1, 1.0, 2.0), (2, 2.0, 3.0), (None, 1.0, 2.0), (None, None, 5.0)]
    (middle,) = [row for row in found[0].rows if row["seed"] is None and row["label"] != "limit"]
    assert (middle["return_low"], middle["return_high"], middle["cost_low"], middle["cost_high"]) == (
        0.0,
        2.0,
        1.0,
        3.0,
    )


def test_improvement_and_profiles_are_of_groups_with_three_seeds(made_up: MadeUp, tmp_path: Path) -> None:
    for seed in range(3):
        made_up(tmp_path / f"a{seed}", seed=seed, returns=[4.0 + seed] * ROUNDS, cost=1.0)
        made_up(tmp_path / f"b{seed}", seed=seed, kappa=2, returns=[5.0 + seed] * ROUNDS, cost=1.0 - seed)
    made_up(tmp_path / "alone", algorithm="ippo", kappa=0)
    found, _ = find_figures(gather(sorted(tmp_path.iterdir())).worlds(), 0.1, ("improvement", "profiles"))
    rows = {one.name: one.rows for one in found}
    a, b = "scal-mappo-l, kappa 1", "scal-mappo-l, kappa 2"
    shares = {(row["label"], row["other"], row["measure"]): row["share"] for row in rows["improvement"]}
    assert shares == pytest.approx(
        {(a, b, "return"): 2 / 9, (b, a, "return"): 7 / 9, (a, b, "cost"): 1.5 / 9, (b, a, "cost"): 7.5 / 9}
    )
    of_b = [row["share"] for row in rows["profiles"] if (row["label"], row["measure"]) == (b, "return")]
    assert (of_b[0], of_b[-1], sorted(of_b, reverse=True)) == (1.0, 0.0, of_b)
    assert rows["profiles"][-1]["level"] == 5.0, "the limit"


def test_the_results_are_a_table_for_a_paper(made_up: MadeUp, call: Call, tmp_path: Path) -> None:
    for seed in range(3):
        made_up(tmp_path / f"s{seed}", seed=seed, returns=[1000.0 * (1 + seed)] * ROUNDS)
    made_up(tmp_path / "other", algorithm="ippo", kappa=0)
    paths = [tmp_path / name for name in ("s0", "s1", "s2", "other")]
    answer = call("plot", *paths, "-o", tmp_path / "f", "--only", "results")
    assert answer.exit_code == 0, answer.output
    assert {path.name for path in (tmp_path / "f").iterdir()} == {"results.md", "results.tex", "results.csv"}
    with (tmp_path / "f" / "results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["measure"] == "return"]
    three, one = rows
    assert {name: float(three[name]) for name in ("iqm", "mean", "median", "low", "high")} == {
        "iqm": 2000.0, "mean": 2000.0, "median": 2000.0, "low": 1000.0, "high": 3000.0,
    }  # fmt: skip
    assert (one["label"], one["seeds"], one["low"]) == ("ippo, kappa 0", "1", "")
    assert "| scal-mappo-l | 1 | 3 | 2,000 [1,000, 3,000] |" in (tmp_path / "f" / "results.md").read_text()
    body = (tmp_path / "f" / "results.tex").read_text().split(r"\midrule")[1].split(r"\bottomrule")[0]
    first, second = body.strip().splitlines()
    assert first.startswith(r"scal-mappo-l & 1 & 3 & 2,000 {\footnotesize [1,000, 3,000]} & 3.00")
    assert first.count("&") == second.count("&") == 7
    assert "[" not in second, "one seed has no interval"


def test_a_round_is_split_over_the_middle_half_and_without_the_first() -> None:
    lines = [
        {"wall_s": wall, "spent_agent": [dict.fromkeys(PARTS, wall / 8), None, dict.fromkeys(PARTS, wall / 4)],
         "spent_sim": dict.fromkeys(PARTS, wall / 2)}
        for wall in (99.0, 1.0, 4.0, 8.0, 50.0)
    ]  # fmt: skip
    found = middle_round(lines)
    assert found["sim server"] == dict.fromkeys(PARTS, 3.0)
    assert found["agents"] == dict.fromkeys(PARTS, 1.125), "an absent agent does not count"
    assert middle_round(lines[:1])["sim server"]["update"] == 49.5


def test_multipliers_that_are_the_same_for_all_are_one_line() -> None:
    rows = [{"agent": agent, "cost": 0, "round": round, "multiplier": 0.5} for agent in range(3) for round in range(2)]
    assert {name: len(own) for name, own in same_lines(rows).items()} == {"every agent": 2}
    other = [*rows, {"agent": 3, "cost": 0, "round": 0, "multiplier": 0.1}]
    assert list(same_lines(other)) == ["agent 0", "agent 1", "agent 2", "agent 3"]
    two = [*rows, *({**row, "cost": 1, "multiplier": float(row["agent"])} for row in rows)]
    assert list(same_lines(two)) == ["every agent, cost 0", *(f"agent {agent}, cost 1" for agent in range(3))]


# ---- groups ----


def test_runs_that_differ_in_a_setting_are_told_apart_by_it(made_up: MadeUp, tmp_path: Path) -> None:
    paths = [made_up(tmp_path / "a"), made_up(tmp_path / "b", seed=1), made_up(tmp_path / "c", clip=0.1)]
    (world,) = gather([*paths, paths[0]]).worlds()
    assert [(group.label, len(group.runs)) for group in world.groups] == [
        ("scal-mappo-l, kappa 1, clip 0.2", 2), ("scal-mappo-l, kappa 1, clip 0.1", 1)
    ]  # fmt: skip


def test_a_repetition_is_no_further_seed(made_up: MadeUp, tmp_path: Path) -> None:
    short = made_up(tmp_path / "short", returns=[1.0, 2.0])
    paths = [short, made_up(tmp_path / "b", seed=1), made_up(tmp_path / "long")]
    found = gather(paths)
    assert [run.path.name for run in found.runs] == ["b", "long"]
    assert found.left_out == [(str(short), f"it is a repetition of {paths[2]}: the same configuration and seed")]
    older = short / "config.toml"
    kept = older.read_text()
    assert "cost_truncation_error = 0.0\n" in kept
    older.write_text(kept.replace("cost_truncation_error = 0.0\n", ""))
    assert len(gather(paths).runs) == 2, "of a version that had no such key yet"
    masked = short / "metrics.jsonl"
    masked.write_text("".join(json.dumps({**line, "absent": [1]}) + "\n" for line in read_lines(masked)))
    assert len(gather(paths).runs) == 3, "without agent 1 the bits were others"
    config = paths[2] / "config.toml"
    config.write_text(config.read_text().replace('schedule = "wavefront"', 'schedule = "serial"'))
    labels = [group.label for group in gather(paths).worlds()[0].groups]
    assert labels == ["scal-mappo-l, kappa 1, schedule wavefront", "scal-mappo-l, kappa 1, schedule serial"]


def test_a_group_is_cut_to_the_rounds_that_all_have(made_up: MadeUp, tmp_path: Path) -> None:
    paths = [made_up(tmp_path / "a"), made_up(tmp_path / "b", seed=1, returns=[1.0, 2.0])]
    (group,) = gather(paths).worlds()[0].groups
    assert group.rounds == 2
    assert [len(group.lines(run)) for run in group.runs] == [2, 2]


def test_worlds_of_other_sizes_have_files_of_their_own(made_up: MadeUp, tmp_path: Path) -> None:
    paths = [made_up(tmp_path / "a", agents=2), made_up(tmp_path / "b", agents=3)]
    found, _ = find_figures(gather(paths).worlds(), 0.1, ("curves",))
    assert [one.name for one in found] == ["curves-toy2", "curves-toy3"]


def test_a_plan_from_before_agents_could_be_absent_is_read(made_up: MadeUp, tmp_path: Path) -> None:
    path = made_up(tmp_path / "old") / "plan.json"
    data = json.loads(path.read_text())
    del data["absent"], data["on_loss"]
    path.write_text(json.dumps(data))
    assert read_run(path.parent).plan.absent == ()


# ---- files ----


def test_figures_hold_their_command_and_no_time_and_touch_nothing_else(
    made_up: MadeUp, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made_up(tmp_path / "run", deaths=[1])
    out = tmp_path / "f"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    (out / "wall-time.png").write_text("an older one")
    monkeypatch.setattr("sys.argv", ["scalmarl", "plot", "a run"])
    answer = call("plot", run, "-o", out, "--width", "86mm", "--json")
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert [one["name"] for one in told["figures"]] == ["results", "curves", "tradeoff", "wall-time", "multipliers"]
    left_out = {one["what"] for one in told["left_out"]}
    assert left_out == {"improvement", "profiles", "kappa", "bytes-kappa", "bytes-agents"}
    assert {Path(path).name for path in told["files"]} | {"mine.txt"} == {path.name for path in out.iterdir()}
    assert (out / "mine.txt").read_text() == "mine"
    command = "scalmarl plot 'a run'"
    with Image.open(out / "wall-time.png") as picture:
        assert picture.info["Source"] == command
        assert picture.info["Description"] == "Wall time of a round, toy, 3 agents; 1 seed"
        assert picture.width == round(86 / 25.4 * figures_style.DPI)
    assert f"({command})".encode() in (out / "curves.pdf").read_bytes().replace(b"\\", b"")
    assert f"<dc:source>{command}</dc:source>" in (out / "curves.svg").read_text()
    before = {path: path.read_bytes() for path in out.iterdir()}
    assert call("plot", run, "-o", out, "--width", "86mm", "--only", "curves").exit_code == 0
    assert before == {path: path.read_bytes() for path in out.iterdir()}, "the same bytes the second time"


def test_looks_differ_in_more_than_colour() -> None:
    found = looks(f"line {i}" for i in range(12))
    assert len({(look.linestyle, look.marker) for look in found.values()}) == 12
    assert len({look.color for look in found.values()}) == 12


def test_ticks_are_plain() -> None:
    assert log_ticks(16_000.0, 110_000.0) == [20_000.0, 50_000.0, 100_000.0]
    assert log_ticks(1_000.0, 5e6) == [1e3, 1e4, 1e5, 1e6]
    assert [bytes_words(size) for size in (0.0, 500.0, 20_000.0, 1.25e6)] == ["0 B", "500 B", "20 kB", "1.25 MB"]


# ---- problems ----


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["plot", "{tmp}/nothing"], 3, "neither a run directory"),
        (["plot", "{tmp}/empty"], 2, "has no finished round"),
        (["plot", "{tmp}/old"], 2, "has no bytes_agent; another version of scalmarl (0.0.1) wrote it"),
        (["plot", "{tmp}/run", "-o", "{tmp}/run/run.json"], 2, "is a file"),
        (["plot", "{tmp}/run", "-o", "{tmp}/full", "--only", "curves", "--format", "png"], 2, "it is a directory"),
        (["plot", "{tmp}/run", "--only", "curve"], 2, "unknown figure 'curve'"),
        (["plot", "{tmp}/run", "--format", "jpg"], 2, "unknown format 'jpg'"),
        (["plot", "{tmp}/run", "--width", "1cm"], 2, "not between 2 and 20 inches"),
        (["plot", "{tmp}/run", "--only", "kappa"], 2, "at least two values of kappa"),
        (["report", "{tmp}/run", "-o", "{tmp}/report.pdf"], 2, "does not end in .html"),
        (["report", "{tmp}/nothing"], 3, "neither a run directory"),
        (["report", "{tmp}/run", "-o", "{tmp}/folder.html"], 2, "it is a directory"),
    ],
)
def test_a_mistake_is_told(made_up: MadeUp, call: Call, tmp_path: Path, words: list[str], code: int, said: str) -> None:
    made_up(tmp_path / "run")
    made_up(tmp_path / "empty", returns=[])
    made_up(tmp_path / "old", without=["bytes_agent"])
    (tmp_path / "full" / "curves.png").mkdir(parents=True)
    (tmp_path / "folder.html").mkdir()
    answer = call(*(word.format(tmp=tmp_path) for word in words))
    assert answer.exit_code == code, answer.output
    assert said in answer.output
    if "width" not in "".join(words):
        assert "hint: " in answer.output


def test_a_figure_whose_numbers_an_older_run_lacks_is_left_out(made_up: MadeUp, call: Call, tmp_path: Path) -> None:
    run = made_up(tmp_path / "run", without=["spent_sim"])
    answer = call("plot", run, "-o", tmp_path / "f", "--format", "png", "--only", "wall-time,tradeoff")
    assert answer.exit_code == 0
    assert f"left out: wall-time: the metrics of {run} lack spent_sim" in answer.output


def test_without_the_extra_it_says_what_to_install(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures_style, "find_spec", lambda name: None if name == "matplotlib" else True)
    for command in ("plot", "report"):
        answer = call(command, tmp_path)
        assert answer.exit_code == 4
        assert f"{command} needs matplotlib" in answer.output
        assert "pip install 'scalmarl[plot]'" in answer.output


# ---- a real run ----


def test_a_real_run_is_plotted_and_reported(call: Call, calm: Any, tmp_path: Path) -> None:
    path = calm.path
    answer = call("plot", path, "-o", tmp_path, "--format", "svg", "--json")
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert [one["name"] for one in told["figures"]] == ["results", "wall-time", "multipliers"]
    assert {one["what"]: one["why"] for one in told["left_out"]}["curves"] == "no episode has ended in these runs"
    assert call("report", path, "-o", tmp_path / "report.html").exit_code == 0
    state = read_run(path).state
    assert state["hardware"]
    assert "commit" in state
