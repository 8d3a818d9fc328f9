"""An agent's learner: Scal-MAPPO-L with the neighbourhood repairs, one method per step of the round.

Everything here is the agent's own: its policy, reward critic and cost critics over s_{N_kappa}, multipliers,
normalisers and optimisers. What others published comes in as arguments. Equation numbers are those of Zhang et al.,
"Scalable Constrained Policy Optimization for Safe Multi-agent Reinforcement Learning", NeurIPS 2024.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scalmarl.agents import multiplier
from scalmarl.agents.advantages import gae
from scalmarl.agents.learner_state import Networks, load_state, save_state
from scalmarl.agents.networks import QuickMean, first_layer, last_layer
from scalmarl.agents.normaliser import FrozenInput, rescale_first_layer, rescale_last_layer
from scalmarl.agents.policy_update import Batch, Outcome, PolicyTurn, mixed_advantage, predecessor_factor
from scalmarl.agents.rollout import Rollout
from scalmarl.agents.settings import LearnerSettings
from scalmarl.protocol.keys import process_name
from scalmarl.protocol.kinds import TURN_FIGURES, Value, turn_surrogates
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.streams import Purpose, stream

HUBER_DELTA = 10.0
SENSITIVITY_WEIGHT = 0.1
SENSITIVITY_RANGE = (1e-3, 1e3)


class NotFinite(ArithmeticError):
    """Learning has led to a number that is not finite: the message says whose, in which round, and which."""


class Learner:
    """See ``agents.body.RoundLearner`` for the contract of each method; those that learn raise ``NotFinite``."""

    def __init__(self, plan: Plan, me: int) -> None:
        self._plan, self._me = plan, me
        self._settings = LearnerSettings.from_data(plan.learner)
        self._limits = plan.task.cost_limits[me]
        self._own = Networks(plan, me, self._settings)
        self._round = 0
        self._rollout = Rollout(plan, me)
        self._figures: dict[str, Any] = {}
        self._outcome: Outcome | None = None

    # ---- 1. roll out ----

    def begin_round(self, round: int) -> None:
        """An empty rollout under frozen statistics."""
        self._round = round
        self._rollout = Rollout(self._plan, self._me)
        self._see = FrozenInput(self._own.inputs, self._settings.observation_limit)
        self._mean = QuickMean(self._own.policy.mean)
        self._std: NDArray[np.float32] = self._own.policy.log_std.detach().exp().numpy()
        self._figures = {"began": time.perf_counter()}

    def observe(self, step: int, observation: Value) -> Value:
        """Own reward, costs and flags; the own block is for the neighbours."""
        return self._rollout.observe(step, observation)

    def look(self, step: int, blocks: Sequence[Value]) -> None:
        """s_{N_kappa} of the step."""
        self._rollout.look(step, blocks)

    def act(self, step: int) -> Value:
        """a ~ pi(. | s_{N_kappa})."""
        t, copies = self._rollout.place(step)
        mean = self._mean(self._see(self._rollout.inputs[t, copies]))
        draw = stream(self._plan.seed, purpose=Purpose.ACTION_NOISE, process=self._me, round=self._round, step=step)
        noise = draw.standard_normal(mean.shape, dtype=np.float32)
        action: NDArray[np.float32] = mean + self._std * noise
        self._rollout.actions[t, copies] = action
        return action

    # ---- 2. estimate ----

    def estimate(self) -> tuple[Value, Value]:
        """GAE for the reward and for each cost, value targets, and one step of each multiplier."""
        rollout, settings = self._rollout, self._settings
        self._figures["estimated"] = time.perf_counter()
        self._require_finite("what its neighbourhood observed", rollout.inputs)
        self._inputs = torch.from_numpy(self._see(rollout.inputs))
        values = self._values()
        signals = [rollout.rewards, *rollout.costs]
        for (critic, _, _), signal, value in zip(self._own.trained()[1:], signals, values):
            self._require_finite(f"what its {critic} learns from", signal)
            self._require_finite(f"a value of its {critic}", value)
        self._advantages = np.stack(
            [
                gae(signal, value, rollout.terminated, rollout.done, settings.gamma, settings.gae_lambda)
                for signal, value in zip(signals, values)
            ]
        )
        self._set_targets(values)
        self._step_multipliers()
        slack = [
            (limit - estimate, sensitivity, multiplier_)
            for limit, estimate, sensitivity, multiplier_ in zip(
                self._limits, self._figures["cost_estimate"], self._own.sensitivities, self._own.multipliers
            )
        ]
        samples = self._plan.samples
        published = self._advantages.reshape(-1, samples).astype("<f4")
        slacks = np.array(slack, dtype="<f4").reshape(len(self._limits), 3)
        self._require_finite("an advantage", published)
        self._require_finite("its slack", slacks)
        return published, slacks

    def _values(self) -> NDArray[np.float64]:
        """Denormalised values ``[1 + m, T + 1, E]`` of reward and costs."""
        with torch.no_grad():
            outs = [critic(self._inputs).squeeze(-1).double().numpy() for critic in self._own.critics]
        return np.stack([n.mean + n.std * out for n, out in zip(self._own.values, outs)])

    def _set_targets(self, values: NDArray[np.float64]) -> None:
        valid = self._rollout.valid
        targets, explained = [], []
        for index, (value, advantage) in enumerate(zip(values, self._advantages)):
            returns = advantage + value[:-1]
            old = self._own.values[index]
            new = old.moved(returns[valid], self._settings.value_weight)
            rescale_last_layer(last_layer(self._own.critics[index]), old, new)
            self._own.values[index] = new
            targets.append((returns - new.mean) / new.std)
            explained.append(explained_variance(value[:-1][valid], returns[valid]))
        self._targets = torch.from_numpy(np.stack(targets).reshape(len(targets), -1).astype(np.float32))
        self._figures["explained_variance"] = explained

    def _step_multipliers(self) -> None:
        rollout, settings, own = self._rollout, self._settings, self._own
        ended = int(rollout.done[1:].sum())
        estimates = []
        for j, limit in enumerate(self._limits):
            j_now = multiplier.cost_estimate(rollout.costs[j], rollout.valid, ended, self._plan.task.horizon)
            own.multipliers[j] = multiplier.step(
                own.multipliers[j], j_now, limit, settings.multiplier_rate, self._plan.samples, settings.multiplier_max
            )
            estimates.append(j_now)
        self._figures["cost_estimate"] = estimates
        self._figures["multiplier"] = list(own.multipliers)

    # ---- 3. the turn ----

    def improve(
        self, advantages: Mapping[int, Value], slacks: Mapping[int, Value], turns: Mapping[int, Value]
    ) -> Iterator[None]:
        """Eq. 20 on the neighbourhood's mixed advantage, times the predecessors' ratios, inside the radius."""
        settings, rollout, samples = self._settings, self._rollout, self._plan.samples
        valid = rollout.valid
        self._heard_costs = {
            (h, j): advantages[h][1 + j].reshape(valid.shape).astype(np.float64)
            for h, j in turn_surrogates(self._plan, self._me)
        }
        rewards = [advantages[h][0].reshape(valid.shape).astype(np.float64) for h in sorted(advantages)]
        # A cost that everybody is given a copy of is charged once, by its owner.
        charged = sorted(advantages) if self._plan.task.cost_mode == "local" else [self._me]
        costs = [(float(slacks[h][j, 2]), self._heard_costs[h, j]) for h in charged for j in range(self._plan.costs(h))]
        log_ratios = [turns[h][:samples].astype(np.float64) for h in sorted(turns)]
        factor = predecessor_factor(log_ratios, settings.log_factor_limit, samples)
        mixed = mixed_advantage(rewards, costs, valid, settings.cost_std_floor).reshape(-1) * factor
        self._require_finite("its mixed advantage, made of what its neighbourhood published,", mixed)
        width = self._inputs.shape[-1]
        batch = Batch(
            self._inputs[:-1].reshape(samples, width),
            torch.from_numpy(rollout.actions.reshape(samples, -1)),
            torch.from_numpy(valid.reshape(-1).astype(np.float32)),
        )
        turn = PolicyTurn(self._own.policy, self._own.policy_optimiser, batch, settings)
        rows = self._minibatches(Purpose.POLICY_MINIBATCHES, settings.policy_epochs)
        yield from turn.improve(torch.from_numpy(mixed.astype(np.float32)), settings.kl_max, rows)
        self._outcome = turn.outcome()
        self._reward_signal = np.sum(rewards, axis=0)

    def turn(self) -> Value:
        """Log-ratios, mean and largest KL, and what this turn does to each neighbour's reward and costs.

        A surrogate is mean((ratio - 1) * A): exactly 0 for an agent that did not move.
        """
        outcome, valid = self._outcome, self._rollout.valid
        assert outcome is not None
        log_ratio = outcome.log_ratio.numpy()
        change = np.expm1(log_ratio.astype(np.float64)).reshape(valid.shape)
        count = max(int(valid.sum()), 1)
        signals = [self._reward_signal, *self._heard_costs.values()]
        surrogates = [float((change * signal)[valid].sum()) / count for signal in signals]
        figures = [outcome.kl_mean, outcome.kl_max, *surrogates]
        told = np.concatenate([log_ratio, np.array(figures, np.float32)]).astype("<f4")
        self._require_finite("what its turn did to its policy", told)
        return told

    # ---- 4. critics ----

    def train_critics(self) -> Iterator[None]:
        """Huber regression of reward and cost critics on their normalised targets."""
        inputs = self._inputs[:-1].reshape(self._plan.samples, -1)
        weights = torch.from_numpy(self._rollout.valid.reshape(-1).astype(np.float32))
        for epoch in self._minibatches(Purpose.CRITIC_MINIBATCHES, self._settings.critic_epochs):
            for rows in epoch:
                seen, weight = inputs[rows], weights[rows]
                for index, (critic, optimiser) in enumerate(zip(self._own.critics, self._own.critic_optimisers)):
                    error = torch.nn.functional.huber_loss(
                        critic(seen).squeeze(-1), self._targets[index, rows], reduction="none", delta=HUBER_DELTA
                    )
                    loss = (error * weight).sum() / weight.sum().clamp(min=1.0)
                    optimiser.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    torch.nn.utils.clip_grad_norm_(critic.parameters(), self._settings.gradient_norm)
                    optimiser.step()
                yield

    def _minibatches(self, purpose: Purpose, epochs: int) -> list[list[torch.Tensor]]:
        draw = stream(self._plan.seed, purpose=purpose, process=self._me, round=self._round)
        pieces = self._settings.minibatches
        return [
            [torch.from_numpy(rows) for rows in np.array_split(draw.permutation(self._plan.samples), pieces)]
            for _ in range(epochs)
        ]

    # ---- 5. close the round ----

    def close_round(self, turns: Mapping[int, Value]) -> dict[str, Any]:
        """Learn how strongly neighbours move the own costs; merge the input statistics; give the round's figures."""
        self._learn_sensitivities(turns)
        self._merge_inputs()
        for name, network, _ in self._own.trained():
            for parameter in network.parameters():
                self._require_finite(f"a parameter of its {name}", parameter.detach().numpy())
        outcome, own, figures = self._outcome, self._own, self._figures
        assert outcome is not None
        now = time.perf_counter()
        return {
            "kl": outcome.kl_mean,
            "kl_max": outcome.kl_max,
            "radius": self._settings.kl_max,
            "bound": outcome.bound,
            "epochs": outcome.epochs,
            "clip_fraction": outcome.clip_fraction,
            "policy_std": float(own.policy.log_std.detach().exp().mean()),
            "sensitivity": list(own.sensitivities),
            **{name: figures[name] for name in ("explained_variance", "cost_estimate", "multiplier")},
            "sample_s": figures["estimated"] - figures["began"],
            "update_s": now - figures["estimated"],
        }

    def _learn_sensitivities(self, turns: Mapping[int, Value]) -> None:
        samples = self._plan.samples
        for j in range(len(self._limits)):
            seen = []
            for h in sorted(turns):
                place = turn_surrogates(self._plan, h).index((self._me, j))
                surrogate = abs(float(turns[h][samples + TURN_FIGURES + place]))
                spent = float(np.sqrt(max(float(turns[h][samples]), 0.0) / 2.0))
                if spent > 0.0:
                    seen.append(surrogate / spent)
            if seen:
                old = self._own.sensitivities[j]
                new = old + SENSITIVITY_WEIGHT * (sum(seen) / len(seen) - old)
                self._own.sensitivities[j] = min(max(new, SENSITIVITY_RANGE[0]), SENSITIVITY_RANGE[1])

    def _merge_inputs(self) -> None:
        old = self._own.inputs
        new = old.merged(self._rollout.inputs[:-1])
        for network in (self._own.policy.mean, *self._own.critics):
            rescale_first_layer(first_layer(network), old, new)
        self._own.inputs = new

    def _require_finite(self, quantity: str, values: NDArray[Any]) -> None:
        if not np.isfinite(values).all():
            raise NotFinite(f"{process_name(self._me)}, round {self._round}: {quantity} is not finite")

    def save(self) -> bytes:
        """The agent's round file: networks, optimisers, multipliers, normalisers, sensitivities."""
        return save_state(self._own)

    def load(self, content: bytes) -> None:
        """The inverse of ``save``."""
        load_state(self._own, content)


def explained_variance(predicted: NDArray[np.float64], returns: NDArray[np.float64]) -> float:
    """1 - Var(returns - predicted) / Var(returns); 0 where the returns do not vary."""
    spread = float(returns.var()) if returns.size else 0.0
    return 1.0 - float((returns - predicted).var()) / spread if spread > 1e-12 else 0.0
