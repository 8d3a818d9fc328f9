"""Runs that nobody ran: directories with numbers that are known by hand, for what only reads them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scalmarl.launch.cli import main
from scalmarl.launch.config import Config, to_toml
from scalmarl.launch.records import PARTS
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.protocol.graph import clique_cover
from scalmarl.protocol.ledger import predicted
from scalmarl.protocol.standins import toy_plan

STEPS, COPIES = 4, 2
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Refusal = tuple[tuple[str, ...], int, str, str]
"""Arguments of a launch, its exit code, and what its words hold of what is wrong and how to mend it."""


@pytest.fixture
def refused(scalmarl: Run, tmp_path: Path) -> Callable[[Refusal], None]:
    """A launch says what is wrong and starts nothing."""

    def check(wrong: Refusal) -> None:
        arguments, code, what, cure = wrong
        answer = scalmarl("launch", "--run", str(tmp_path / "run"), *arguments)
        assert answer.returncode == code, answer.stderr
        assert what in answer.stderr
        assert cure in answer.stderr
        assert "Traceback" not in answer.stderr
        assert not (tmp_path / "run").exists()

    return check


@pytest.fixture(scope="module")
def run(calm: Any) -> RunDirectory:
    """A finished run of three agents, which nobody may write to."""
    return RunDirectory(calm.path)


def _made_up(
    path: Path, *, algorithm: str = "scal-mappo-l", kappa: int = 1, agents: int = 3, seed: int = 0, clip: float = 0.2,
    returns: Sequence[float | None] = (1.0, 2.0, 3.0, 4.0), cost: float = 2.0, deaths: Sequence[int] = (),
    without: Sequence[str] = (),
) -> Path:  # fmt: skip
    """A chain of agents with one cost each, limit 5, and one round of 8 environment steps per return, in which one
    episode ended where it is a number. Agent i's cost is ``cost`` + i, its multiplier in round r 0.1 * r * i."""
    heard = [[j for j in range(agents) if j != i and abs(i - j) <= kappa] for i in range(agents)]
    plan = toy_plan(heard, [0] * agents, seed=seed, rounds=len(returns), steps=STEPS, copies=COPIES, costs=[1] * agents)
    learner = {"cost_terms": "none" if algorithm in ("happo", "ippo") else "own", "clip": clip}
    config = Config.model_validate(
        {"run": {"algo": algorithm, "kappa": kappa, "seed": seed, "agents": agents}, "learner": learner}
    )
    cliques = clique_cover(plan.neighbours)
    plan = replace(plan, kappa=kappa, cliques=cliques, config_hash=config.digest())
    state = {
        "state": "finished", "round": len(returns), "rounds": len(returns), "processes": [], "control": "", "pid": 0,
        "versions": {"scalmarl": "0.0.1", "torch": "2.13"},
    }  # fmt: skip
    sent = [sum(count.wire_bytes for count in predicted(plan, agent).values()) for agent in range(agents)]
    lines = []
    for round, value in enumerate(returns):
        ended = value is not None
        line = {
            "round": round, "env_steps": (round + 1) * plan.samples, "episodes": int(ended), "return_team": value,
            "cost_agent": [cost + agent for agent in range(agents)] if ended else None, "cost_limit": [5.0] * agents,
            "distance": 1.0 if ended else None, "bytes_agent": sent, "wall_s": 2.0, "sample_s": 0.5, "update_s": 1.0,
            "lambda_agent": [0.1 * round * agent for agent in range(agents)],
            "spent_agent": [dict.fromkeys(PARTS, 0.4)] * agents, "spent_sim": dict.fromkeys(PARTS, 0.3),
        }  # fmt: skip
        lines.append({name: x for name, x in line.items() if name not in without})
    events = [{"time": 0.0, "event": "death", "process": "agent/0", "round": at} for at in deaths]
    path.mkdir(parents=True)
    (path / "plan.json").write_text(json.dumps(plan.to_data()))
    (path / "run.json").write_text(json.dumps(state))
    (path / "config.toml").write_text(to_toml(config))
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


@pytest.fixture(scope="session")
def made_up() -> Callable[..., Path]:
    """A function that writes such a run and returns its directory."""
    return _made_up


@pytest.fixture(scope="session")
def call() -> Callable[..., Result]:
    """The command line inside this process."""
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])
