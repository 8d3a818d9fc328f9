"""A single-process trainer, written from the equations: one plain loop over the agents of a path.

It shares no update code with ``agents``: it starts from the same first files, and takes the same batch and the same
random permutations. Who hears whom, in which order turns are taken, and how slack is split, it works out from the path.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from scalmarl.protocol.plan import Plan
from scalmarl.protocol.streams import Purpose, stream

from .plain_agent import PlainAgent
from .plain_trust_region import constrained_turn
from .plain_turn import Heard, PlainTurn, clipped_turn

LAMBDA, RATE = 0.95, 4.0
"""The settings of the runs, as in ``small_plan``."""


@dataclass(frozen=True)
class Rules:
    """What makes an algorithm, as its section of docs/algorithms.md says it; a team's reward is a fact of the batch."""

    rewards: Literal["own", "heard"]
    costs: Literal["none", "own", "heard"]
    factor: bool
    radius: Literal["off", "ledger", "exact"] = "off"
    step: Literal["clipped", "constrained"] = "clipped"


RULES = {
    "scal-mappo-l": Rules("heard", "heard", True, "ledger"),
    "scal-mappo-l-printed": Rules("own", "own", False),
    "scal-mappo-l-exact": Rules("heard", "heard", True, "exact"),
    "mappo-l": Rules("own", "own", True),
    "macpo": Rules("own", "own", True, step="constrained"),
    "happo": Rules("own", "none", True),
    "mappo": Rules("own", "none", False),
    "ippo": Rules("own", "none", False),
}


class PlainTrainer:
    """``events`` counts what happened in turns; ``mutant`` names what the trainer gets wrong on purpose."""

    def __init__(self, plan: Plan, files: dict[int, dict[str, Any]], rules: Rules, mutant: str = "") -> None:
        self.plan, self.rules, self.mutant = plan, rules, mutant
        policy_lr, priced = plan.learner["policy_lr"], rules.costs != "none"
        self.agents = [
            PlainAgent(files[i], plan.costs(i), policy_lr, priced, plan.task.action_choices[i])
            for i in range(plan.agents)
        ]
        self.events: Counter[str] = Counter()

    def neighbourhood(self, i: int) -> range:
        """N_kappa(i) of a path."""
        return range(max(i - self.plan.kappa, 0), min(i + self.plan.kappa + 1, self.plan.agents))

    def order(self, round: int) -> list[int]:
        """Afresh each round: any order of the agents, or colour by colour of the path, which go round in turn."""
        draw, agents = stream(self.plan.seed, purpose=Purpose.TURN_ORDER, round=round), range(self.plan.agents)
        if self.plan.order == "permutation":
            return [int(i) for i in draw.permutation(len(agents))]
        colours = min(self.plan.kappa + 1, len(agents))
        rank = draw.permutation(colours)
        return sorted(agents, key=lambda i: (rank[i % colours], i))

    def minibatches(self, i: int, round: int, purpose: Purpose, epochs: int) -> list[list[Any]]:
        draw = stream(self.plan.seed, purpose=purpose, process=i, round=round)
        permutations = [draw.permutation(self.plan.samples) for _ in range(epochs)]
        return [[torch.tensor(rows) for rows in np.array_split(rows_in_order, 4)] for rows_in_order in permutations]

    def learn(self, round: int, batch: list[dict[str, Any]]) -> None:
        agents, seen = range(self.plan.agents), []
        for i in agents:
            seen.append(np.concatenate([batch[h]["blocks"] for h in self.neighbourhood(i)], axis=2))
            self.estimate(i, batch[i], seen[i])
        steps: dict[int, Any] = {}
        for i in self.order(round):
            before = {h: step for h, step in steps.items() if h in self.neighbourhood(i)}
            steps[i] = self.turn(i, round, batch, dict(steps) if self.mutant == "all predecessors" else before)
            if self.rules.radius == "ledger":
                others = [] if self.mutant == "own step alone teaches" else list(before.values())
                self.measure_sensitivities(i, [*others, steps[i]])
        for i in agents:
            self.regress(i, round, batch[i])
            self.merge(self.agents[i], seen[i][:-1])

    # ---- estimates ----

    def estimate(self, i: int, own: dict[str, Any], seen: Any) -> None:
        agent, valid = self.agents[i], ~(own["terminated"] | own["truncated"])[:-1]
        z = ((seen - agent.mean.astype("f4")) * (1.0 / agent.deviation()).astype("f4")).clip(-5, 5).astype("f4")
        own["z"], own["valid"] = torch.tensor(z[:-1].reshape(self.plan.samples, -1)), valid
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
        self.price(agent, own, self.plan.task.cost_limits[i])

    def price(self, agent: PlainAgent, own: dict[str, Any], limits: tuple[float, ...]) -> None:
        """The cost of an episode, one step of each multiplier, and (slack, price of a step) for the neighbours."""
        plan, valid, gamma = self.plan, own["valid"], self.plan.learner["gamma"]
        ends = (own["terminated"] | own["truncated"])[1:].sum()
        own["excess"], own["slack"], own["multipliers"] = [], [], agent.multipliers
        for j, limit in enumerate(limits):
            cost = own["costs"][j][valid].sum(dtype=float) / max(ends, valid.sum() / plan.task.horizon)
            own["excess"].append(cost - limit)
            if self.rules.costs != "none" and self.rules.step == "clipped":
                push = np.clip((cost - limit) / max(limit, 1.0), -1.0, 1.0) * RATE * plan.samples / 4096
                agent.multipliers[j] = float(np.clip(agent.multipliers[j] + push, 0.0, 100.0))
            if self.rules.radius == "exact":
                # What an episode's rate of costs adds up to when it is discounted and never ends, and nu of Cor. 3.6.
                nu = 2 * gamma * np.abs(own["advantages"][1 + j]).max() / (1 - gamma) ** 2
                whole = (limit - cost) / plan.task.horizon / (1 - gamma)
                own["slack"].append((whole - plan.learner["cost_truncation_error"], nu))
            else:
                own["slack"].append((limit - cost, agent.sensitivities[j]))

    def advantage(self, signal: Any, value: Any, terminated: Any, truncated: Any) -> Any:
        """Sample by sample: sum of (gamma lambda)^n delta to the episode's end."""
        gamma = self.plan.learner["gamma"]
        if self.mutant == "truncation is termination":
            terminated = terminated | truncated
        found = np.zeros(signal.shape)
        for t, e in np.ndindex(signal.shape):
            if terminated[t, e] or truncated[t, e]:
                continue
            weight = 1.0
            for later in range(t, len(signal)):
                worth = 0.0 if terminated[later + 1, e] else value[later + 1, e]
                found[t, e] += weight * (float(signal[later, e]) + gamma * worth - value[later, e])
                if terminated[later + 1, e] or truncated[later + 1, e]:
                    break
                weight *= gamma * LAMBDA
        return found

    # ---- the policy ----

    def turn(self, i: int, round: int, batch: list[dict[str, Any]], before: dict[int, Any]) -> Any:
        plan, rules = self.plan, self.rules
        parts = {h: batch[h] for h in self.neighbourhood(i)}
        heard = Heard(plan, i, parts, before, rules.factor != (self.mutant == "factor switched"), self.mutant)
        rewards = list(parts) if rules.rewards == "heard" and self.mutant != "own reward only" else [i]
        turn = PlainTurn(self.agents[i].policy, heard, rewards, rules.radius, self.events)
        signal = torch.tensor((heard.mixed(rewards, self.charged(i)) * heard.factor).astype("f4"))
        if rules.step == "constrained":
            constrained_turn(turn, signal, plan.task.cost_limits[i])
        else:
            epochs = self.minibatches(i, round, Purpose.POLICY_MINIBATCHES, plan.learner["policy_epochs"])
            clipped_turn(turn, signal, epochs)
        return turn.measure()

    def charged(self, i: int) -> list[int]:
        """Whose costs: one of which each has a copy is charged once, not once per neighbour."""
        if self.rules.costs == "none" or self.rules.step == "constrained":
            return []
        once = self.plan.task.cost_mode != "local" and self.mutant != "team cost of every neighbour"
        own = self.rules.costs == "own" or once or self.mutant == "own costs only"
        return [i] if own and self.mutant != "costs of all heard" else list(self.neighbourhood(i))

    def measure_sensitivities(self, i: int, steps: list[Any]) -> None:
        """From the steps heard so far, the agent's own included."""
        moved = [step for step in steps if step.kl > 0]
        for j in range(len(self.agents[i].sensitivities) if moved else 0):
            seen = [self.plan.task.horizon * abs(step.gains[i, j]) / math.sqrt(step.kl / 2) for step in moved]
            old = self.agents[i].sensitivities[j]
            self.agents[i].sensitivities[j] = float(np.clip(0.9 * old + 0.1 * np.mean(seen), 1e-3, 1e5))

    # ---- critics and statistics ----

    def regress(self, i: int, round: int, own: dict[str, Any]) -> None:
        weights = torch.tensor(own["valid"].ravel().astype("f4"))
        for epoch in self.minibatches(i, round, Purpose.CRITIC_MINIBATCHES, self.plan.learner["critic_epochs"]):
            for rows in epoch:
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
