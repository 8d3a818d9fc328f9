"""One agent of the centralised MAPPO-L: policy, reward critic, cost critic and multiplier, trained by Adam.

Written from the equations (Gu et al. 2021, "Multi-agent constrained policy optimisation", section on MAPPO-Lagrangian)
in the order of the published code: in every minibatch a clipped step of the policy, a step of the multiplier, a step of
either critic. Left out is what would only make it slower: entropy, clipped value losses, layer normalisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scalmarl.agents.advantages import gae, standardise
from scalmarl.agents.centralised.networks import Policy, critic
from scalmarl.agents.critics import HUBER_DELTA
from scalmarl.agents.learner_state import ADAM_EPSILON
from scalmarl.agents.multiplier import cost_estimate
from scalmarl.agents.normaliser import ValueNormaliser
from scalmarl.agents.settings import LearnerSettings
from scalmarl.protocol.plan import Plan

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Shared:
    """What a round gave every agent alike.

    ``inputs`` ``[T+1, E, D]``: the joint observation, normalised; ``terminated`` and ``truncated`` ``[T+1, E]``: flags
    that came with observation t. A sample whose observation is flagged is a reset (next-step), hence not valid.
    """

    inputs: Tensor
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]

    @property
    def done(self) -> NDArray[np.bool_]:
        """``[T+1, E]``: an episode ended with this observation."""
        return self.terminated | self.truncated

    @property
    def valid(self) -> NDArray[np.bool_]:
        """``[T, E]``: samples whose action the world took."""
        return ~self.done[:-1]


class CentralAgent:
    """One of the agents that share a process. ``limit``: of its cost per episode; ``D``: width of the joint
    observation, which its policy and both critics read, as those of the published MAPPO-L do."""

    def __init__(self, plan: Plan, me: int, settings: LearnerSettings, generator: torch.Generator) -> None:
        width, self._settings = sum(plan.task.block_sizes), settings
        self._limit, self._horizon = plan.task.cost_limits[me][0], plan.task.horizon
        self._generator = generator
        self.policy = Policy(width, settings.hidden, plan.task.action_sizes[me], settings.initial_std, generator)
        self.critics = [critic(width, settings.hidden, generator) for _ in range(2)]
        self._policy_adam = _adam(self.policy, settings.policy_lr)
        self._critic_adams = [_adam(critic, settings.critic_lr) for critic in self.critics]
        self._scales = [ValueNormaliser(std_floor=settings.value_std_floor) for _ in self.critics]
        self.multiplier = settings.multiplier_start
        self.actions = torch.zeros(plan.steps, plan.copies, plan.task.action_sizes[me])
        self.log_probs = torch.zeros(plan.steps, plan.copies)
        self.values = torch.zeros(2, plan.steps + 1, plan.copies)

    # ---- while sampling ----

    @torch.no_grad()
    def act(self, t: int, inputs: Tensor) -> NDArray[np.float32]:
        """Actions ``[E, A]`` for inputs ``[E, D]``; what the update will need is kept."""
        actions, self.log_probs[t] = self.policy.sample(inputs, self._generator)
        self.actions[t] = actions
        self.look(t, inputs)
        acted: NDArray[np.float32] = actions.numpy()
        return acted

    @torch.no_grad()
    def look(self, t: int, inputs: Tensor) -> None:
        """Values of a step, as the critics give them: in units of their normalisers."""
        for index, network in enumerate(self.critics):
            self.values[index, t] = network(inputs).squeeze(-1)

    # ---- the update ----

    def learn(self, shared: Shared, rewards: Array, costs: Array, factor: Tensor) -> Tensor:
        """All epochs on a round of own ``rewards`` and ``costs`` ``[T, E]``; ``factor`` ``[B]``: the product of the
        ratios of those that went before. Returns the factor for the next."""
        settings, valid = self._settings, shared.valid
        advantages, targets = self._estimate(shared, (rewards, costs))
        gain = torch.from_numpy(standardise(advantages[0], valid).astype(np.float32)).reshape(-1)
        harm = torch.from_numpy(standardise(advantages[1], valid, settings.cost_std_floor).astype(np.float32))
        harm, weights = harm.reshape(-1), torch.from_numpy(valid.astype(np.float32)).reshape(-1)
        ended = int(shared.done[1:].sum())
        excess = cost_estimate(costs, valid, ended, self._horizon) - self._limit

        inputs = shared.inputs[:-1].reshape(len(weights), -1)
        actions, old = self.actions.reshape(len(weights), -1), self.log_probs.reshape(-1)
        for epoch in range(max(settings.policy_epochs, settings.critic_epochs)):
            for rows in torch.randperm(len(weights), generator=self._generator).tensor_split(settings.minibatches):
                seen, weight = inputs[rows], weights[rows]
                count = weight.sum().clamp(min=1.0)
                if epoch < settings.policy_epochs:
                    mixed = gain[rows] - self.multiplier * harm[rows]
                    ratio = self._climb(seen, actions[rows], old[rows], mixed, factor[rows] * weight, count)
                    self._price(excess, float((ratio * harm[rows] * weight).sum() / count))
                if epoch < settings.critic_epochs:
                    self._regress(seen, targets[:, rows], weight, count)
        with torch.no_grad():
            new = self.policy.log_prob(inputs, actions)
        return factor * ((new - old) * weights).exp()

    def _estimate(self, shared: Shared, signals: Sequence[Array]) -> tuple[list[Array], Tensor]:
        """Advantages ``[T, E]`` of reward and cost by GAE, and the critics' normalised targets ``[2, B]``."""
        settings, advantages, targets = self._settings, [], []
        for index, signal in enumerate(signals):
            scale = self._scales[index]
            values = scale.mean + scale.std * self.values[index].double().numpy()
            own = gae(signal, values, shared.terminated, shared.done, settings.gamma, settings.gae_lambda)
            returns = own + values[:-1]
            scale = self._scales[index] = scale.moved(returns[shared.valid], settings.value_weight)
            advantages.append(own)
            targets.append(((returns - scale.mean) / scale.std).astype(np.float32).reshape(-1))
        return advantages, torch.from_numpy(np.stack(targets))

    def _climb(
        self, inputs: Tensor, actions: Tensor, old: Tensor, mixed: Tensor, weight: Tensor, count: Tensor
    ) -> Tensor:
        """One clipped step of the policy; returns the ratios that it started from."""
        clip = self._settings.clip
        ratio = (self.policy.log_prob(inputs, actions) - old).exp()
        gain = torch.minimum(ratio * mixed, ratio.clamp(1.0 - clip, 1.0 + clip) * mixed)
        self._descend(-(gain * weight).sum() / count, self.policy, self._policy_adam)
        return ratio.detach()

    def _price(self, excess: float, surrogate: float) -> None:
        """lambda <- max(0, lambda + rate ((J - c) (1 - gamma) + mean(ratio * A_c))), in every minibatch as published;
        J is this round's, where the published code takes an older one."""
        settings = self._settings
        push = excess * (1.0 - settings.gamma) + surrogate
        self.multiplier = min(max(self.multiplier + settings.multiplier_rate * push, 0.0), settings.multiplier_max)

    def _regress(self, inputs: Tensor, targets: Tensor, weight: Tensor, count: Tensor) -> None:
        for network, adam, target in zip(self.critics, self._critic_adams, targets):
            value = network(inputs).squeeze(-1)
            error = torch.nn.functional.huber_loss(value, target, reduction="none", delta=HUBER_DELTA)
            self._descend((error * weight).sum() / count, network, adam)

    def _descend(self, loss: Tensor, network: nn.Module, adam: torch.optim.Adam) -> None:
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), self._settings.gradient_norm)
        adam.step()


def _adam(network: nn.Module, rate: float) -> torch.optim.Adam:
    # Fused as the agents' own: the published codes' loop over parameters is slower.
    return torch.optim.Adam(network.parameters(), lr=rate, eps=ADAM_EPSILON, fused=True)
