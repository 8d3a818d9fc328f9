"""What an agent owns between rounds, and its round file: safetensors, no code in it, raw bits."""

from __future__ import annotations

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import nn

from scalmarl.agents.networks import VALUE_GAIN, perceptron
from scalmarl.agents.normaliser import InputNormaliser, ValueNormaliser
from scalmarl.agents.policies import CategoricalPolicy, GaussianPolicy, Policy
from scalmarl.agents.settings import LearnerSettings
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.streams import Purpose, stream

ADAM_EPSILON = 1e-5
FIRST_SENSITIVITY = 10.0
"""Cost per episode and unit of total variation, before anything was measured."""
Arrays = dict[str, NDArray[np.generic]]


class Networks:
    """Policy, critics (reward first, then one per cost that the algorithm reads), optimisers, multipliers, normalisers
    and sensitivities."""

    def __init__(self, plan: Plan, me: int, settings: LearnerSettings) -> None:
        width = plan.input_width(me)
        costs = plan.costs(me)
        priced = costs if settings.cost_terms != "none" else 0
        draw = stream(plan.seed, purpose=Purpose.INITIAL_WEIGHTS, process=me)
        generator = torch.Generator().manual_seed(int(draw.integers(2**63)))
        actions, choices = plan.task.action_sizes[me], plan.task.action_choices[me]
        self.policy: Policy = (
            CategoricalPolicy(width, settings.hidden, choices, generator)
            if choices
            else GaussianPolicy(width, settings.hidden, actions, settings.initial_std, generator)
        )
        self.critics = [perceptron(width, settings.hidden, 1, VALUE_GAIN, generator) for _ in range(1 + priced)]
        self.policy_optimiser = _adam(self.policy, settings.policy_lr)
        self.critic_optimisers = [_adam(critic, settings.critic_lr) for critic in self.critics]
        self.inputs = InputNormaliser.empty(width)
        self.values = [ValueNormaliser(std_floor=settings.value_std_floor) for _ in self.critics]
        self.multipliers = [settings.multiplier_start if settings.has_multipliers else 0.0] * costs
        self.sensitivities = [FIRST_SENSITIVITY] * costs

    def trained(self) -> list[tuple[str, nn.Module, torch.optim.Optimizer]]:
        """(name, network, optimiser) of everything that gradients move."""
        names = ["policy", "reward_critic", *(f"cost_critic_{j}" for j in range(len(self.critics) - 1))]
        networks = [self.policy, *self.critics]
        return list(zip(names, networks, [self.policy_optimiser, *self.critic_optimisers]))


def _adam(network: nn.Module, rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=rate, eps=ADAM_EPSILON, foreach=False, fused=True)


def save_state(own: Networks) -> bytes:
    """The content of a round file: a pure function of what the agent owns."""
    arrays: Arrays = {}
    for name, network, optimiser in own.trained():
        for key, tensor in network.state_dict().items():
            arrays[f"{name}.{key}"] = tensor.numpy()
        for index, moments in optimiser.state_dict()["state"].items():
            for key, tensor in moments.items():
                arrays[f"{name}.adam.{index}.{key}"] = tensor.numpy()
    arrays["inputs.count"] = np.array([own.inputs.count])
    arrays["inputs.mean"], arrays["inputs.squares"] = own.inputs.mean, own.inputs.squares
    arrays["values"] = np.array([[n.rounds, n.mean, n.square] for n in own.values])
    arrays["multipliers"] = np.array(own.multipliers, dtype=np.float64)
    arrays["sensitivities"] = np.array(own.sensitivities, dtype=np.float64)
    return bytes(safetensors.numpy.save({key: array.copy(order="C") for key, array in arrays.items()}))


def load_state(own: Networks, content: bytes) -> None:
    """The inverse of ``save_state``."""
    arrays = {key: array.copy() for key, array in safetensors.numpy.load(content).items()}
    for name, network, optimiser in own.trained():
        state = {key: torch.from_numpy(arrays[f"{name}.{key}"]) for key in network.state_dict()}
        network.load_state_dict(state)
        prefix = f"{name}.adam."
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, array in arrays.items():
            if key.startswith(prefix):
                index, _, field = key[len(prefix) :].partition(".")
                moments.setdefault(int(index), {})[field] = torch.from_numpy(array)
        optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    own.inputs = InputNormaliser(float(arrays["inputs.count"][0]), arrays["inputs.mean"], arrays["inputs.squares"])
    floors = [normaliser.std_floor for normaliser in own.values]
    own.values = [
        ValueNormaliser(int(rounds), float(mean), float(square), floor)
        for (rounds, mean, square), floor in zip(arrays["values"], floors)
    ]
    own.multipliers = [float(x) for x in arrays["multipliers"]]
    own.sensitivities = [float(x) for x in arrays["sensitivities"]]
