"""Why an agent's last step was as large as it was: the figures of a round, in words that name them.

Rules of this file: pure. Every sentence tells figures of ``metrics.jsonl``, ``traffic.jsonl`` or ``plan.json``, and
carries their names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from scalmarl.protocol.keys import Kind, process_name
from scalmarl.protocol.order import predecessors
from scalmarl.protocol.plan import Plan

TURN = {
    "bound": "bound_agent", "radius": "radius_agent", "kl": "kl_agent", "kl_largest": "kl_max_agent",
    "clip_fraction": "clip_fraction", "epochs": "epochs", "rejected_kl": "rejected_kl", "kept": "kept",
    "certain_gain": "certain_gain", "accepted": "accepted", "reward_gain": "reward_gain", "allowance": "allowance",
    "policy_std": "policy_std", "policy_entropy": "policy_entropy",
}  # fmt: skip
"""Figure of a turn -> key of ``metrics.jsonl``, whose value is a list over agents."""
ALSO = ("explained_variance", "spent_agent")
"""The other keys that it tells of, lists over agents too."""
_WIRE = 6


@dataclass(frozen=True)
class Sentence:
    """``source``: the file and the keys of the figures that it tells."""

    text: str
    source: str


def figure(value: float | None) -> str:
    """Three digits that count."""
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def share(value: float) -> str:
    """In percent."""
    return f"{100 * value:.3g} %"


def explanation(
    plan: Plan, agent: int, line: dict[str, Any], before: dict[str, Any] | None, traffic: dict[str, Any] | None
) -> dict[str, Any]:
    """The document of ``scalmarl explain --json`` but for ``schema`` and ``run``.

    ``line``, ``before``: the round's line of ``metrics.jsonl`` and the one before it, which has the old multiplier;
    ``traffic``: the round's line of ``traffic.jsonl``. What a line lacks (a run of an older version) is ``None``, is
    named under ``missing``, and has no sentence.
    """
    plan = replace(plan, absent=tuple(line.get("absent", ())))
    present = agent not in plan.absent
    turn = {name: _own(line, key, agent) for name, key in TURN.items()}
    costs = _costs(plan, agent, line, before)
    explained = _own(line, "explained_variance", agent)
    found: dict[str, Any] = {
        "agent": agent,
        "round": line["round"],
        "present": present,
        "hears": list(plan.heard(agent)),
        "before_it": sorted(predecessors(plan, line["round"])[agent]) if present else [],
        "sent": _moved(traffic, agent, 0, 1),
        "received": _moved(traffic, agent, 1, 0),
        "turn": {**turn, "epochs_asked": plan.learner["policy_epochs"]} if present else None,
        "costs": costs,
        "explained_variance": None if explained is None else {"reward": explained[0], "costs": explained[1:]},
        "spent": _own(line, "spent_agent", agent),
        "missing": sorted(key for key in (*TURN.values(), *ALSO) if present and key not in line),
    }
    found["sentences"] = [vars(sentence) for sentence in sentences(plan, found)]
    return found


def _own(line: dict[str, Any], key: str, agent: int) -> Any:
    values = line.get(key)
    return None if values is None else values[agent]


def _costs(plan: Plan, agent: int, line: dict[str, Any], before: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Per cost: estimate, limit, multiplier, and the multiplier of the round before (``None``: not known)."""

    def each(told: dict[str, Any], key: str) -> list[Any]:
        value = _own(told, key, agent)
        return value if isinstance(value, list) else [value] * plan.costs(agent)

    first = [plan.learner["multiplier_start"]] * plan.costs(agent)
    old = each(before, "lambda_agent") if before is not None else first if line["round"] == 0 else [None] * len(first)
    columns = (each(line, "cost_estimate_agent"), each(line, "cost_limit"), each(line, "lambda_agent"), old)
    return [
        {"name": name, "estimate": estimate, "limit": limit, "multiplier": now, "multiplier_before": then}
        for name, estimate, limit, now, then in zip(plan.task.cost_names[agent], *columns)
    ]


def _moved(traffic: dict[str, Any] | None, agent: int, mine: int, other: int) -> list[dict[str, Any]]:
    """First sendings of the round from or to the agent, per process and kind; ``mine``, ``other``: columns of a row."""
    rows = [] if traffic is None else [row for row in traffic["sent"] if row[mine] == agent]
    return [
        {
            "process": process_name(row[other]), "kind": Kind(row[2]).name.lower(), "messages": row[3],
            "payload_bytes": row[4], "wire_bytes": row[_WIRE],
        }
        for row in sorted(rows, key=lambda row: (row[other], row[2]))
    ]  # fmt: skip


# ---- in words ----


def sentences(plan: Plan, found: dict[str, Any]) -> Iterator[Sentence]:
    """The explanation, in the order in which things happened."""
    agent, round = found["agent"], found["round"]
    if not found["present"]:
        yield Sentence(f"agent {agent} was absent in round {round}: it sent, heard and learnt nothing", "absent")
        return
    yield _hearing(plan, found)
    yield from _bytes(found)
    for cost in found["costs"]:
        yield from _cost(cost)
    yield from _turn(plan, found["turn"], found["missing"])
    yield from _critics(found["explained_variance"])
    yield from _spent(found["spent"])


def _agents(numbers: list[int]) -> str:
    words = [str(number) for number in numbers]
    return f"agent {words[0]}" if len(words) == 1 else f"agents {', '.join(words[:-1])} and {words[-1]}"


def _hearing(plan: Plan, found: dict[str, Any]) -> Sentence:
    heard, before = found["hears"], found["before_it"]
    if not heard:
        return Sentence(f"agent {found['agent']} hears nobody", "plan.json neighbours")
    text = f"agent {found['agent']} hears {_agents(heard)} (kappa {plan.kappa})"
    if before:
        text += f"; in round {found['round']} its turn came after that of {_agents(before)}"
        if plan.learner["factor"] == "neighbourhood":
            text += ", whose ratios of new to old policy multiplied its advantage"
    elif "turn" in plan.exchanged:
        text += f"; in round {found['round']} it was the first of them to take its turn"
    return Sentence(text, "plan.json neighbours, colours, seed")


def _bytes(found: dict[str, Any]) -> Iterator[Sentence]:
    if found["sent"]:
        sent, received = (sum(row["wire_bytes"] for row in found[name]) for name in ("sent", "received"))
        near = sum(row["wire_bytes"] for row in found["sent"] if row["process"].startswith("agent/"))
        text = f"it sent {sent:,} bytes, {near:,} of them to its neighbours, and received {received:,}"
        yield Sentence(text, "traffic.jsonl sent")


def _cost(cost: dict[str, Any]) -> Iterator[Sentence]:
    estimate, limit, now, then = (cost[key] for key in ("estimate", "limit", "multiplier", "multiplier_before"))
    if estimate is None or now is None:
        return
    side = "above" if estimate > limit else "below" if estimate < limit else "at"
    if then is None:
        moved = f"is {figure(now)}"
    elif now == then:
        moved = f"stayed at {figure(now)}"
    else:
        moved = f"{'rose' if now > then else 'fell'} from {figure(then)} to {figure(now)}"
    text = f"its cost ({cost['name']}), {figure(estimate)} an episode, is {side} the limit {figure(limit)}"
    yield Sentence(f"{text}: the multiplier {moved}", "metrics.jsonl cost_estimate_agent, cost_limit, lambda_agent")


def _turn(plan: Plan, turn: dict[str, Any], missing: list[str]) -> Iterator[Sentence]:
    kl, radius = turn["kl"], turn["radius"]
    if kl is None or radius is None or turn["bound"] is None:
        return
    if kl == 0.0:
        yield Sentence("its policy did not move: mean KL 0", "metrics.jsonl kl_agent")
    else:
        spent = f"{share(kl / radius)} of the radius {figure(radius)}" if radius > 0.0 else "and the radius was 0"
        text = f"its policy moved by a mean KL of {figure(kl)} nats, {spent}"
        text += f"; at one sample by {figure(turn['kl_largest'])}"
        yield Sentence(text, "metrics.jsonl kl_agent, radius_agent, kl_max_agent")
    if "allowance" not in missing:
        yield _radius(plan, turn)
    yield _bound(plan, turn)
    if turn["clip_fraction"] is not None and plan.learner["update"] == "clip":
        text = f"of the samples it learnt from, {share(turn['clip_fraction'])} had a ratio more than the clip, "
        text += f"{figure(plan.learner['clip'])}, away from 1"
        yield Sentence(text, "metrics.jsonl clip_fraction, plan.json learner.clip")
    if turn["reward_gain"] is not None:
        text = f"on its own samples the step changes the summed reward advantage by {turn['reward_gain']:+.3g} a step"
        yield Sentence(text, "metrics.jsonl reward_gain")


def _radius(plan: Plan, turn: dict[str, Any]) -> Sentence:
    """Where the radius came from."""
    learner, allowance, source = plan.learner, turn["allowance"], "metrics.jsonl radius_agent, allowance"
    most, least = f"kl_max, {figure(learner['kl_max'])}", f"kl_min, {figure(learner['kl_min'])}"
    if learner["radius"] == "off":
        text = f"the radius was {most}: nobody's slack bounds a step of this algorithm"
        return Sentence(text, "plan.json learner.kl_max, learner.radius")
    if allowance is None:
        raised = "the step raises no cost that it heard of" if learner["radius"] == "ledger" else "it heard of no slack"
        return Sentence(f"the radius was {most}: {raised}", source)
    whose = f"cost {allowance['cost']} of agent {allowance['agent']}"
    pays = math.inf if allowance["radius"] is None else allowance["radius"]
    text = f"the tightest slack was that of {whose}: {figure(allowance['left'])} left to spend at a price of "
    text += f"{figure(allowance['price'])}, which pays for a KL of {'any size' if pays == math.inf else figure(pays)}"
    if pays >= learner["kl_max"]:
        text += f"; {most}, is smaller"
    elif learner["radius"] == "ledger" and pays < learner["kl_min"]:
        text += f"; that is below {least}, so the ledger's promise is void for this step"
    return Sentence(text, source)


def _bound(plan: Plan, turn: dict[str, Any]) -> Sentence:
    """What ended the turn."""
    bound, learner = turn["bound"], plan.learner
    source = "metrics.jsonl bound_agent, epochs, rejected_kl, kept, certain_gain, accepted"
    kept = None if turn["kept"] is None else share(turn["kept"])
    if bound == "epochs":
        return Sentence(f"nothing cut it short: all {turn['epochs']} epochs kept every bound", source)
    if learner["update"] == "trust_region":
        return Sentence(_trust_region_words(bound, kept), source)
    if bound == "accept":
        left = "an unknown share" if turn["accepted"] is None else share(turn["accepted"])
        certain = figure(turn["certain_gain"])
        text = f"the accept test cut it: {left} of the turn is left, whose certain gain is {certain}"
        return Sentence(f"{text}; it must exceed {figure(learner['truncation_error'])}", source)
    name = {"kl_max": f"kl_max, {figure(learner['kl_max'])}", "kl_min": f"kl_min, {figure(learner['kl_min'])}"}
    words = name.get(bound, f"what the {bound.replace('slack of', 'slack of agent')} paid for")
    text = f"epoch {turn['epochs'] + 1} of {learner['policy_epochs']} was taken back: it went beyond {words}"
    if turn["rejected_kl"] is not None:
        text += f", with a mean KL of {figure(turn['rejected_kl'])}"
    if kept is not None:
        text += f"; {kept} of its way was kept" if turn["kept"] else "; nothing of its way was kept"
    return Sentence(text, source)


def _trust_region_words(bound: str, kept: str | None) -> str:
    if bound == "kl_max":
        return "the whole trust-region step was taken, to the edge of kl_max"
    how = "" if kept is None else f"; {kept} of the step was kept"
    if bound == "recovery":
        return f"the limit was out of reach inside the trust region, so the step only lowers the cost{how}"
    return f"the line search shortened the step until reward, cost and KL were all right{how}"


def _critics(explained: dict[str, Any] | None) -> Iterator[Sentence]:
    if explained is None:
        return
    parts = [f"reward {share(explained['reward'])}"] if explained["reward"] is not None else []
    several = len(explained["costs"]) > 1
    parts += [f"cost{f' {n}' if several else ''} {share(x)}" for n, x in enumerate(explained["costs"]) if x is not None]
    if not parts:
        return
    text = f"of the variance of the returns its critics explain: {', '.join(parts)}"
    values = [explained["reward"], *explained["costs"]]
    if any(value is not None and value < 0.0 for value in values):
        text += "; below 0 a critic is worse than the mean, and its advantages are mostly noise"
    yield Sentence(text, "metrics.jsonl explained_variance")


def _spent(spent: dict[str, float] | None) -> Iterator[Sentence]:
    """On what the agent's process spent its time from the row before to that of the round."""
    if spent is None:
        return
    acting, update, messages = (f"{spent[part]:.3g} s" for part in ("sampling", "update", "messages"))
    text = f"its process worked for {acting} while sampling and for {update} after it, spent {messages} on messages, "
    text += f"and waited: {spent['wait_sampling']:.3g} s for states and physics, "
    text += f"{spent['wait_update']:.3g} s for turns and for the commit of the round before"
    yield Sentence(text, "metrics.jsonl spent_agent")
