"""Oracle 1: when everybody hears everybody, the processes learn what one plain loop over the agents learns.

The trainer here is written from the equations and shares no update code with ``agents``: it starts from the same first
files, and takes the same batch and the same random permutations.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from scalmarl.protocol.keys import SIM, Key, Kind
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.streams import Purpose, stream

LR, GAMMA, LAMBDA, CLIP, NORM, RATE, EPSILON = 1e-3, 0.99, 0.95, 0.2, 0.5, 4.0, 1e-5
"""The settings of the runs, as in ``small_plan``."""


class Net:
    """An own network of a file: lists of weights and biases, with an optimiser."""

    def __init__(self, file: dict[str, Any], prefix: str, rate: float, extra: tuple[str, ...] = ()) -> None:
        self.names = [f"{prefix}{n}.{part}" for n in (0, 2, 4) for part in ("weight", "bias")]
        self.all_names = [*self.names, *extra]
        self.by_name = {name: torch.tensor(file[name], requires_grad=True) for name in self.all_names}
        self.adam = torch.optim.Adam(list(self.by_name.values()), lr=rate, eps=EPSILON)

    def __call__(self, x: Any) -> Any:
        w0, b0, w1, b1, w2, b2 = (self.by_name[name] for name in self.names)
        return torch.tanh(torch.tanh(x @ w0.T + b0) @ w1.T + b1) @ w2.T + b2

    def descend(self, loss: Any) -> None:
        self.adam.zero_grad()
        loss.backward()
        total = math.sqrt(sum(float((p.grad**2).sum()) for p in self.by_name.values()))
        for parameter in self.by_name.values():
            parameter.grad *= min(1.0, NORM / (total + 1e-6))
        self.adam.step()

    def values(self) -> list[Any]:
        return [p.detach().clone() for p in self.by_name.values()]

    def put(self, values: list[Any]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.by_name.values(), values):
                parameter.copy_(value)


class PlainAgent:
    def __init__(self, file: dict[str, Any], costs: int, policy_lr: float) -> None:
        self.policy = Net(file, "policy.mean.", policy_lr, ("policy.log_std",))
        names = ["reward_critic", *(f"cost_critic_{j}" for j in range(costs))]
        self.critics = [Net(file, f"{name}.", LR) for name in names]
        self.count, self.mean, self.square = 0.0, np.zeros(len(file["inputs.mean"])), np.zeros(len(file["inputs.mean"]))
        self.value_mean, self.value_square, self.rounds = [0.0] * (1 + costs), [1.0] * (1 + costs), 0
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


class PlainTrainer:
    """One loop over all agents. ``mutant`` names what it gets wrong on purpose."""

    def __init__(self, plan: Plan, files: dict[int, dict[str, Any]], algorithm: str, radius: str, mutant: str) -> None:
        self.plan, self.mutant, self.ledger = plan, mutant, radius == "ledger"
        self.scalable = algorithm == "scal-mappo-l"
        self.kl_max, self.kl_min = plan.learner["kl_max"], plan.learner["kl_min"]
        self.epochs = (plan.learner["policy_epochs"], plan.learner["critic_epochs"])
        policy_lr = plan.learner["policy_lr"]
        self.agents = [PlainAgent(files[i], plan.costs(i), policy_lr) for i in range(plan.agents)]
        self.taken_back = self.short_of_slack = 0

    def minibatches(self, i: int, round: int, purpose: Purpose, epochs: int) -> list[Any]:
        draw = stream(self.plan.seed, purpose=purpose, process=i, round=round)
        return [np.array_split(draw.permutation(self.plan.samples), 4) for _ in range(epochs)]

    def learn(self, round: int, batch: list[dict[str, Any]]) -> None:
        plan, agents = self.plan, range(self.plan.agents)
        joint = np.concatenate([batch[i]["blocks"] for i in agents], axis=2)
        for i in agents:
            self.estimate(self.agents[i], batch[i], joint, plan.task.cost_limits[i])
        order = stream(plan.seed, purpose=Purpose.TURN_ORDER, round=round).permutation(plan.agents)
        log_factor, steps = np.zeros(plan.samples), dict[int, Any]()
        for i in map(int, order):
            log_ratio = self.turn(i, round, batch, log_factor, steps)
            if self.ledger:
                self.measure_sensitivities(i, steps)
            if self.mutant != "no factor":
                log_factor = log_factor + log_ratio
        for i in agents:
            self.regress(i, round, batch[i])
            self.merge(self.agents[i], joint[:-1])

    # ---- estimates ----

    def estimate(self, agent: PlainAgent, own: dict[str, Any], joint: Any, limits: tuple[float, ...]) -> None:
        plan, valid = self.plan, ~(own["terminated"] | own["truncated"])[:-1]
        z = ((joint - agent.mean.astype("f4")) * (1.0 / agent.deviation()).astype("f4")).clip(-5, 5).astype("f4")
        own["z"], own["valid"] = torch.tensor(z[:-1].reshape(plan.samples, -1)), valid
        own["advantages"], own["targets"] = [], []
        agent.rounds += 1
        for k, (critic, signal) in enumerate(zip(agent.critics, [own["reward"], *own["costs"]])):
            out = critic(torch.tensor(z))[..., 0].detach().numpy().astype(float)
            value = agent.value_mean[k] + agent.value_deviation(k) * out
            advantage = self.advantage(signal, value, own["terminated"], own["truncated"])
            returns = advantage + value[:-1]
            old_mean, old_deviation = agent.value_mean[k], agent.value_deviation(k)
            weight = max(0.1, 1.0 / agent.rounds)
            agent.value_mean[k] += weight * (returns[valid].mean() - agent.value_mean[k])
            agent.value_square[k] += weight * ((returns[valid] ** 2).mean() - agent.value_square[k])
            deviation = agent.value_deviation(k)
            with torch.no_grad():
                weight_, bias = (critic.by_name[name] for name in critic.names[-2:])
                weight_ *= old_deviation / deviation
                bias.copy_((old_deviation * bias + old_mean - agent.value_mean[k]) / deviation)
            own["advantages"].append(advantage)
            own["targets"].append(torch.tensor(((returns - agent.value_mean[k]) / deviation).astype("f4").ravel()))
        ends = (own["terminated"] | own["truncated"])[1:].sum()
        own["slack"] = []
        for j, limit in enumerate(limits):
            cost = own["costs"][j][valid].sum(dtype=float) / max(ends, valid.sum() / plan.task.horizon)
            push = np.clip((cost - limit) / max(limit, 1.0), -1.0, 1.0) * RATE * plan.samples / 4096
            agent.multipliers[j] = float(np.clip(agent.multipliers[j] + push, 0.0, 100.0))
            own["slack"].append((limit - cost, agent.sensitivities[j]))

    def advantage(self, signal: Any, value: Any, terminated: Any, truncated: Any) -> Any:
        """Sample by sample: sum of (gamma lambda)^n delta to the episode's end."""
        if self.mutant == "truncation is termination":
            terminated = terminated | truncated
        found = np.zeros(signal.shape)
        for t, e in np.ndindex(signal.shape):
            if terminated[t, e] or truncated[t, e]:
                continue
            weight = 1.0
            for later in range(t, len(signal)):
                worth = 0.0 if terminated[later + 1, e] else value[later + 1, e]
                found[t, e] += weight * (float(signal[later, e]) + GAMMA * worth - value[later, e])
                if terminated[later + 1, e] or truncated[later + 1, e]:
                    break
                weight *= GAMMA * LAMBDA
        return found

    # ---- the policy ----

    def turn(self, i: int, round: int, batch: list[Any], log_factor: Any, steps: dict[int, Any]) -> Any:
        agent, own = self.agents[i], batch[i]
        valid = own["valid"].ravel()
        weights, actions = torch.tensor(valid.astype("f4")), torch.tensor(own["actions"].reshape(len(valid), -1))
        signal = torch.tensor((self.mixed(i, batch) * np.exp(np.clip(log_factor, -1.5, 1.5))).astype("f4"))
        allowances = self.allowances(batch, steps)

        def look(rows: Any) -> tuple[Any, Any, Any]:
            mean, std = agent.policy(own["z"][rows]), agent.policy.by_name["policy.log_std"].exp()
            normal = torch.distributions.Normal(mean, std.expand_as(mean))
            return mean, std, normal.log_prob(actions[rows]).sum(1)

        everything = torch.arange(len(valid))
        old_mean, old_std, old_log = (x.detach().clone() for x in look(everything))

        def measure() -> tuple[Any, dict[str, Any]]:
            with torch.no_grad():
                mean, std, log = look(everything)
                kl = std.log() - old_std.log() + (old_std**2 + (old_mean - mean) ** 2) / (2 * std**2) - 0.5
                log_ratio = ((log - old_log) * weights).numpy()
                mean_kl = float(kl.sum(1).double().numpy()[valid].mean())
            change = np.expm1(log_ratio.astype(float))
            gains = {
                (h, j): float((change * batch[h]["advantages"][1 + j].ravel())[valid].mean())
                for h in range(len(batch)) for j in range(len(batch[h]["slack"]))
            }  # fmt: skip
            return log_ratio, {"kl": mean_kl, "gains": gains}

        def breached() -> bool:
            step = measure()[1]
            if step["kl"] > self.kl_max:
                return True
            short = any(
                step["gains"][hj] > 0 and price * math.sqrt(step["kl"] / 2) > max(left, 0.0)
                for hj, (left, price) in allowances.items()
            )
            self.short_of_slack += short and step["kl"] > self.kl_min
            return short and step["kl"] > self.kl_min

        kept, kept_adam = agent.policy.values(), copy.deepcopy(agent.policy.adam.state_dict())
        for epoch in self.minibatches(i, round, Purpose.POLICY_MINIBATCHES, self.epochs[0]):
            for rows in map(torch.tensor, epoch):
                ratio = (look(rows)[2] - old_log[rows]).exp()
                gain = torch.min(ratio * signal[rows], ratio.clip(1 - CLIP, 1 + CLIP) * signal[rows])
                agent.policy.descend(-(gain * weights[rows]).sum() / weights[rows].sum())
            if breached():
                reached = agent.policy.values()
                agent.policy.adam.load_state_dict(kept_adam)
                for fraction in (1 / 2, 1 / 4, 1 / 8, 1 / 16, 0.0):
                    agent.policy.put([a + fraction * (b - a) for a, b in zip(kept, reached)])
                    if fraction == 0.0 or not breached():
                        break
                self.taken_back += 1
                break
            kept, kept_adam = agent.policy.values(), copy.deepcopy(agent.policy.adam.state_dict())
        log_ratio, steps[i] = measure()
        return log_ratio.astype(float)

    def mixed(self, i: int, batch: list[Any]) -> Any:
        valid = batch[i]["valid"]

        def scaled(x: Any, floor: float) -> Any:
            return np.where(valid, (x - x[valid].mean()) / max(x[valid].std(), floor), 0.0)

        everybody = range(len(batch)) if self.scalable else [i]
        total = scaled(sum(batch[h]["advantages"][0] for h in everybody), 1e-8)
        weight = 1.0
        for h in [i] if self.mutant == "own costs only" else everybody:
            for j, multiplier in enumerate(self.agents[h].multipliers):
                if multiplier > 0:
                    total = total - multiplier * scaled(batch[h]["advantages"][1 + j], 0.05)
                    weight += multiplier
        return scaled(total / weight, 1e-8).ravel()

    # ---- the ledger ----

    def allowances(self, batch: list[Any], steps: dict[int, Any]) -> dict[Any, tuple[float, float]]:
        """(agent, cost) -> (slack that is left, price): all hear all, so nothing is split."""
        if not self.ledger:
            return {}
        found = {}
        for h, own in enumerate(batch):
            for j, (slack, price) in enumerate(own["slack"]):
                spent = [price * math.sqrt(s["kl"] / 2) for s in steps.values() if s["gains"][h, j] > 0]
                found[h, j] = (slack - sum(spent), price)
        return found

    def measure_sensitivities(self, i: int, steps: dict[int, Any]) -> None:
        """From the steps so far, the agent's own included."""
        moved = [step for step in steps.values() if step["kl"] > 0]
        for j in range(len(self.agents[i].sensitivities) if moved else 0):
            seen = [self.plan.task.horizon * abs(s["gains"][i, j]) / math.sqrt(s["kl"] / 2) for s in moved]
            old = self.agents[i].sensitivities[j]
            self.agents[i].sensitivities[j] = float(np.clip(0.9 * old + 0.1 * np.mean(seen), 1e-3, 1e5))

    # ---- critics and statistics ----

    def regress(self, i: int, round: int, own: dict[str, Any]) -> None:
        weights = torch.tensor(own["valid"].ravel().astype("f4"))
        for epoch in self.minibatches(i, round, Purpose.CRITIC_MINIBATCHES, self.epochs[1]):
            for rows in map(torch.tensor, epoch):
                for critic, target in zip(self.agents[i].critics, own["targets"]):
                    error = (critic(own["z"][rows])[:, 0] - target[rows]).abs()
                    huber = torch.where(error <= 10, error**2 / 2, 10 * (error - 5))
                    critic.descend((huber * weights[rows]).sum() / weights[rows].sum())

    def merge(self, agent: PlainAgent, raw: Any) -> None:
        """Statistics over old and new inputs together; first layers are moved so that functions stay."""
        rows = raw.reshape(-1, raw.shape[-1]).astype(float)
        old_mean, old_deviation, old_count = agent.mean, agent.deviation(), agent.count
        second = agent.square + old_count * old_mean**2 + (rows**2).sum(0)
        agent.count = old_count + len(rows)
        agent.mean = (old_count * old_mean + rows.sum(0)) / agent.count
        agent.square = second - agent.count * agent.mean**2
        for net in (agent.policy, *agent.critics):
            weight, bias = (net.by_name[name] for name in net.names[:2])
            with torch.no_grad():
                bias += weight @ torch.tensor(((agent.mean - old_mean) / old_deviation).astype("f4"))
                weight *= torch.tensor((agent.deviation() / old_deviation).astype("f4"))


def batch_of(plan: Plan, said: dict[Key, Any], round: int, i: int) -> dict[str, Any]:
    """What the world told agent i, and what it did, ``[t][copy]``."""

    def stack(producer: int, kind: Kind, steps: int) -> Any:
        rows = [
            [said[Key(producer, kind, i, round, t * plan.groups + g)] for g in range(plan.groups)] for t in range(steps)
        ]
        return np.array([np.concatenate(row) for row in rows])

    told, block = stack(SIM, Kind.OBSERVATION, plan.steps + 1), plan.task.block_sizes[i]
    return {
        "blocks": told[:, :, :block], "reward": told[1:, :, block],
        "costs": np.moveaxis(told[1:, :, block + 1 : -2], 2, 0),
        "terminated": told[:, :, -2] > 0, "truncated": told[:, :, -1] > 0, "actions": stack(i, Kind.ACTION, plan.steps),
    }  # fmt: skip


RUNS = {
    "radius off": ("scal-mappo-l", "off", {}),
    "ledger": ("scal-mappo-l", "ledger", {"kl_min": 1e-5}),
    "tight": ("scal-mappo-l", "off", {"policy_lr": 1e-2, "kl_max": 0.01}),
    "mappo-l": ("mappo-l", "off", {}),
}


def deviation(
    run: str, make_plan: Callable[..., Plan], play: Callable[..., Any], mutant: str = ""
) -> tuple[float, Any]:
    """Largest difference of any number in the last files, and the plain trainer."""
    algorithm, radius, chosen = RUNS[run]
    plan = make_plan(3, 2, algorithm, radius=radius, order="permutation", **chosen)
    played = play(plan)
    first = {i: safetensors.numpy.load(played.files[i][0]) for i in range(3)}
    trainer = PlainTrainer(plan, first, algorithm, radius, mutant)
    ends = np.zeros(3, dtype=int)
    for round in range(plan.rounds):
        batch = [batch_of(plan, played.said, round, i) for i in range(3)]
        t, c = batch[0]["terminated"], batch[0]["truncated"]
        ends += (t & ~c).sum(), (c & ~t).sum(), (t & c).sum()
        trainer.learn(round, batch)
    assert ends.min() > 0, f"terminated, truncated, both: {ends}"
    assert any(m > 0 for agent in trainer.agents for m in agent.multipliers)
    worst = 0.0
    for i in range(3):
        file = safetensors.numpy.load(played.files[i][plan.rounds])
        owned = trainer.agents[i].owned()
        assert owned.keys() == {name for name in file if ".adam." not in name}
        # A quotient of two small differences in float32, and no parameter.
        price = owned.pop("sensitivities")
        if not mutant:
            np.testing.assert_allclose(file["sensitivities"], price, rtol=1e-4)
        worst = max(worst, *(float(np.abs(file[name] - owned[name]).max()) for name in owned))
    return worst, trainer


@pytest.mark.parametrize("run", RUNS)
def test_processes_learn_what_one_plain_loop_learns(
    run: str, make_plan: Callable[..., Plan], play: Callable[..., Any]
) -> None:
    worst, trainer = deviation(run, make_plan, play)
    print(f"{run}: largest deviation {worst:.1e}, taken back {trainer.taken_back}, slack {trainer.short_of_slack}")
    assert worst < 1e-6
    assert trainer.taken_back > 0 or run != "tight"
    assert trainer.short_of_slack > 0 or run != "ledger"


@pytest.mark.parametrize("mutant", ["no factor", "own costs only", "truncation is termination"])
def test_a_trainer_that_errs_is_told_apart(
    mutant: str, make_plan: Callable[..., Plan], play: Callable[..., Any]
) -> None:
    worst, _ = deviation("radius off", make_plan, play, mutant)
    print(f"{mutant}: largest deviation {worst:.1e}")
    assert worst > 1e-4
