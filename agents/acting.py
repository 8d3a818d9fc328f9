"""``python -m scalmarl.agents.acting``: all committed policies of a run in one process, asked step by step.

It is told once ``plan``, ``contents`` (agent -> round file's content), ``copies`` and ``seed`` (``None``: the mean, or
the likeliest choice), and answers ``ready``. Then it is told observations (``episode``, ``step``, and for every agent
the bytes of its ``[copies, block + ...]`` float32 array) and answers ``actions``, the bytes of ``[copies, A]`` each. An
absent agent's action is the neutral one, as in training.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from scalmarl.agents.committed_policy import CommittedPolicy
from scalmarl.protocol.kinds import Value
from scalmarl.protocol.lifeline import die_with_launcher
from scalmarl.protocol.message_stream import MessageStream, StreamClosed
from scalmarl.protocol.plan import Plan


class Cast:
    """The policies of all agents that take part."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._plan, self._copies, self._seed = Plan.from_data(told["plan"]), told["copies"], told["seed"]
        self._policies = {
            agent: CommittedPolicy(self._plan, agent, told["contents"][agent], self._copies)
            for agent in self._plan.present
        }
        self._neutral = [np.zeros((self._copies, size), np.float32) for size in self._plan.task.action_sizes]

    def act(self, told: dict[str, Any]) -> list[Value]:
        """The actions of a step."""
        if told["step"] == 0:
            for policy in self._policies.values():
                policy.begin_episode(told["episode"], self._seed)
        blocks: dict[int, Value] = {}
        for agent, width in enumerate(self._plan.task.block_sizes):
            if agent in self._policies:
                told_to = np.frombuffer(told["observations"][agent], np.float32).reshape(self._copies, -1)
                blocks[agent] = told_to[:, :width]
        return [
            self._policies[agent].act([blocks.get(other) for other in self._plan.neighbourhood(agent)])
            if agent in self._policies
            else neutral
            for agent, neutral in enumerate(self._neutral)
        ]


def main() -> None:
    """Until the other end has had enough."""
    stream = MessageStream.of_tool()
    cast = Cast(stream.receive())
    stream.send({"ready": True})
    while True:
        stream.send({"actions": [action.tobytes() for action in cast.act(stream.receive())]})


if __name__ == "__main__":
    die_with_launcher()
    with contextlib.suppress(StreamClosed):
        main()
