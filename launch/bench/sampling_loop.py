"""``python -m scalmarl.launch.bench.sampling_loop ROUNDS < PLAN_JSON``: sampling without processes and messages.

One process steps the world of a plan and asks the plan's own learners, one after the other: the same batch of copies
and physics threads, networks, inputs, statistics and streams as in a launch, up to where a round is estimated. Prints
the seconds of every round, as JSON. The policies are those of the beginning; a round costs the same whatever they do.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence

from scalmarl.agents.body import RoundLearner
from scalmarl.agents.learner import Learner
from scalmarl.protocol.kinds import Value
from scalmarl.protocol.lifeline import die_with_launcher
from scalmarl.protocol.plan import Plan
from scalmarl.sim_server.world import World


def sample(plan: Plan, world: World, learners: Sequence[RoundLearner], round: int) -> None:
    """What agents and sim server do in the rollout of a round (``roll_out`` and ``sim_body``), in their order."""
    neighbourhoods = [plan.neighbourhood(agent) for agent in range(plan.agents)]
    actions: dict[int, list[Value]] = {}
    for learner in learners:
        learner.begin_round(round)
    for step in range(plan.groups * (plan.steps + 1)):
        group = step % plan.groups
        if step >= plan.groups:
            world.step(group, actions[group])
        blocks = [learner.observe(step, world.observation(agent, group)) for agent, learner in enumerate(learners)]
        for learner, neighbourhood in zip(learners, neighbourhoods):
            learner.look(step, [blocks[agent] for agent in neighbourhood])
        if step < plan.groups * plan.steps:
            actions[group] = [learner.act(step) for learner in learners]


def main(rounds: int) -> None:
    """See the module."""
    plan = Plan.from_data(json.load(sys.stdin))
    world = World(plan.task, copies=plan.copies, groups=plan.groups, seed=plan.seed, threads=plan.world_threads)
    learners = [Learner(plan, agent) for agent in range(plan.agents)]
    seconds = []
    for round in range(rounds):
        began = time.perf_counter()
        sample(plan, world, learners, round)
        seconds.append(time.perf_counter() - began)
    print(json.dumps(seconds))


if __name__ == "__main__":
    die_with_launcher()
    main(int(sys.argv[1]))
