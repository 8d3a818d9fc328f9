"""Descriptions of tasks: sizes, limits, sentences, and errors that say how to mend them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.tasks import LONGEST, TASKS, describe


@pytest.mark.parametrize(("agents", "segments"), [(1, 1), (3, 1), (8, 1), (16, 1), (2, 4)])
def test_sizes(agents: int, segments: int) -> None:
    task = describe("safe-manyant", agents, segments=segments)
    assert task.block_sizes == (24 * segments + 1,) * agents
    assert [len(entries) for entries in task.block_entries] == list(task.block_sizes)
    assert all(len(set(entries)) == len(entries) for entries in task.block_entries)
    assert task.action_sizes == (4 * segments,) * agents
    assert task.cost_limits == ((5.0,),) * agents
    assert [len(names) for names in task.cost_names] == [1] * agents
    assert task.edges == tuple((i, i + 1) for i in range(agents - 1))


def test_a_description_survives_json() -> None:
    task = describe("safe-manyant", 3, segments=2, limit=[1, 2, 3.5])
    assert TaskSpec.from_data(json.loads(json.dumps(task.to_data()))) == task


@pytest.mark.parametrize(
    ("limit", "limits"), [(None, [5.0] * 3), (2, [2.0] * 3), (0.0, [0.0] * 3), ([1.0, 0.0, 7.0], [1.0, 0.0, 7.0])]
)
@pytest.mark.parametrize("cost", ["local", "team"])
def test_limits(limit: Any, limits: list[float], cost: str) -> None:
    assert describe("safe-manyant", 3, cost=cost, limit=limit).cost_limits == tuple((value,) for value in limits)


@pytest.mark.parametrize(
    ("arguments", "what", "how"),
    [
        (("safe-manyat", 3), "unknown task 'safe-manyat'", "did you mean safe-manyant?"),
        (("chess", 3), "unknown task 'chess'", f"valid: {', '.join(TASKS)}"),
        (("safe-manyant", 0), "0 agents", "at least 1"),
        (("safe-manyant", 3, {"segments": 0}), "0 segments", "at least 1"),
        (("safe-manyant", 3, {"horizon": 0}), "0 control steps", "at least 1"),
        (("safe-manyant", 3, {"reward": "locl"}), "reward mode 'locl'", "did you mean local?"),
        (("safe-manyant", 3, {"cost": "Team"}), "cost mode 'Team'", "did you mean team?"),
        (("safe-manyant", 3, {"limit": [1.0, 2.0]}), "2 cost limits for 3 agents", "one per agent"),
        (("safe-manyant", 3, {"limit": []}), "0 cost limits for 3 agents", "one per agent"),
        (("safe-manyant", 3, {"limit": [1, -2, 1]}), "cost limit -2 of agent 1", "at least 0"),
        (("safe-manyant", 3, {"limit": float("nan")}), "cost limit nan", "finite"),
        (("safe-manyant", LONGEST, {"segments": 2}), f"a chain of {2 * LONGEST}", "fewer agents"),
    ],
)
def test_errors_say_what_and_how_to_mend_it(arguments: tuple[Any, ...], what: str, how: str) -> None:
    name, agents, *options = arguments
    with pytest.raises(ValueError, match="; ") as caught:
        describe(name, agents, **(options[0] if options else {}))
    before, separator, after = str(caught.value).partition("; ")
    assert separator
    assert what in before
    assert how in after


def test_what_is_not_local_is_said() -> None:
    assert describe("safe-manyant", 1).nonlocal_facts == ()
    local, team = (describe("safe-manyant", 8, reward=mode, cost=mode).nonlocal_facts for mode in ("local", "team"))
    assert "the head's speed is in every agent's reward, each with an equal share" in local
    assert "every agent is given the team reward" in team
    assert "every agent is given the head's cost" in team
    for facts in (local, team):
        assert "a fall of the body ends the episode for every agent" in facts


def test_notes_tell_of_a_stretched_corridor_and_of_one_segment() -> None:
    assert describe("safe-manyant", 10).notes == ()
    assert "2 times as large" in describe("safe-manyant", 8, segments=2).notes[0]
    assert "cannot stand" in describe("safe-manyant", 1).notes[0]


def test_describing_needs_no_mujoco() -> None:
    code = "import sys, scalmarl.sim_server.tasks; print(sorted({'mujoco', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
