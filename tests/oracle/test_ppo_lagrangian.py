"""Oracle 2: an agent that hears nobody is a plain PPO-Lagrangian on its own observations, written here anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import nn

from scalmarl.protocol.keys import SIM, Key, Kind
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.streams import Purpose, stream


def network(file: dict[str, Any], prefix: str) -> nn.Sequential:
    layers = [nn.Linear(*file[f"{prefix}{n}.weight"].shape[::-1]) for n in (0, 2, 4)]
    net = nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])
    net.load_state_dict({key: torch.tensor(file[prefix + key]) for key in net.state_dict()})
    return net


class Lagrangian:
    """PPO with one multiplier, KL early stop left out: the runs stay below it."""

    def __init__(self, plan: Plan, file: dict[str, Any]) -> None:
        self.plan = plan
        self.actor, self.log_std = network(file, "policy.mean."), nn.Parameter(torch.tensor(file["policy.log_std"]))
        self.critics = [network(file, f"{name}.") for name in ("reward_critic", "cost_critic_0")]
        self.actor_parameters = [*self.actor.parameters(), self.log_std]
        self.actor_adam = torch.optim.Adam(self.actor_parameters, 1e-3, eps=1e-5)
        self.critic_adams = [torch.optim.Adam(c.parameters(), 1e-3, eps=1e-5) for c in self.critics]
        self.multiplier, self.seen = 0.0, np.zeros((0, plan.task.block_sizes[0]))
        self.scale: list[tuple[float, float]] = [(0.0, 1.0), (0.0, 1.0)]
        self.moments: list[list[tuple[float, float]]] = [[], []]

    def log_prob(self, z: Any, actions: Any) -> Any:
        return torch.distributions.Normal(self.actor(z), self.log_std.exp()).log_prob(actions).sum(-1)

    def statistics(self) -> tuple[Any, Any]:
        if not len(self.seen):
            return np.zeros(self.seen.shape[1]), np.ones(self.seen.shape[1])
        return self.seen.mean(0), np.maximum(self.seen.std(0), 0.01)

    def learn(self, round: int, told: Any, actions: Any) -> None:
        plan, block = self.plan, self.plan.task.block_sizes[0]
        mean, std = self.statistics()
        raw, signals = told[:, :, :block], [told[1:, :, block], told[1:, :, block + 1]]
        terminated, truncated = told[:, :, -2] > 0, told[:, :, -1] > 0
        done = terminated | truncated
        keep = ~done[:-1]
        z = torch.tensor(((raw - mean) / std).clip(-5, 5), dtype=torch.float32)
        flat, weight = z[:-1].flatten(0, 1), torch.tensor(keep.ravel(), dtype=torch.float32)
        advantages, targets = [], []
        for k, signal in enumerate(signals):
            centre, spread = self.scale[k]
            value = centre + spread * self.critics[k](z)[..., 0].detach().double().numpy()
            advantage, flow = np.zeros(signal.shape), np.zeros(signal.shape[1])
            for t in range(len(signal) - 1, -1, -1):
                bootstrapped = signal[t] + 0.99 * value[t + 1] * ~terminated[t + 1]
                flow = (bootstrapped - value[t] + 0.99 * 0.95 * flow * ~done[t + 1]) * keep[t]
                advantage[t] = flow
            returns = (advantage + value[:-1])[keep]
            # The first rounds weigh equally; there are fewer than ten.
            history = self.history(k, returns)
            self.scale[k] = (history[0], max(np.sqrt(history[1] - history[0] ** 2), 0.01))
            last = self.critics[k][-1]
            with torch.no_grad():
                last.weight *= spread / self.scale[k][1]
                last.bias.copy_((spread * last.bias + centre - self.scale[k][0]) / self.scale[k][1])
            advantages.append(advantage)
            normalised = (advantage + value[:-1] - self.scale[k][0]) / self.scale[k][1]
            targets.append(torch.tensor(normalised.ravel(), dtype=torch.float32))
        cost = signals[1][keep].sum(dtype=float) / max(done[1:].sum(), keep.sum() / plan.task.horizon)
        limit = plan.task.cost_limits[0][0]
        push = min(max((cost - limit) / max(limit, 1.0), -1.0), 1.0)
        self.multiplier = max(0.0, self.multiplier + 4.0 * plan.samples / 4096 * push)

        def unit(x: Any, floor: float = 1e-8) -> Any:
            return (x - x[keep].mean()) / max(x[keep].std(), floor)

        mixed = (unit(advantages[0]) - self.multiplier * unit(advantages[1], 0.05)) / (1.0 + self.multiplier)
        signal = torch.tensor((unit(mixed) * keep).ravel(), dtype=torch.float32)
        taken = torch.tensor(actions.reshape(plan.samples, -1))
        old = self.log_prob(flat, taken).detach()
        for rows in self.permutations(round, Purpose.POLICY_MINIBATCHES, 5):
            ratio = (self.log_prob(flat[rows], taken[rows]) - old[rows]).exp()
            gain = torch.min(ratio * signal[rows], torch.clip(ratio, 0.8, 1.2) * signal[rows])
            self.descend(self.actor_adam, self.actor_parameters, -(gain * weight[rows]).sum() / weight[rows].sum())
        for rows in self.permutations(round, Purpose.CRITIC_MINIBATCHES, 3):
            for critic, adam, target in zip(self.critics, self.critic_adams, targets):
                loss = nn.HuberLoss(reduction="none", delta=10.0)(critic(flat[rows])[:, 0], target[rows])
                self.descend(adam, list(critic.parameters()), (loss * weight[rows]).sum() / weight[rows].sum())
        self.seen = np.concatenate([self.seen, raw[:-1].reshape(-1, block).astype(float)])
        new_mean, new_std = self.statistics()
        for net in (self.actor, *self.critics):
            with torch.no_grad():
                net[0].bias += net[0].weight @ torch.tensor((new_mean - mean) / std, dtype=torch.float32)
                net[0].weight *= torch.tensor(new_std / std, dtype=torch.float32)

    def history(self, k: int, returns: Any) -> tuple[float, float]:
        self.moments[k].append((returns.mean(), (returns**2).mean()))
        first, second = np.mean(self.moments[k], axis=0)
        return float(first), float(second)

    def permutations(self, round: int, purpose: Purpose, epochs: int) -> list[Any]:
        draw = stream(self.plan.seed, purpose=purpose, process=0, round=round)
        shuffled = [draw.permutation(self.plan.samples) for _ in range(epochs)]
        return [torch.tensor(rows) for order in shuffled for rows in np.array_split(order, 4)]

    def descend(self, adam: torch.optim.Adam, parameters: list[Any], loss: Any) -> None:
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 0.5)
        adam.step()


@pytest.mark.parametrize("kept", [True, False], ids=["as it is", "a multiplier that is forgotten"])
def test_one_agent_is_a_plain_ppo_lagrangian(
    kept: bool, make_plan: Callable[..., Plan], play: Callable[..., Any]
) -> None:
    plan = make_plan(1, 0, radius="off", kl_max=10.0, limit=0.2, critic_epochs=3)
    played = play(plan)
    trainer = Lagrangian(plan, safetensors.numpy.load(played.files[0][0]))
    for round in range(plan.rounds):
        steps = [
            [Key(SIM, Kind.OBSERVATION, 0, round, t * plan.groups + g) for g in range(plan.groups)]
            for t in range(plan.steps + 1)
        ]
        told = np.array([np.concatenate([played.said[key] for key in row]) for row in steps])
        acted = [[Key(0, Kind.ACTION, 0, round, key.step) for key in row] for row in steps[:-1]]
        actions = np.array([np.concatenate([played.said[key] for key in row]) for row in acted])
        trainer.learn(round, told, actions)
        if not kept:
            trainer.multiplier = 0.0
    file = safetensors.numpy.load(played.files[0][plan.rounds])
    assert file["multipliers"][0] > 0.1
    learnt = {"policy.log_std": trainer.log_std}
    for prefix, net in zip(("policy.mean", "reward_critic", "cost_critic_0"), (trainer.actor, *trainer.critics)):
        learnt |= {f"{prefix}.{key}": value for key, value in net.state_dict().items()}
    worst = max(float(np.abs(file[name] - value.detach().numpy()).max()) for name, value in learnt.items())
    worst = max(worst, abs(trainer.multiplier - float(file["multipliers"][0])) if kept else 0.0)
    worst = max(worst, float(np.abs(file["inputs.mean"] - trainer.statistics()[0]).max()))
    scales = [(m, np.sqrt(square - m**2)) for _, m, square in file["values"]]
    worst = max(worst, float(np.abs(np.array(scales) - trainer.scale).max()))
    print(f"kept {kept}: largest deviation {worst:.1e}")
    assert worst < 1e-6 if kept else worst > 1e-4
