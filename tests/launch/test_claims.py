"""The claims laboratory: verdict rules in closed form, the report's schema, and two small real batteries."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from scalmarl.launch.claims.battery import FAMILIES, Measured, expected_s, families
from scalmarl.launch.claims.claim import Claim, differ, more, spread, verdict_of
from scalmarl.launch.claims.laboratory import Laboratory, known_runs
from scalmarl.launch.claims.report import Battery, write_report
from scalmarl.launch.claims.sampled_learning import FULL, QUICK
from scalmarl.launch.claims.sampled_messages import TINY, phase_claim, turn_claim
from scalmarl.launch.errors import UsageProblem

Run = Callable[..., CompletedProcess[str]]
KEYS = {"id", "claim", "variant", "setting", "measured", "bound", "verdict"}


def test_seeds_decide_only_where_their_ranges_are_disjoint() -> None:
    assert more([4.0, 5.0, 6.0], [1.0, 2.0, 3.0]) == "holds"
    assert more([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]) == "fails"
    assert more([1.0, 2.0, 4.0], [3.0, 5.0, 6.0]) == "undecided"
    assert more([3.0, 4.0, 5.0], [1.0, 2.0, 3.0]) == "undecided", "ranges that touch are not disjoint"
    assert more([4.0, 5.0], [1.0, 2.0]) == "undecided", "two seeds decide nothing"
    assert more([float("nan"), 5.0, 6.0], [1.0, 2.0, 3.0]) == "undecided"
    assert differ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]) == differ([4.0, 5.0, 6.0], [1.0, 2.0, 3.0]) == "holds"
    assert differ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == "undecided", "overlap is no proof that two are equal"
    assert (verdict_of(True), verdict_of(False)) == ("holds", "fails")
    assert (spread([1.0]), spread([1.0, 3.0])) == ("1.0 (one seed)", "2.0 [1.0, 3.0]")


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ({"colour": "a", "permutation": "a", "fixed": "a", "serial": "a"}, "fails"),
        ({"colour": "a", "permutation": "b", "fixed": "c"}, "holds"),
        ({"colour": "a", "permutation": "a", "fixed": "c"}, "undecided"),
        ({"colour": "a", "permutation": "a", "fixed": "a", "serial": "b"}, "undecided"),
    ],
)
def test_digests_say_whether_turns_matter(found: dict[str, str], verdict: str) -> None:
    assert turn_claim("T14.1", "printed", "scal-mappo-l-printed", found).verdict == verdict


def test_phases_are_the_colours_only_in_the_order_of_colours() -> None:
    """On a chain with kappa 2 the square of the graph has 3 colours; the fixed order waits along all of it."""
    claims = {order: phase_claim("T11", order, [8, 16, 32]) for order in ("colour", "permutation", "fixed")}
    assert claims["colour"].figures["longest"] == [3.0, 3.0, 3.0]
    assert claims["fixed"].figures["longest"] == [8.0, 16.0, 32.0]
    assert claims["permutation"].figures["longest"][2] < 32.0
    assert [claim.verdict for claim in claims.values()] == ["holds", "fails", "fails"]


def test_the_report_has_every_claim_with_all_that_a_line_must_say(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    claims = [
        Claim("T3.1", "a | b", "printed", "two agents", "1", "0", "fails"),
        Claim("T7.1", "flat", "repaired", "chain", "7", "7", "holds", {"agents": [4.0, 8.0], "bytes": [7.0, 7.0]}),
    ]
    battery = Battery("scalmarl claims", "1 seed", 60.0, 2.0, "stopped early", [Measured(c, 1.0) for c in claims])
    names = [path.name for path in write_report(tmp_path, battery)]
    assert names == ["claims.json", "claims.md", "T7.1-repaired.png"]
    document = json.loads((tmp_path / "claims.json").read_text())
    assert document["schema"] == 1
    assert [set(line) for line in document["claims"]] == [KEYS, KEYS]
    text = (tmp_path / "claims.md").read_text()
    exact, sampled = text.split("## Sampled")
    assert "a \\| b" in exact
    assert "| T7.1 |" in sampled
    assert "stopped early" in text
    assert (tmp_path / "T7.1-repaired.png").read_bytes().startswith(b"\x89PNG")


def test_families_are_chosen_by_name() -> None:
    assert families(None) == FAMILIES
    assert families("T14, T7") == ("T7", "T14")
    with pytest.raises(UsageProblem) as problem:
        families("T7,T99")
    assert "T99" in problem.value.what
    assert "T7, T11, T12" in problem.value.hint
    assert expected_s(FAMILIES, True, QUICK) <= 300.0 < expected_s(FAMILIES, False, FULL)
    few, many = (expected_s(("T12",), False, replace(FULL, seeds=seeds)) for seeds in (3, 9))
    assert many == pytest.approx(3 * few)


def test_bad_input_is_named(scalmarl: Run, tmp_path: Path) -> None:
    unknown = scalmarl("claims", "--only", "T99", "--out", str(tmp_path / "out"))
    assert unknown.returncode == 2
    assert "T14" in unknown.stderr
    assert not (tmp_path / "out").exists()
    nothing = scalmarl("claims", "--reuse", str(tmp_path), "--out", str(tmp_path / "out"))
    assert nothing.returncode == 2
    assert "holds no run" in nothing.stderr
    file = tmp_path / "file"
    file.write_text("")
    assert scalmarl("claims", "--only", "T11", "--out", str(file)).returncode == 2


def test_a_finished_run_is_read_again_and_an_interrupted_one_goes_on(tmp_path: Path) -> None:
    flags = ("--task", "cheetahs", "--agents", "2", "--kappa", "1", *TINY)
    said: list[str] = []
    laboratory = Laboratory(tmp_path, said.append)

    def interrupt(bench: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        laboratory.run("once", *flags, disturb=interrupt)
    first = laboratory.run("once", *flags)
    again = laboratory.run("by another name", *flags)
    known = known_runs([tmp_path], said.append)
    assert said[-1].startswith("1 of 1 runs")
    elsewhere = Laboratory(tmp_path / "elsewhere", said.append, known=known)
    reused = elsewhere.run("known", *flags)
    assert (reused.run.path, reused.seconds) == (first.run.path, 0.0)
    assert not (tmp_path / "elsewhere").exists()
    assert list(elsewhere.commits.values()) == [1]
    state = reused.run.read_state()
    for change in ({"versions": {**state["versions"], "torch": "1.0"}}, {"versions": None}, {"state": "stopped"}):
        reused.run.state.write_text(json.dumps({**state, **change}))
        assert not known_runs([tmp_path])
    reused.run.state.write_text("{")
    assert not known_runs([tmp_path], said.append)
    assert "is not reused" in said[-2]
    reused.run.state.write_text(json.dumps(state))
    text = reused.run.config.read_text()
    assert "cost_truncation_error = 0.0\n" in text
    reused.run.config.write_text(text.replace("cost_truncation_error = 0.0\n", ""))
    assert known_runs([tmp_path]).keys() == known.keys(), "of a version that did not have the key yet"
    assert elsewhere._known_run((*flags, "--set", "learner.radius=off")) is None
    assert elsewhere._known_run((*flags, "--schedule", "serial")) is None, "the bits are the same, the making is not"
    assert first.seconds > 0.0 == again.seconds
    assert first.digest == again.digest
    assert len(first.lines) == 2
    assert [row["all"] for row in first.sent] == first.lines[0]["bytes_agent"]
