"""What a world promises, as plain data."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import pytest

from scalmarl.protocol.standins import toy_plan
from scalmarl.protocol.task import TaskSpec

TASK = replace(
    toy_plan(((1,), (0,)), (0, 1)).task,
    parameters={"links": [1, 2, 3], "stiffness": 0.5},
    edges=((0, 1),),
    nonlocal_facts=("a shared termination flag",),
    notes=("the third column is a clock",),
)


def test_a_task_survives_json() -> None:
    assert TaskSpec.from_data(json.loads(json.dumps(TASK.to_data()))) == TASK


def test_a_task_from_before_there_were_choices_has_none() -> None:
    old = {name: value for name, value in TASK.to_data().items() if name != "action_choices"}
    assert TaskSpec.from_data(json.loads(json.dumps(old))) == TASK
    assert TASK.action_choices == (0, 0)


def test_lists_become_tuples_at_every_depth() -> None:
    again = TaskSpec.from_data(json.loads(json.dumps(TASK.to_data())))
    assert again.edges == ((0, 1),)
    assert again.block_entries == (("entry 0", "entry 1"), ("entry 0", "entry 1", "entry 2"))
    assert again.cost_names == (("cost 0",), ("cost 0", "cost 1"))
    assert again.notes == ("the third column is a clock",)


def test_parameters_stay_as_they_are() -> None:
    again = TaskSpec.from_data(json.loads(json.dumps(TASK.to_data())))
    assert again.parameters == {"links": [1, 2, 3], "stiffness": 0.5}


def test_a_task_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        TASK.horizon = 3  # type: ignore[misc]


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(TypeError, match="strange"):
        TaskSpec.from_data({**TASK.to_data(), "strange": 1})
