"""One turn of the plain trainer: what was heard, how far a step went, what bounds it, and the clipped update."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from scalmarl.protocol.plan import Plan

from .plain_agent import Net

CLIP, FACTOR_LIMIT, COST_FLOOR = 0.2, 1.5, 0.05
"""The settings of the runs, as in ``small_plan``."""


class Step(NamedTuple):
    """A policy's way from the old to the new one: log-ratios of the samples, mean and largest KL, what it gains of the
    rewards that count, and of each heard (agent, cost)."""

    log_ratio: Any
    kl: float
    largest_kl: float
    reward: float
    gains: dict[tuple[int, int], float]


@dataclass
class Heard:
    """``parts``: what each of N_kappa(``me``) made of its batch; ``before``: the steps of the predecessors there."""

    plan: Plan
    me: int
    parts: dict[int, dict[str, Any]]
    before: dict[int, Step]
    has_factor: bool
    mutant: str

    @property
    def own(self) -> dict[str, Any]:
        return self.parts[self.me]

    @cached_property
    def factor(self) -> Any:
        """How much likelier the predecessors have made each sample."""
        told = [step.log_ratio for step in self.before.values()] if self.has_factor else []
        return np.exp(np.clip(sum(told, np.zeros(self.plan.samples)), -FACTOR_LIMIT, FACTOR_LIMIT))

    def mixed(self, rewards: Sequence[int], costs: Sequence[int]) -> Any:
        """The advantage of the turn, before the factor."""
        valid = self.own["valid"]

        def scaled(x: Any, floor: float) -> Any:
            return np.where(valid, (x - x[valid].mean()) / max(x[valid].std(), floor), 0.0)

        total, weight = scaled(sum(self.parts[h]["advantages"][0] for h in rewards), 1e-8), 1.0
        for h in costs:
            for j, multiplier in enumerate(self.parts[h]["multipliers"]):
                total = total - multiplier * scaled(self.parts[h]["advantages"][1 + j], COST_FLOOR)
                weight += multiplier
        return scaled(total / weight, 1e-8).ravel()

    def clique(self, h: int) -> tuple[set[int], int]:
        """Of those that hear ``h``: the ones that share a part of its slack with ``me``, and the number of parts.

        N_kappa(h) is cut from the left into pieces of kappa + 1: longer ones would hold two that do not hear each
        other.
        """
        kappa, last = self.plan.kappa, self.plan.agents - 1
        members = list(range(max(h - kappa, 0), min(h + kappa, last) + 1))
        pieces = [set(members[n : n + kappa + 1]) for n in range(0, len(members), kappa + 1)]
        if self.mutant == "one clique for all that hear":
            pieces = [set(members)]
        return next(piece for piece in pieces if self.me in piece), len(pieces)


class PlainTurn:
    """A policy that moves, measured against what it was. ``radius``: what bounds it besides ``kl_max``."""

    def __init__(self, policy: Net, heard: Heard, rewards: Sequence[int], radius: str, events: Counter[str]) -> None:
        self.policy, self.heard, self.radius, self.events = policy, heard, radius, events
        self.settings, self.mutant = heard.plan.learner, heard.mutant
        self.valid = heard.own["valid"].ravel()
        self.z, self.weights = heard.own["z"], torch.tensor(self.valid.astype("f4"))
        self.actions = torch.tensor(heard.own["actions"].reshape(len(self.valid), -1))
        self.everything = torch.arange(len(self.valid))
        self.choices = heard.plan.task.action_choices[heard.me]
        with torch.no_grad():
            self.old, self.old_log = self.look(self.everything)
        # The theorem is about the policies of the moment, so it weighs samples by how the predecessors moved.
        weight = heard.factor if radius == "exact" and self.mutant != "bounds without the factor" else 1.0
        advantages = {h: [a.ravel() * weight for a in part["advantages"]] for h, part in heard.parts.items()}
        self.rewards = sum(advantages[h][0] for h in rewards)
        # Who does not read costs has no advantages of them either.
        self.costs = {(h, j): a for h, found in advantages.items() for j, a in enumerate(found[1:])}
        self.allowances = self.left_to_spend() if radius != "off" else {}

    def look(self, rows: Any) -> tuple[tuple[Any, ...], Any]:
        """The parameters of the distributions, and the log-probabilities of what was done."""
        out, actions = self.policy(self.z[rows]), self.actions[rows]
        if self.choices:
            return (out,), torch.distributions.Categorical(logits=out).log_prob(actions[:, 0])
        std = self.policy.by_name["policy.log_std"].exp()
        return (out, std), torch.distributions.Normal(out, std.expand_as(out)).log_prob(actions).sum(1)

    def divergence(self, new: tuple[Any, ...]) -> Any:
        """KL(old || new) of every sample; in doubles, because the terms of a short step cancel."""
        one, two = ([x.double() for x in parameters] for parameters in (self.old, new))
        if self.choices:
            p = one[0].softmax(1)
            return (p * (p.log() - two[0].softmax(1).log())).sum(1)
        (old_mean, old_std), (mean, std) = one, two
        return (std.log() - old_std.log() + (old_std**2 + (old_mean - mean) ** 2) / (2 * std**2) - 0.5).sum(1)

    def measure(self) -> Step:
        with torch.no_grad():
            new, log = self.look(self.everything)
        log_ratio = ((log - self.old_log) * self.weights).double().numpy()
        kl = self.divergence(new).numpy()[self.valid]
        gains = {at: self.gain(log_ratio, advantage) for at, advantage in self.costs.items()}
        return Step(log_ratio, float(kl.mean()), float(kl.max()), self.gain(log_ratio, self.rewards), gains)

    def gain(self, log_ratio: Any, advantage: Any) -> float:
        return float((np.expm1(log_ratio) * advantage)[self.valid].mean())

    # ---- what bounds a step ----

    def spends(self, step: Step, at: tuple[int, int], price: float) -> float:
        """Of the slack of (agent, cost) ``at``."""
        if self.radius == "exact":
            kl = step.kl if self.mutant == "mean KL in the bounds" else step.largest_kl
            return step.gains[at] / (1 - self.settings["gamma"]) + price * kl
        return price * math.sqrt(step.kl / 2) if step.gains[at] > 0 else 0.0

    def left_to_spend(self) -> dict[tuple[int, int], tuple[float, float]]:
        """(agent, cost) -> (slack that is left of the own clique's part, price)."""
        found = {}
        for h, part in self.heard.parts.items():
            clique, parts = self.heard.clique(h)
            for j, (slack, price) in enumerate(part["slack"]):
                steps = [step for m, step in self.heard.before.items() if m in clique]
                if self.mutant == "predecessors spend nothing":
                    steps = []
                spent = sum(max(self.spends(step, (h, j), price), 0.0) for step in steps)
                share = slack if self.mutant == "whole slack for every clique" else slack / parts
                found[h, j] = (share - spent, price)
        return found

    def breaks_a_bound(self, step: Step) -> bool:
        if step.kl > self.settings["kl_max"]:
            self.events["kl_max"] += 1
            return True
        if self.radius == "ledger" and step.kl <= self.settings["kl_min"]:
            return False
        short = any(self.spends(step, at, price) > max(left, 0.0) for at, (left, price) in self.allowances.items())
        self.events["slack"] += short
        return short


def clipped_turn(turn: PlainTurn, signal: Any, epochs: Sequence[Sequence[Any]]) -> None:
    """Clipped steps on ``signal``, the advantage with its factor; ``epochs``: the rows of each minibatch."""
    policy, weights = turn.policy, turn.weights
    first, first_moments = kept, kept_moments = policy.values(), policy.moments()
    for epoch in epochs:
        for rows in epoch:
            ratio = (turn.look(rows)[1] - turn.old_log[rows]).exp()
            gain = torch.min(ratio * signal[rows], ratio.clip(1 - CLIP, 1 + CLIP) * signal[rows])
            policy.descend(-(gain * weights[rows]).sum() / weights[rows].sum())
        if turn.breaks_a_bound(turn.measure()):
            reached = policy.values()
            policy.adam.load_state_dict(kept_moments)
            for fraction in (1 / 2, 1 / 4, 1 / 8, 1 / 16, 0.0):
                policy.put_between(kept, reached, fraction)
                if fraction == 0.0 or not turn.breaks_a_bound(turn.measure()):
                    break
            turn.events["taken back"] += 1
            break
        kept, kept_moments = policy.values(), policy.moments()
    if turn.radius == "exact":
        keep_a_certain_gain(turn, first, first_moments)


def keep_a_certain_gain(turn: PlainTurn, first: Sequence[Any], first_moments: dict[str, Any]) -> None:
    """Eq. 14: shorten the step until its gain is certain, else stay."""
    if turn.measure().largest_kl == 0.0:
        return
    policy, gamma = turn.policy, turn.settings["gamma"]
    nu = 2 * gamma * np.abs(turn.rewards[turn.valid]).max() / (1 - gamma) ** 2
    reached = policy.values()
    for fraction in (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16):
        policy.put_between(first, reached, fraction)
        step = turn.measure()
        loss = nu * (step.kl if turn.mutant == "mean KL in the bounds" else step.largest_kl)
        certain = step.reward / (1 - gamma) - loss > turn.settings["truncation_error"]
        if (certain or turn.mutant == "no accept test") and not turn.breaks_a_bound(step):
            turn.events["accepted" if fraction == 1.0 else "accepted in part"] += 1
            return
        policy.adam.load_state_dict(first_moments)
    policy.put(first)
    turn.events["refused"] += 1
