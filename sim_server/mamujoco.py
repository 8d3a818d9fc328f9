"""``--world mamujoco:SCENARIO-PARTITION``: the tasks of Gymnasium-Robotics' MaMuJoCo, with a cost and a graph.

MaMuJoCo has neither. The cost is safety-gymnasium's: 1, to every agent, while the robot is faster than the threshold of
its robot and partition. Agents observe their own joints (``agent_obsk=0``): what neighbours know, they tell. Known
faults of MaMuJoCo are not mended, since whoever comes here wants its numbers; they stand in the notes of the task.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from pettingzoo import ParallelEnv

from scalmarl.sim_server.foreign_copy import ContractBroken
from scalmarl.sim_server.task_family import nearest
from scalmarl.sim_server.velocity_cost import threshold_of, velocity_note

HORIZON = 1000
LIMIT = 25.0
"""Cost per episode that SafePO allows in these tasks."""
LIKE = {
    "Ant": "safe-ant",
    "HalfCheetah": "safe-halfcheetah",
    "Hopper": "safe-hopper",
    "Humanoid": "safe-humanoid",
    "ManySegmentAnt": "safe-ant",
    "ManySegmentSwimmer": "safe-swimmer",
    "Swimmer": "safe-swimmer",
    "Walker2d": "safe-walker2d",
}
"""Scenario -> the task of ours whose threshold it has."""
IN_THE_PLANE = ("safe-ant", "safe-humanoid")
FAULTS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("Ant", "2x4d"): ("MaMuJoCo's 2x4d parts the legs into front and back, not into diagonal pairs",),
    ("ManySegmentAnt", ""): (
        "MaMuJoCo's many-segment ant reads wrong joints: most agents observe another segment's (agent 0 of 8x1 that of "
        "segment 5)",
        "MaMuJoCo's many-segment ant exchanges the actuators of a segment's two legs",
        "MaMuJoCo's many-segment ant steps 5 x 0.01 s, the published task 4 x 0.005 s: their returns do not compare",
    ),
}
"""(Scenario, partition or '' for all) -> what is known to be wrong."""


class CostedMaMuJoCo(ParallelEnv):  # type: ignore[misc]
    """MaMuJoCo with costs in its infos and a graph; it has no state that can be saved, so it is replayed."""

    def __init__(self, env: Any, scenario: str, partition: str, edges: list[tuple[int, int]]) -> None:
        self._env, self._like = env, LIKE[scenario]
        self._threshold = threshold_of(self._like, partition)
        self._edges = edges
        self.possible_agents = list(env.possible_agents)
        self.agents: list[str] = []
        self.metadata = {
            "name": f"{scenario}-{partition}",
            "horizon": HORIZON,
            "cost_limits": LIMIT,
            "reward": "team",
            "cost": "team",
            "nonlocal": (
                "every agent is given the team's reward and the robot's one cost",
                "the root's position, tilt and velocity show in every agent's observation",
                "a fall of the robot ends the episode for every agent",
            ),
            "notes": (
                f"{velocity_note(self._like, partition)}; limit {LIMIT:g} as in SafePO",
                *FAULTS.get((scenario, ""), ()),
                *FAULTS.get((scenario, partition), ()),
            ),
        }

    def observation_space(self, agent: str) -> Any:
        """As MaMuJoCo has it."""
        return self._env.observation_space(agent)

    def action_space(self, agent: str) -> Any:
        """As MaMuJoCo has it."""
        return self._env.action_space(agent)

    def neighbour_graph(self) -> list[tuple[str, str]]:
        """Agents whose joints an edge of MaMuJoCo's joint graph joins."""
        return [(self.possible_agents[a], self.possible_agents[b]) for a, b in self._edges]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """As MaMuJoCo does it."""
        told = self._env.reset(seed=seed, options=options)
        self.agents = self.possible_agents[:]
        return told

    def step(self, actions: dict[str, Any]) -> Any:
        """As MaMuJoCo does it, and the cost."""
        observations, rewards, terminations, truncations, infos = self._env.step(actions)
        infos = {agent: {**info, "cost": self._cost(info)} for agent, info in infos.items()}
        if any(terminations.values()) or any(truncations.values()):
            self.agents = []
        return observations, rewards, terminations, truncations, infos

    def render(self) -> Any:
        """As MaMuJoCo does it, by Gymnasium's renderer."""
        return self._env.render()

    def _cost(self, info: Mapping[str, Any]) -> float:
        along = float(info["x_velocity"])
        if self._like in IN_THE_PLANE:
            speed = float(np.hypot(along, info["y_velocity"]))
        else:
            speed = along if self._like == "safe-swimmer" else abs(along)
        return float(speed > self._threshold)


def make(conf: str, **arguments: Any) -> CostedMaMuJoCo:
    """``Ant-4x2``, ``Humanoid-9|8``, ``ManySegmentAnt-8x1``. Raises ``ContractBroken``."""
    scenario, _, partition = conf.partition("-")
    if scenario not in LIKE:
        raise ContractBroken(
            f"MaMuJoCo has no scenario {scenario!r} that scalmarl takes; {nearest(scenario, tuple(LIKE))}"
        )
    try:
        from gymnasium_robotics import mamujoco_v1
        from gymnasium_robotics.envs.multiagent_mujoco.obsk import get_parts_and_edges
    except ImportError as error:
        raise ContractBroken(f"{error.name} is not installed there; pip install 'scalmarl[worlds]'") from None
    try:
        parts, joint_edges, _ = get_parts_and_edges(scenario, partition)
        env = mamujoco_v1.parallel_env(scenario=scenario, agent_conf=partition, agent_obsk=0, **arguments)
    except Exception as error:
        raise ContractBroken(
            f"MaMuJoCo cannot make {conf}: {error}; write SCENARIO-PARTITION, as in Ant-4x2"
        ) from error
    return CostedMaMuJoCo(env, scenario, partition, _agent_edges(parts, joint_edges))


def _agent_edges(parts: Any, joint_edges: Any) -> list[tuple[int, int]]:
    """By the joints' names: MaMuJoCo's many-segment ant puts copies of its joints into the edges."""
    owner = {str(node.label): agent for agent, joints in enumerate(parts) for node in joints}
    pairs = set()
    for edge in joint_edges:
        for a, b in itertools.combinations(sorted({owner[str(node.label)] for node in edge.nodes}), 2):
            pairs.add((a, b))
    return sorted(pairs)
