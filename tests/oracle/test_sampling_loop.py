"""The single process that ``scalmarl bench price`` measures against does what agents and sim server do, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scalmarl.agents.learner import Learner
from scalmarl.launch.bench.sampling_loop import sample
from scalmarl.protocol.keys import Key, Kind
from scalmarl.protocol.plan import Plan


def test_sampling_in_one_process_gives_the_values_of_a_run(
    make_plan: Callable[..., Plan], play: Callable[..., Any], small_world: Callable[..., Any]
) -> None:
    plan = make_plan(4, 1)
    said = play(plan).said
    learners = [Learner(plan, agent) for agent in range(plan.agents)]
    sample(plan, small_world(plan), learners, 0)
    for agent, learner in enumerate(learners):
        advantage, slack = learner.estimate()
        assert np.array_equal(advantage, said[Key(agent, Kind.ADVANTAGE, agent, 0, 0)])
        assert np.array_equal(slack, said[Key(agent, Kind.SLACK, agent, 0, 0)])
