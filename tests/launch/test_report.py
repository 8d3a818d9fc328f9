"""A report is one HTML file with everything in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from scalmarl.launch.config import Config, to_toml

pytest.importorskip("matplotlib", reason="the extra plot is not installed")

MadeUp = Callable[..., Path]
Call = Callable[..., Result]


def test_a_report_is_one_file_that_fetches_nothing(made_up: MadeUp, call: Call, tmp_path: Path) -> None:
    runs = [
        made_up(tmp_path / f"s{seed}", seed=seed, returns=[4.0 + seed] * 4, cost=3.5, deaths=[2]) for seed in range(3)
    ]
    other = made_up(tmp_path / "<b>", clip=0.1)
    out = tmp_path / "sub" / "report.html"
    answer = call("report", *runs, other, "-o", out, "--json")
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["files"] == [str(out)]
    text = out.read_text()
    assert text.count("data:image/svg+xml;base64,") == 5
    assert all(word not in text for word in ("<script", "<link", "http:", "https:", "@import", "url("))
    assert "5.00<small>[4.00, 6.00]</small>" in text.replace("\n", ""), "the return, with its interval"
    assert "&gt; 5.50" in text, "agent 2 is above its limit of 5, and that is not told by weight alone"
    assert "learner.clip" in text
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert "4 runs in 2 groups" in text
    assert "3 processes died" in text
    first = out.read_bytes()
    call("report", *runs, other, "-o", out)
    assert out.read_bytes() == first, "nothing in it depends on the time"


def test_the_command_that_makes_an_extended_run_again_names_its_rounds(
    made_up: MadeUp, call: Call, tmp_path: Path
) -> None:
    """Its configuration has those it was launched with."""
    runs = {name: made_up(tmp_path / name, clip=clip) for name, clip in (("as-launched", 0.1), ("extended", 0.2))}
    for (name, path), rounds in zip(runs.items(), (4, 3)):
        clip = 0.1 if name == "as-launched" else 0.2
        config = {"run": {"kappa": 1, "agents": 3, "rounds": rounds}, "learner": {"cost_terms": "own", "clip": clip}}
        (path / "config.toml").write_text(to_toml(Config.model_validate(config)))
    out = tmp_path / "report.html"
    assert call("report", *runs.values(), "-o", out).exit_code == 0
    text = out.read_text()
    assert f"--config {runs['as-launched']}/config.toml --run runs/again-as-launched" in text
    assert f"--config {runs['extended']}/config.toml --rounds 4 --run runs/again-extended" in text
