"""What an agent of the plain trainer owns: its networks, written out, and its running statistics."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

CRITIC_LR, NORM, EPSILON = 1e-3, 0.5, 1e-5
"""The settings of the runs, as in ``small_plan``."""


def perceptron(layers: Sequence[Any], x: Any) -> Any:
    """Of three layers; ``layers``: weight, bias, weight, bias, weight, bias."""
    w0, b0, w1, b1, w2, b2 = layers
    return torch.tanh(torch.tanh(x @ w0.T + b0) @ w1.T + b1) @ w2.T + b2


class Net:
    """An own network of a file: lists of weights and biases, with an optimiser."""

    def __init__(self, file: dict[str, Any], prefix: str, rate: float, extra: tuple[str, ...] = ()) -> None:
        self.names = [f"{prefix}{n}.{part}" for n in (0, 2, 4) for part in ("weight", "bias")]
        self.by_name = {name: torch.tensor(file[name], requires_grad=True) for name in (*self.names, *extra)}
        self.adam = torch.optim.Adam(list(self.by_name.values()), lr=rate, eps=EPSILON)

    def __call__(self, x: Any) -> Any:
        return perceptron([self.by_name[name] for name in self.names], x)

    def descend(self, loss: Any) -> None:
        self.adam.zero_grad()
        loss.backward()
        total = math.sqrt(sum(float((p.grad**2).sum()) for p in self.by_name.values()))
        for parameter in self.by_name.values():
            parameter.grad *= min(1.0, NORM / (total + 1e-6))
        self.adam.step()

    def values(self) -> list[Any]:
        return [p.detach().clone() for p in self.by_name.values()]

    def moments(self) -> dict[str, Any]:
        return copy.deepcopy(self.adam.state_dict())

    def put(self, values: Sequence[Any]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.by_name.values(), values):
                parameter.copy_(value)

    def put_between(self, start: Sequence[Any], end: Sequence[Any], fraction: float) -> None:
        self.put([a + fraction * (b - a) for a, b in zip(start, end)])


class PlainAgent:
    """``priced``: whether the algorithm reads costs; one that does not has no critics of them. ``choices``: how many
    it has, or 0 for an action of numbers."""

    def __init__(self, file: dict[str, Any], costs: int, policy_lr: float, priced: bool, choices: int) -> None:
        prefix, extra = ("policy.logits.", ()) if choices else ("policy.mean.", ("policy.log_std",))
        self.policy = Net(file, prefix, policy_lr, extra)
        names = ["reward_critic", *(f"cost_critic_{j}" for j in range(costs if priced else 0))]
        self.critics = [Net(file, f"{name}.", CRITIC_LR) for name in names]
        self.count, self.mean, self.square = 0.0, np.zeros(len(file["inputs.mean"])), np.zeros(len(file["inputs.mean"]))
        self.value_mean, self.value_square, self.rounds = [0.0] * len(names), [1.0] * len(names), 0
        self.multipliers, self.sensitivities = [0.0] * costs, [10.0] * costs

    def deviation(self) -> Any:
        """Of the inputs so far."""
        if not self.count:
            return np.ones_like(self.mean)
        return np.maximum(np.sqrt(self.square / self.count), 0.01)

    def value_deviation(self, k: int) -> float:
        return max(math.sqrt(max(self.value_square[k] - self.value_mean[k] ** 2, 0.0)), 0.01)

    def owned(self) -> dict[str, Any]:
        """Everything that is compared, by the names of the round file."""
        found = {n: p.detach().numpy() for net in (self.policy, *self.critics) for n, p in net.by_name.items()}
        values = [[self.rounds, m, s] for m, s in zip(self.value_mean, self.value_square)]
        return {
            **found, "inputs.count": np.array([self.count]), "inputs.mean": self.mean, "inputs.squares": self.square,
            "values": np.array(values), "multipliers": np.array(self.multipliers),
            "sensitivities": np.array(self.sensitivities),
        }  # fmt: skip
