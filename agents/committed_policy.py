"""An agent's policy as a round file has it, on its own: it acts, and nothing is learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scalmarl.agents.learner_state import Networks, load_state
from scalmarl.agents.normaliser import FrozenInput
from scalmarl.agents.rollout import Rollout
from scalmarl.agents.settings import LearnerSettings
from scalmarl.protocol.kinds import Value
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.streams import Purpose, stream


class CommittedPolicy:
    """Agent ``me`` with the ``content`` of its round file, for ``copies`` copies of the world at once.

    It reads what it reads in training: the raw blocks of N_kappa side by side, blank where ``plan.absent`` says so,
    under the input statistics that its file has.
    """

    def __init__(self, plan: Plan, me: int, content: bytes, copies: int) -> None:
        settings = LearnerSettings.from_data(plan.learner)
        self._own = Networks(plan, me, settings)
        load_state(self._own, content)
        self._me = me
        self._plan = replace(plan, copies=copies, groups=1, steps=1)
        self._see = FrozenInput(self._own.inputs, settings.observation_limit)
        self._draw, self._decide = self._own.policy.acting(), self._own.policy.deciding()
        self.begin_episode(0, None)

    def begin_episode(self, episode: int, seed: int | None) -> None:
        """From here on the actions of this episode, drawn under ``seed``; ``None``: without chance."""
        self._rollout = Rollout(self._plan, self._me, self._own.inputs.mean)
        self._chance = None
        if seed is not None:
            self._chance = stream(seed, purpose=Purpose.EVALUATION, process=self._me, round=episode)

    def act(self, blocks: Sequence[Value | None]) -> NDArray[np.float32]:
        """Actions ``[E, A]`` for the blocks ``[E, block]`` of N_kappa, ascending; ``None`` for an absent agent's."""
        inputs = self._see(self._rollout.look(0, blocks))
        return self._decide(inputs) if self._chance is None else self._draw(inputs, self._chance)
