"""MACPO's turn by another road: a dense Fisher matrix, and the best point of a disc that a line may cut.

Where ``agents`` multiplies by the Hessian of the mean KL, approximates its inverse by conjugate gradients and solves
the dual in closed form, this writes the Fisher matrix out, factors it, F = L L', and turns x into y = L'x. The trust
region is then a ball, the constraint a half space, and the best point lies in the plane of both gradients.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from .plain_agent import perceptron
from .plain_turn import PlainTurn


def constrained_turn(turn: PlainTurn, signal: Any, limits: tuple[float, ...]) -> None:
    """One step on ``signal``, the reward's advantage with its factor."""
    own, settings = turn.heard.own, turn.settings
    worst = max(range(len(limits)), key=lambda j: own["excess"][j] / max(limits[j], 1.0))
    if turn.mutant == "the first cost binds":
        worst = 0
    excess = own["excess"][worst] / turn.heard.plan.task.horizon
    cost = own["advantages"][1 + worst]
    factor = 1.0 if turn.mutant == "no factor on the cost" else turn.heard.factor
    cost = (cost - cost[own["valid"]].mean()).ravel() * turn.valid * factor

    start = [value.double() for value in turn.policy.values()]
    gradient, slope = (surrogate_gradient(turn, start, advantage) for advantage in (signal.double().numpy(), cost))
    damping = settings["cg_damping"] * (2.0 if turn.mutant == "twice the damping" else 1.0)
    matrix = fisher(turn, start) + damping * torch.eye(len(gradient), dtype=torch.float64)
    step, sort = best_step(matrix, gradient, slope, excess, settings["kl_max"])
    if turn.mutant == "no constraint":
        step, sort = best_step(matrix, gradient, slope, -math.inf, settings["kl_max"])
    turn.events[sort] += 1
    search(turn, start, step, (signal.double().numpy(), cost), max(-excess, 0.0), sort == "recovery")


def surrogate_gradient(turn: PlainTurn, start: list[Any], advantage: Any) -> Any:
    """Of the mean of ratio times advantage, where the ratio is 1: the mean of score times advantage."""
    parameters = [value.clone().requires_grad_() for value in start]
    out = perceptron(parameters[:6], turn.z.double())
    if turn.choices:
        chosen = torch.nn.functional.one_hot(turn.actions[:, 0].long(), turn.choices)
        scores = chosen * (out - out.logsumexp(1, keepdim=True))
    else:
        scores = -(((turn.actions - out) / parameters[6].exp()) ** 2) / 2 - parameters[6]
    total = (scores.sum(1) * torch.tensor(advantage))[turn.valid].mean()
    return torch.cat([part.ravel() for part in torch.autograd.grad(total, parameters)])


def fisher(turn: PlainTurn, start: list[Any]) -> Any:
    """Averaged over samples, with J the Jacobian of what the network gives. Of a diagonal Gaussian: J' diag(1 /
    variance) J, and of each log-deviation 2. Of choices: the covariance of J's rows under p, J' (diag(p) - p p') J."""
    sizes, count = [value.numel() for value in start[:6]], int(turn.valid.sum())

    def outputs(vector: Any) -> Any:
        layers = [part.reshape(value.shape) for part, value in zip(vector.split(sizes), start)]
        return perceptron(layers, turn.z[turn.valid].double())

    flat = torch.cat([value.ravel() for value in start[:6]])
    rows = torch.autograd.functional.jacobian(outputs, flat)
    if turn.choices:
        p = outputs(flat).softmax(1)[:, :, None]
        middle = 0.0 if turn.mutant == "no mean in the Fisher matrix" else (p * rows).sum(1, keepdim=True)
        rows = ((rows - middle) * p.sqrt()).reshape(-1, len(flat))
        return rows.T @ rows / count
    rows = (rows / start[6].exp()[None, :, None]).reshape(-1, len(flat))
    return torch.block_diag(rows.T @ rows / count, 2.0 * torch.eye(len(start[6]), dtype=torch.float64))


def best_step(matrix: Any, gradient: Any, slope: Any, excess: float, radius: float) -> tuple[Any, str]:
    """max gradient'x  s.t.  slope'x + excess <= 0,  x' matrix x / 2 <= radius; or, where there is no such x, the step
    to the disc's edge that lowers the cost most."""
    lower = torch.linalg.cholesky(matrix)
    up, across = (torch.linalg.solve_triangular(lower, v[:, None], upper=False)[:, 0] for v in (gradient, slope))
    length = math.sqrt(2.0 * radius)
    top = length * up / up.norm()
    normal = across / across.norm()
    edge = -excess / float(across.norm())
    if float(top @ normal) <= edge:
        point, sort = top, "loose"
    elif edge <= -length:
        point, sort = -length * normal, "recovery"
    else:
        along = up - (up @ normal) * normal
        point, sort = edge * normal + math.sqrt(length**2 - edge**2) * along / along.norm(), "binding"
    return torch.linalg.solve_triangular(lower.T, point[:, None], upper=True)[:, 0], sort


def search(
    turn: PlainTurn, start: list[Any], step: Any, advantages: tuple[Any, Any], may_rise: float, recovers: bool
) -> None:
    """The longest of ten halvings that is as good as the linear model promised."""
    pieces = step.split([value.numel() for value in start])
    end = [value + piece.reshape(value.shape) for value, piece in zip(start, pieces)]
    for halving in range(10):
        turn.policy.put_between(start, end, 0.5**halving)
        found = turn.measure()
        reward, cost = (turn.gain(found.log_ratio, advantage) for advantage in advantages)
        if (recovers or reward > 0.0) and cost <= may_rise and found.kl <= turn.settings["kl_max"]:
            turn.events["whole step" if halving == 0 else "shorter step"] += 1
            return
    turn.policy.put(start)
    turn.events["no step"] += 1
