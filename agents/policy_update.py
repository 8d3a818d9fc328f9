"""One turn of the policy: clipped steps on the mixed advantage, really kept inside every bound.

Reading order follows the algorithm: mix what the neighbourhood published into one advantage (Eq. 18, repaired:
neighbours' rewards and costs count), multiply by the predecessors' ratios, take clipped steps (Eq. 20),
go back when a bound is broken, and, where asked for, keep the old policy unless the gain is certain.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalmarl.agents.advantages import standardise
from scalmarl.agents.ledger import BISECTIONS, Allowance, Bounds, Step, theorem_price
from scalmarl.agents.policies import Distribution, Policy
from scalmarl.agents.settings import LearnerSettings

Array = NDArray[np.float64]


def mixed_advantage(
    rewards: Sequence[NDArray[np.floating]],
    costs: Sequence[tuple[float, NDArray[np.floating]]],
    valid: NDArray[np.bool_],
    cost_std_floor: float,
) -> Array:
    """(sum A_r - sum lambda A_c) / (1 + sum lambda), standardised; ``[T, E]``, 0 where not valid.

    ``rewards``: the neighbourhood's raw reward advantages, summed and then standardised; ``costs``: (lambda, raw cost
    advantage) pairs, each centred and divided by its deviation or the floor: a cost that is almost always zero must not
    become a full-size signal.
    """
    total = standardise(np.sum([a.astype(np.float64) for a in rewards], axis=0), valid)
    weight = 1.0
    for multiplier, advantage in costs:
        if multiplier > 0.0:
            total = total - multiplier * standardise(advantage, valid, cost_std_floor)
            weight += multiplier
    return standardise(total / weight, valid)


def predecessor_factor(log_ratios: Sequence[NDArray[np.floating]], limit: float, samples: int) -> Array:
    """Product of the predecessors' ratios inside kappa hops, ``[B]``; its logarithm is clamped to +-``limit``."""
    total = np.zeros(samples)
    for log_ratio in log_ratios:
        total = total + log_ratio.astype(np.float64)
    return np.exp(np.clip(total, -limit, limit))


@dataclass(frozen=True)
class Batch:
    """A round's samples, flat ``[B, ...]``; ``weights`` 1 where valid, else 0.

    ``rewards`` ``[B]``: the summed reward advantages that the turn is about; ``costs``: cost advantages ``[B]``
    of every (agent h, cost j) that was heard.
    """

    inputs: Tensor
    actions: Tensor
    weights: Tensor
    rewards: Array
    costs: Mapping[tuple[int, int], Array]


@dataclass
class Outcome:
    """What a turn did. ``log_ratio`` ``[B]`` of the sampled actions, exactly 0 for an agent that did not move.

    ``bound`` names what ended the turn: ``epochs`` where nothing did before they were over. ``entropy``: mean over the
    valid samples, in nats. ``tightest``: the allowance that left this step the least, if one bounded it. ``course``:
    how it came to be this step.
    """

    log_ratio: Tensor
    step: Step
    reward_gain: float
    radius: float
    epochs: int
    bound: str
    clip_fraction: float
    entropy: float
    tightest: Allowance | None
    course: Course


@dataclass
class Course:
    """How a turn came to its step; each ``None`` where it did not come to that.

    ``rejected_kl``: mean KL of the epoch that broke a bound, nats; ``kept``: the share of that epoch's way, or of the
    trust-region step, that was kept; ``certain_gain``: the lower bound of the gain that the accept test tried last;
    ``accepted``: the share of the whole turn that the test left.
    """

    rejected_kl: float | None = None
    kept: float | None = None
    certain_gain: float | None = None
    accepted: float | None = None

    def figures(self) -> dict[str, float | None]:
        """For the round's row; what is not finite (an epoch that led to no number) is ``None`` too."""
        return {name: x if x is not None and math.isfinite(x) else None for name, x in vars(self).items()}


Reached = tuple[list[Tensor], dict[str, Any]]
"""Parameters and optimiser state."""


class PolicyTurn:
    """The update of one policy in one turn: what both kinds of update measure, and how they go back."""

    def __init__(
        self,
        policy: Policy,
        optimiser: torch.optim.Optimizer,
        batch: Batch,
        bounds: Bounds,
        settings: LearnerSettings,
    ) -> None:
        self._policy, self._optimiser, self._batch = policy, optimiser, batch
        self._bounds, self._settings = bounds, settings
        self._old = self._now()
        self._old_log_prob = self._old.log_prob(batch.actions)
        self._valid: NDArray[np.bool_] = batch.weights.numpy() > 0
        self._count = max(int(self._valid.sum()), 1)
        self._clipped = [0.0, 0.0]
        self._bound, self._epochs, self._course = "epochs", 0, Course()

    def outcome(self) -> Outcome:
        """Measured on the full batch with the policy as it now is."""
        new = self._now()
        log_ratio, step = self._compared(new)
        clipped = self._clipped[0] / self._clipped[1] if self._clipped[1] else 0.0
        gain = self._gain(change_of(log_ratio), self._batch.rewards)
        radius = self._bounds.radius(step)
        entropy = float((new.entropy() * self._batch.weights).double().sum() / self._count)
        tightest = self._bounds.tightest(step)
        return Outcome(
            log_ratio, step, gain, radius, self._epochs, self._bound, clipped, entropy, tightest, self._course
        )  # fmt: skip

    def _now(self) -> Distribution:
        """The policy as it now is, over the full batch."""
        with torch.no_grad():
            distribution: Distribution = self._policy(self._batch.inputs)
        return distribution

    def _measure(self) -> tuple[Tensor, Step]:
        return self._compared(self._now())

    def _compared(self, new: Distribution) -> tuple[Tensor, Step]:
        """Log-ratios ``[B]`` of the new policy, how far it is from the old one, and what it does to each heard cost."""
        batch = self._batch
        log_ratio = (new.log_prob(batch.actions) - self._old_log_prob) * batch.weights
        kl = self._old.kl_divergence(new) * batch.weights
        change = change_of(log_ratio)
        gains = {at: self._gain(change, advantage) for at, advantage in batch.costs.items()}
        return log_ratio, Step(float(kl.double().sum() / self._count), float(kl.max()), gains)

    def _breached(self) -> str | None:
        self._tried = self._measure()[1]
        return self._bounds.breached(self._tried)

    def _gain(self, change: Array, advantage: Array) -> float:
        """mean((ratio - 1) * A) over the valid samples: exactly 0 for a policy that did not move."""
        return float((change * advantage)[self._valid].sum()) / self._count

    def _go_back(self, accepted: Reached) -> float:
        """To the nearest of four bisections towards the accepted policy that keeps every bound, or to that policy; the
        share of the way that is kept."""
        start, optimiser_state = accepted
        reached = [parameter.detach().clone() for parameter in self._policy.parameters()]
        self._optimiser.load_state_dict(optimiser_state)
        for bisection in range(1, BISECTIONS + 1):
            self._place(start, reached, 0.5**bisection)
            bound = self._breached()
            if bound is None:
                return 0.5**bisection
            self._bound = bound
        self._place(start, start, 0.0)
        return 0.0

    def _place(self, start: Sequence[Tensor], end: Sequence[Tensor], fraction: float) -> None:
        with torch.no_grad():
            for parameter, a, b in zip(self._policy.parameters(), start, end):
                parameter.copy_(a if fraction == 0.0 else torch.lerp(a, b, fraction))

    def _reached(self) -> Reached:
        parameters = [parameter.detach().clone() for parameter in self._policy.parameters()]
        return parameters, copy.deepcopy(self._optimiser.state_dict())


class ClippedTurn(PolicyTurn):
    """Clipped steps (Eq. 20), epoch by epoch, inside the bounds."""

    def improve(self, advantage: Tensor, minibatches: Sequence[Sequence[Tensor]]) -> Iterator[None]:
        """Steps on ``advantage`` ``[B]`` (factor included); yields after each minibatch.

        ``minibatches[epoch]`` are index tensors. After an epoch that broke a bound on the full batch, the policy goes
        back to the last accepted epoch, or to the nearest of four bisections towards the new one.
        """
        first = accepted = self._reached()
        for epoch in minibatches:
            for rows in epoch:
                self._climb(rows, advantage)
                yield
            bound = self._breached()
            if bound is not None:
                self._bound, self._course.rejected_kl = bound, self._tried.kl_mean
                self._course.kept = self._go_back(accepted)
                break
            accepted = self._reached()
            self._epochs += 1
        if self._settings.accept:
            self._keep_certain_gain(first)

    def _climb(self, rows: Tensor, advantage: Tensor) -> None:
        batch, clip = self._batch, self._settings.clip
        weights = batch.weights[rows]
        if not weights.any():
            # Adam would go on by its moments, unseen by any measure of the step.
            return
        new: Distribution = self._policy(batch.inputs.index_select(0, rows))
        ratio = (new.log_prob(batch.actions[rows]) - self._old_log_prob[rows]).exp()
        gain = torch.minimum(ratio * advantage[rows], ratio.clamp(1.0 - clip, 1.0 + clip) * advantage[rows])
        loss = -(gain * weights).sum() / weights.sum().clamp(min=1.0)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._policy.parameters(), self._settings.gradient_norm)
        self._optimiser.step()
        outside = ((ratio.detach() - 1.0).abs() > clip).float()
        self._clipped[0] += float((outside * weights).sum())
        self._clipped[1] += float(weights.sum())

    def _keep_certain_gain(self, first: Reached) -> None:
        """The accept test: the first of four bisections towards the old policy whose lower bound of the gain,
        L / (1 - gamma) - nu * max KL, exceeds ``truncation_error``, else the old policy
        (Prop. 3.5, with the largest sampled A)."""
        if not self._measure()[1].kl_max > 0.0:
            return
        gamma = self._settings.gamma
        largest = float(np.abs(self._batch.rewards[self._valid]).max(initial=0.0))
        start, optimiser_state = first
        end = [parameter.detach().clone() for parameter in self._policy.parameters()]
        for bisection in range(BISECTIONS + 1):
            self._place(start, end, 0.5**bisection)
            log_ratio, step = self._measure()
            gain = self._gain(change_of(log_ratio), self._batch.rewards)
            certain = gain / (1.0 - gamma) - theorem_price(gamma, largest) * step.kl_max
            self._course.certain_gain, self._course.accepted = certain, 0.5**bisection
            if certain > self._settings.truncation_error and self._bounds.breached(step) is None:
                return
            self._bound = "accept"
            # Moments of a step that is not taken whole are those of where it began, as in going back.
            self._optimiser.load_state_dict(optimiser_state)
        self._course.accepted = 0.0
        self._place(start, start, 0.0)


def change_of(log_ratio: Tensor) -> Array:
    """ratio - 1, ``[B]``, in double precision."""
    change: Array = np.expm1(log_ratio.numpy().astype(np.float64))
    return change
