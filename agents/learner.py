"""An agent's learner: one method per step of the round, the same for every algorithm (``agents.algorithms``).

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
from scalmarl.agents.critics import Regression, explained_variance
from scalmarl.agents.hearing import Hearing
from scalmarl.agents.learner_state import Networks, load_state, save_state
from scalmarl.agents.ledger import Step, moved_sensitivity, theorem_price, told_allowance, told_step
from scalmarl.agents.networks import first_layer, last_layer
from scalmarl.agents.normaliser import FrozenInput, rescale_first_layer, rescale_last_layer
from scalmarl.agents.policy_update import Batch, ClippedTurn, Outcome, mixed_advantage
from scalmarl.agents.rollout import Rollout
from scalmarl.agents.settings import LearnerSettings
from scalmarl.agents.trust_region import Constraint, TrustRegionTurn
from scalmarl.protocol.keys import process_name
from scalmarl.protocol.kinds import Value
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.streams import Purpose, stream


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
        self._rollout = Rollout(plan, me, self._own.inputs.mean)
        self._figures: dict[str, Any] = {}
        self._outcome: Outcome | None = None

    # ---- 1. roll out ----

    def begin_round(self, round: int) -> None:
        """An empty rollout under frozen statistics."""
        self._round = round
        self._rollout = Rollout(self._plan, self._me, self._own.inputs.mean)
        self._see = FrozenInput(self._own.inputs, self._settings.observation_limit)
        self._act = self._own.policy.acting()
        self._figures = {"began": time.perf_counter()}

    def observe(self, step: int, observation: Value) -> Value:
        """Own reward, costs and flags; the own block is for the neighbours."""
        return self._rollout.observe(step, observation)

    def look(self, step: int, blocks: Sequence[Value | None]) -> None:
        """s_{N_kappa} of the step; ``None`` for an absent agent's block."""
        self._rollout.look(step, blocks)

    def act(self, step: int) -> Value:
        """a ~ pi(. | s_{N_kappa})."""
        t, copies = self._rollout.place(step)
        draw = stream(self._plan.seed, purpose=Purpose.ACTION_NOISE, process=self._me, round=self._round, step=step)
        action = self._act(self._see(self._rollout.inputs[t, copies]), draw)
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
        own = [
            gae(signal, value, rollout.terminated, rollout.done, settings.gamma, settings.gae_lambda)
            for signal, value in zip(signals, values)
        ]
        self._set_targets(own, values)
        self._step_multipliers()
        published = np.zeros((len(signals), self._plan.samples), "<f4")
        published[: len(own)] = np.stack(own).reshape(len(own), -1)
        slacks = np.array(self._slacks(published), dtype="<f4").reshape(len(self._limits), 3)
        self._require_finite("an advantage", published)
        self._require_finite("its slack", slacks)
        return published, slacks

    def _slacks(self, advantages: Value) -> list[tuple[float, float, float]]:
        """Per cost: what may be spent, the price of a step, the multiplier; in costs per episode, or, for the theorem's
        constants, as a discounted sum of the same rate."""
        own, settings, horizon = self._own, self._settings, self._plan.task.horizon
        rows = []
        for j, (limit, estimate) in enumerate(zip(self._limits, self._figures["cost_estimate"])):
            slack, price = limit - estimate, own.sensitivities[j]
            if settings.radius == "exact":
                slack = slack / (horizon * (1.0 - settings.gamma)) - settings.cost_truncation_error
                price = theorem_price(settings.gamma, float(np.abs(advantages[1 + j]).max()))
            rows.append((slack, price, own.multipliers[j]))
        return rows

    def _values(self) -> NDArray[np.float64]:
        """Denormalised values ``[1 + m, T + 1, E]`` of reward and costs."""
        with torch.no_grad():
            outs = [critic(self._inputs).squeeze(-1).double().numpy() for critic in self._own.critics]
        return np.stack([n.mean + n.std * out for n, out in zip(self._own.values, outs)])

    def _set_targets(self, advantages: Sequence[NDArray[np.float64]], values: NDArray[np.float64]) -> None:
        valid = self._rollout.valid
        targets, explained = [], []
        for index, (value, advantage) in enumerate(zip(values, advantages)):
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
        # Not those whose agent was gone already: its flags stay until the reset.
        ended = int((rollout.done[1:] & rollout.valid).sum())
        estimates = []
        for j, limit in enumerate(self._limits):
            j_now = multiplier.cost_estimate(rollout.costs[j], rollout.valid, ended, self._plan.task.horizon)
            if settings.has_multipliers:
                own.multipliers[j] = multiplier.step(
                    own.multipliers[j], j_now, limit, settings.multiplier_rate, self._plan.samples,
                    settings.multiplier_max,
                )  # fmt: skip
            estimates.append(j_now)
        self._figures["cost_estimate"] = estimates
        self._figures["multiplier"] = list(own.multipliers)

    # ---- 3. the turn ----

    def improve(
        self, advantages: Mapping[int, Value], slacks: Mapping[int, Value], turns: Mapping[int, Value]
    ) -> Iterator[None]:
        """The policy's step on what the algorithm lets count, times the predecessors' ratios, inside the bounds."""
        settings, rollout, own = self._settings, self._rollout, self._own
        heard = Hearing(self._plan, self._me, settings, rollout.valid, advantages, slacks, turns)
        batch = Batch(
            self._inputs[:-1].reshape(self._plan.samples, -1),
            torch.from_numpy(rollout.actions.reshape(self._plan.samples, -1)),
            torch.from_numpy(rollout.valid.reshape(-1).astype(np.float32)),
            heard.measured_rewards(),
            heard.measured_costs(),
        )
        parts = (own.policy, own.policy_optimiser, batch, heard.bounds(), settings)
        costs = heard.charged_costs() if settings.update == "clip" else []
        gain = mixed_advantage(heard.rewards, costs, rollout.valid, settings.cost_std_floor).reshape(-1) * heard.factor
        turn: ClippedTurn | TrustRegionTurn
        if settings.update == "clip":
            turn = ClippedTurn(*parts)
            minibatches = self._minibatches(Purpose.POLICY_MINIBATCHES, settings.policy_epochs)
            yield from turn.improve(self._signal(gain), minibatches)
        else:
            turn = TrustRegionTurn(*parts)
            yield from turn.improve(self._signal(gain), self._constraint(heard))
        self._outcome = turn.outcome()
        if settings.radius == "ledger":
            self._learn_sensitivities([told_step(self._plan, h, turns[h]) for h in sorted(turns)])

    def _constraint(self, heard: Hearing) -> Constraint | None:
        """The own cost that is furthest above its limit, relative to the limit."""
        if self._settings.cost_terms == "none" or not self._limits:
            return None
        excess = [j_now - c for j_now, c in zip(self._figures["cost_estimate"], self._limits)]
        worst = max(range(len(excess)), key=lambda j: excess[j] / max(self._limits[j], 1.0))
        centred = self._signal(heard.centred_cost(worst) * heard.factor)
        return Constraint(centred, excess[worst] / self._plan.task.horizon)

    def _learn_sensitivities(self, before: Sequence[Step]) -> None:
        """From the own step and those that went ``before``: from later ones news would reach kappa hops further."""
        assert self._outcome is not None
        steps = [*before, self._outcome.step]
        for j, old in enumerate(self._own.sensitivities):
            self._own.sensitivities[j] = moved_sensitivity(old, steps, (self._me, j), self._plan.task.horizon)

    def _signal(self, advantage: NDArray[np.float64]) -> torch.Tensor:
        self._require_finite("its mixed advantage, made of what its neighbourhood published,", advantage)
        return torch.from_numpy(advantage.astype(np.float32))

    def turn(self) -> Value:
        """Log-ratios, mean and largest KL, and what this turn does to the heard rewards and to each heard cost."""
        outcome = self._outcome
        assert outcome is not None
        figures = [outcome.step.kl_mean, outcome.step.kl_max, outcome.reward_gain, *outcome.step.gains.values()]
        told = np.concatenate([outcome.log_ratio.numpy(), np.array(figures, np.float32)]).astype("<f4")
        self._require_finite("what its turn did to its policy", told)
        return told

    # ---- 4. critics ----

    def train_critics(self) -> Iterator[None]:
        """Huber regression of reward and cost critics on their normalised targets."""
        inputs = self._inputs[:-1].reshape(self._plan.samples, -1)
        weights = torch.from_numpy(self._rollout.valid.reshape(-1).astype(np.float32))
        minibatches = self._minibatches(Purpose.CRITIC_MINIBATCHES, self._settings.critic_epochs)
        yield from Regression(inputs, self._targets, weights).train(
            self._own.critics, self._own.critic_optimisers, minibatches, self._settings.gradient_norm
        )

    def _minibatches(self, purpose: Purpose, epochs: int) -> list[list[torch.Tensor]]:
        draw = stream(self._plan.seed, purpose=purpose, process=self._me, round=self._round)
        pieces = self._settings.minibatches
        return [
            [torch.from_numpy(rows) for rows in np.array_split(draw.permutation(self._plan.samples), pieces)]
            for _ in range(epochs)
        ]

    # ---- 5. close the round ----

    def close_round(self) -> dict[str, Any]:
        """Merge the input statistics; give the round's figures."""
        self._merge_inputs()
        for name, network, _ in self._own.trained():
            for parameter in network.parameters():
                self._require_finite(f"a parameter of its {name}", parameter.detach().numpy())
        outcome, own, figures = self._outcome, self._own, self._figures
        assert outcome is not None
        now = time.perf_counter()
        return {
            "kl": outcome.step.kl_mean,
            "kl_max": outcome.step.kl_max,
            "radius": outcome.radius,
            "bound": outcome.bound,
            "epochs": outcome.epochs,
            "clip_fraction": outcome.clip_fraction,
            "policy_std": own.policy.mean_std(),
            "policy_entropy": outcome.entropy,
            "reward_gain": outcome.reward_gain,
            **outcome.course.figures(),
            "allowance": told_allowance(outcome.tightest),
            "sensitivity": list(own.sensitivities),
            **{name: figures[name] for name in ("explained_variance", "cost_estimate", "multiplier")},
            "sample_s": figures["estimated"] - figures["began"],
            "update_s": now - figures["estimated"],
        }

    def _merge_inputs(self) -> None:
        old = self._own.inputs
        new = old.merged(self._rollout.inputs[:-1], self._rollout.unseen)
        for network in (self._own.policy.network, *self._own.critics):
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
