"""The regression guard: when a change of a figure is one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scalmarl.launch.bench.ratios import Figure, compare, document, read_figures
from scalmarl.launch.errors import UsageProblem

Run = Callable[..., Any]


def figure(*values: float, better: str = "higher", name: str = "sampling", goal: float | None = None) -> Figure:
    return Figure(name, "ratio", better, values, goal)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ((0.50, 0.51, 0.52), (0.60, 0.61, 0.62), "better"),
        ((0.60, 0.61, 0.62), (0.50, 0.51, 0.52), "worse"),
        ((0.50, 0.55, 0.60), (0.59, 0.62, 0.65), "same"),
        ((0.500, 0.501, 0.502), (0.503, 0.504, 0.505), "same"),
        ((0.5, 0.5), (0.7, 0.7, 0.7), "undecided"),
    ],
    ids=["apart", "apart, down", "they overlap", "apart by less than 2 %", "two measurements"],
)
def test_a_change_is_one_when_the_measurements_lie_apart(
    before: tuple[float, ...], after: tuple[float, ...], verdict: str
) -> None:
    (change,) = compare([figure(*before)], [figure(*after)])
    assert change.verdict == verdict
    opposite = {"better": "worse", "worse": "better"}.get(verdict, verdict)
    (mirrored,) = compare([figure(*before, better="lower")], [figure(*after, better="lower")])
    assert mirrored.verdict == opposite


def test_noise_and_goals() -> None:
    assert figure(0.9, 1.0, 1.3).noise == pytest.approx(0.2)
    assert figure(0.7, 0.8, 0.9, goal=0.8).reached
    assert not figure(0.7, 0.8, 0.9, better="lower", goal=0.79).reached
    assert figure(1.0).reached is None


def test_figures_of_one_side_are_told() -> None:
    changes = compare([figure(1.0, name="old")], [figure(1.0, name="new")])
    assert [(change.name, change.verdict) for change in changes] == [("old", "only in one"), ("new", "only in one")]


def test_documents_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document([figure(1.0, 2.0, goal=3.0)], {"commit": "abc"})))
    assert read_figures(path) == [figure(1.0, 2.0, goal=3.0)]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"figures": [{}]}', '{"figures": [{"name": 1, "unit": "", '
                                  '"better": "higher", "values": [], "goal": null}]}'])  # fmt: skip
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UsageProblem, match="is no document of ratios"):
        read_figures(path)


def test_the_command_exits_with_1_where_something_got_worse(tmp_path: Path, scalmarl: Run) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(document([figure(0.60, 0.61, 0.62)], {})))
    bad.write_text(json.dumps(document([figure(0.50, 0.51, 0.52)], {})))
    said = scalmarl("bench", "compare", str(good), str(bad))
    assert said.returncode == 1
    assert "-16.4 %  worse" in said.stdout
    assert scalmarl("bench", "compare", str(bad), str(good), "--json").returncode == 0
    assert scalmarl("bench", "compare", str(good), str(tmp_path / "none.json")).returncode == 2
