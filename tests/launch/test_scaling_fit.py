"""The fit finds the costs that made the figures; and what a user gets wrong with ``plan`` and ``bench scale``."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from scalmarl.launch.bench.scale import row_text
from scalmarl.launch.cli import main
from scalmarl.launch.scaling.calibration import SETTINGS, plan_memory
from scalmarl.launch.scaling.costs import AGENT_TERMS, Costs, agent_amounts, server_bytes, server_frames
from scalmarl.launch.scaling.engine import Machines
from scalmarl.launch.scaling.fit import Run, Speed, fit, nonnegative
from scalmarl.launch.scaling.forecast import COPY_BYTES_PER_AGENT, memory_of_hosts
from scalmarl.launch.scaling.measurement import interior
from scalmarl.launch.scaling.simulation import simulate

KNOWN = Costs(
    physics_call=1e-4, physics_copy=2e-5, physics_agent=2.3e-5, scoring_call=5e-5, scoring_agent=1e-6, thread_gain=0.8,
    agent_frame=4e-5, server_frame=3e-5, byte=2e-9, wake=5e-5, act_step=1e-4, act_product=2e-10, policy_minibatch=1e-3,
    critic_minibatch=5e-4, train_product=3e-10, update_round=4e-3, server_round=2e-3, save=2e-3, commit=5e-3,
    launcher=0.02, watch=1e-3, agent_memory=2e7, host_memory=4e8, sample_memory=3.0, plan_memory=3000.0,
)  # fmt: skip


def speed(agents: int, copies: int, threads: int) -> Speed:
    bare = KNOWN.physics_call + copies * (KNOWN.physics_copy + agents * KNOWN.physics_agent)
    above = KNOWN.scoring_call + copies * agents * KNOWN.scoring_agent
    bare /= 1.0 + (threads - 1) * KNOWN.thread_gain
    return Speed(agents, copies, threads, copies / bare, copies / (bare + above))


def run(setting: Any) -> Run:
    plan = setting.plan()
    costs = [getattr(KNOWN, term) for term in AGENT_TERMS]
    found = simulate(plan, KNOWN, Machines(1, 2))
    world = plan.steps * (KNOWN.physics_s(plan) + KNOWN.scoring_s(plan))
    wall = found.sample_s + found.update_s + (plan.agents + 1) * KNOWN.save + KNOWN.commit
    return Run(
        plan=plan,
        sample_s=found.sample_s,
        update_s=found.update_s,
        wall_s=wall,
        cpu_agents=[float(np.dot(agent_amounts(plan, agent), costs)) for agent in range(plan.agents)],
        cpu_sim=world + server_bytes(plan) * KNOWN.byte + server_frames(plan) * KNOWN.server_frame + KNOWN.server_round,
        cpu_launcher=(KNOWN.launcher + KNOWN.watch * (plan.agents + 2)) * wall,
        pss_all=round(memory_of_hosts(plan, KNOWN, 1)[0] - plan.copies * plan.agents * COPY_BYTES_PER_AGENT),
    )


def test_the_fit_finds_the_costs_that_made_the_figures() -> None:
    sizes = ((4, 8, 1), (12, 32, 1), (12, 8, 1), (48, 8, 1), (12, 32, 2), (48, 8, 2))
    found = fit(
        [speed(*size) for size in sizes], [run(setting) for setting in SETTINGS], 2, KNOWN.byte, KNOWN.plan_memory
    )
    for field in fields(Costs):
        tolerance = 1e-2 if field.name == "wake" else 1e-4
        assert getattr(found, field.name) == pytest.approx(getattr(KNOWN, field.name), rel=tolerance), field.name


def test_the_settings_of_a_calibration_are_not_those_that_check_it() -> None:
    assert not {setting.agents for setting in SETTINGS} & {8, 16, 32, 64, 128}


def test_least_squares_with_nothing_below_zero() -> None:
    rows = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]])
    assert nonnegative(rows, rows @ np.array([2.0, 0.5])) == pytest.approx([2.0, 0.5])
    # Without the bound the first would be -1: then the second alone fits best.
    values = rows @ np.array([-1.0, 1.0])
    alone = float(rows[:, 1] @ values / (rows[:, 1] @ rows[:, 1]))
    assert nonnegative(rows, values) == pytest.approx([0.0, alone])
    assert nonnegative(rows, -values - 5.0) == pytest.approx([0.0, 0.0])


def test_costs_are_read_back_and_nothing_else_is() -> None:
    data = KNOWN.to_data()
    assert Costs.from_data(data) == KNOWN
    for wrong, words in (
        ({**data, "wake": -1.0}, "'wake' is -1.0"),
        ({**data, "sleep": 1.0}, "'sleep' is unknown"),
        ({name: value for name, value in data.items() if name != "wake"}, "'wake' is missing"),
        ({**data, "wake": "soon"}, "'wake' is 'soon'"),
    ):
        with pytest.raises(ValueError, match=words):
            Costs.from_data(wrong)


def test_a_plan_takes_memory_in_every_process() -> None:
    assert 500 < plan_memory(SETTINGS[-1].plan()) < 50_000


def test_the_interior_is_what_is_far_from_the_ends() -> None:
    assert interior(replace(SETTINGS[3], agents=8).plan()) == [2, 3, 4, 5]


def test_a_row_says_what_was_measured_and_what_was_predicted() -> None:
    row = {
        "agents": 16, "phases": 3, "asked_again": 0.0, "bytes_agent_round": [76660], "memory_bytes": 1.5e9,
        "first_step_s": 3.2,
        "physics_us": 25.0, **{f"{name}_us": 100.0 for name in ("sample", "update", "wall")},
        **{f"{name}_growth": 1.25 for name in ("sample", "update", "wall")},
        **{f"{name}_s": 2.0 for name in ("sample", "update", "wall")},
    }  # fmt: skip
    assert "3 phases; 76,660 bytes/agent/round" in row_text(row)
    assert "x1.25 sampling" in row_text(row)
    seconds = dict.fromkeys(("sample_s", "update_s", "wall_s"), 2.2)
    row |= {"predicted": seconds, "error": dict.fromkeys(("sample", "update", "wall"), 0.1)}
    assert "2.20 and 2.00 s (+10 %)" in row_text(row)


def test_wrong_options_are_told(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps({"costs": KNOWN.to_data()}))
    bad.write_text('{"costs": {"wake": 1}}')
    for arguments, words in (
        (("plan", "--calibration", str(tmp_path / "none.json")), "scalmarl plan --calibrate"),
        (("plan", "--calibration", str(bad)), "no calibration of this version"),
        (("plan", "--calibrate", "--calibration", str(tmp_path / "no" / "c.json")), "no is no directory"),
        (("plan", "--calibrate", "--calibration", str(tmp_path)), "is a directory"),
        (("plan", "--curve", str(tmp_path / "no" / "x.png"), "--calibration", str(good)), "no is no directory"),
        (("plan", "--curve", str(tmp_path / f"{300 * 'x'}.png"), "--calibration", str(good)), "File name too long"),
        (("plan", "--curve", str(tmp_path / "x.xyz"), "--calibration", str(good)), "does not end in .png"),
        (("plan", "--hosts", "9", "--calibration", str(good)), "--hosts 9 for 8 agents"),
        (("plan", "--latency", "5", "--calibration", str(good)), "is not a time"),
        (("bench", "scale", "--agents", "8,x"), "is not a list like"),
        (("bench", "scale", "--agents", "8,9999"), "at most 256"),
        (("bench", "scale", "--calibration", str(bad)), "no calibration of this version"),
    ):
        said = CliRunner().invoke(main, arguments)
        assert said.exit_code == 2, arguments
        assert words in said.stderr, (arguments, said.stderr)


def test_a_plan_for_hundreds_is_printed(tmp_path: Path) -> None:
    file = tmp_path / "costs.json"
    file.write_text(json.dumps({"costs": KNOWN.to_data()}))
    asked = ("plan", "--agents", "300", "--task", "cheetahs", "--hosts", "8", "--calibration", str(file))
    said = CliRunner().invoke(main, asked)
    assert said.exit_code == 0, said.stderr
    for words in ("300 agents, kappa 2", "in 3 phases", "bottleneck   physics", "one sim server", "at most 256"):
        assert words in said.stdout
    document = json.loads(CliRunner().invoke(main, (*asked, "--json")).stdout)
    assert document["phases"] == 3
    assert {(pair["from"], pair["to"]) for pair in document["pairs"]} >= {(0, 7), (6, 7)}
