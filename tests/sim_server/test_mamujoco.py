"""MaMuJoCo through the door: its numbers as they are, a cost, a graph by the names of joints, and its known faults."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scalmarl.sim_server.foreign_copy import ContractBroken, open_callable
from scalmarl.sim_server.foreign_description import describe_foreign
from scalmarl.sim_server.velocity_cost import THRESHOLDS

mamujoco_v1 = pytest.importorskip("gymnasium_robotics", reason="MaMuJoCo needs the extra 'worlds'").mamujoco_v1


def wish_of(task: str) -> dict[str, Any]:
    plain = dict.fromkeys(("agents", "reward", "cost", "limit", "horizon"))
    return {"task": task, "directory": "", "arguments": {}, **plain}


@pytest.mark.parametrize(
    ("conf", "robot", "in_the_plane"), [("Ant-4x2", "safe-ant", True), ("HalfCheetah-6x1", "safe-halfcheetah", False)]
)
def test_its_numbers_are_mamujocos_and_the_cost_is_the_speed_above_the_threshold(
    conf: str, robot: str, in_the_plane: bool
) -> None:
    scenario, _, partition = conf.partition("-")
    ours = open_callable(f"mamujoco:{conf}", "")()
    theirs = mamujoco_v1.parallel_env(scenario=scenario, agent_conf=partition, agent_obsk=0)
    ours.reset(seed=3)
    theirs.reset(seed=3)
    draw, costs = np.random.default_rng(0), []
    for _ in range(40):
        actions = {
            agent: draw.uniform(-1, 1, theirs.action_space(agent).shape).astype("f4")
            for agent in theirs.possible_agents
        }
        one, two = ours.step(actions), theirs.step(actions)
        for agent in theirs.possible_agents:
            np.testing.assert_array_equal(one[0][agent], two[0][agent])
            info = two[4][agent]
            speed = np.hypot(info["x_velocity"], info["y_velocity"]) if in_the_plane else abs(info["x_velocity"])
            assert one[4][agent]["cost"] == float(speed > THRESHOLDS[robot][partition])
        costs.append(one[4]["agent_0"]["cost"])
        assert one[1:4] == two[1:4]
        if not ours.agents:
            ours.reset(seed=4)
            theirs.reset(seed=4)


def test_a_graph_by_the_names_of_joints_and_the_faults_in_the_notes() -> None:
    spec = describe_foreign(wish_of("mamujoco:ManySegmentAnt-3x1"))
    assert spec.edges == ((0, 1), (1, 2))
    assert (spec.reward_mode, spec.cost_mode, spec.horizon) == ("team", "team", 1000)
    assert any("reads wrong joints" in note for note in spec.notes)
    assert any("exchanges the actuators" in note for note in spec.notes)
    assert spec.cost_limits == ((25.0,),) * 3


@pytest.mark.parametrize(
    ("conf", "wrong"),
    [("CoupledHalfCheetah-1p1", "no scenario 'CoupledHalfCheetah'"), ("Ant-9x9", "cannot make Ant-9x9: UNKNOWN")],
)
def test_what_mamujoco_cannot_make_is_told(conf: str, wrong: str) -> None:
    with pytest.raises(ContractBroken, match=wrong):
        open_callable(f"mamujoco:{conf}", "")()
