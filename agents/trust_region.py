"""MACPO's turn: one constrained trust-region step, by conjugate gradients and a line search.

    max_x g'x   subject to   b'x + c <= 0   and   x'Hx / 2 <= delta

with g and b the gradients of the reward and cost surrogates, H the Hessian of the mean KL (the Fisher matrix) and c how
far the cost is above its limit. Achiam et al. 2017 ("Constrained Policy Optimization") solve the dual in closed form;
Gu et al. 2021 (MACPO) take the step agent by agent, on surrogates times the predecessors' ratios.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scalmarl.agents.policies import Distribution
from scalmarl.agents.policy_update import PolicyTurn, change_of

LINE_SEARCH = 10
TINY = 1e-8
PARALLEL = 1e-9
"""Share of the gradient off the constraint's direction below which it counts as none."""


@dataclass(frozen=True)
class Constraint:
    """One cost: its centred advantage ``[B]`` (factor included) and ``excess``, J - c per control step."""

    advantage: Tensor
    excess: float


class TrustRegionTurn(PolicyTurn):
    """See the module. ``Outcome.bound``: ``kl_max`` for a full step, ``line search`` for a shortened one, ``recovery``
    where the limit is out of reach and the step only lowers the cost."""

    def improve(self, advantage: Tensor, constraint: Constraint | None) -> Iterator[None]:
        """One step on ``advantage`` ``[B]`` (factor included); yields between pieces of work."""
        parameters = list(self._policy.parameters())
        gradient = self._gradient(advantage, parameters)
        slope = None if constraint is None else self._gradient(constraint.advantage, parameters)
        yield
        fisher = self._fisher(parameters)
        ascent = conjugate_gradient(fisher, gradient, self._settings.cg_iterations)
        yield
        descent = None if slope is None else conjugate_gradient(fisher, slope, self._settings.cg_iterations)
        yield
        excess = 0.0 if constraint is None else constraint.excess
        step, recovers = constrained_step(gradient, ascent, slope, descent, excess, self._bounds.kl_max)
        yield
        self._line_search(step, advantage, constraint, recovers)

    def _gradient(self, advantage: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        new: Distribution = self._policy(self._batch.inputs)
        ratio = (new.log_prob(self._batch.actions) - self._old_log_prob).exp()
        surrogate = (ratio * advantage * self._batch.weights).sum() / self._count
        return flat(torch.autograd.grad(surrogate, parameters))

    def _fisher(self, parameters: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
        """x -> (H + damping) x."""
        new: Distribution = self._policy(self._batch.inputs)
        kl = self._old.kl_divergence(new) * self._batch.weights
        first = flat(torch.autograd.grad(kl.sum() / self._count, parameters, create_graph=True))

        def product(x: Tensor) -> Tensor:
            return flat(torch.autograd.grad(first @ x, parameters, retain_graph=True)) + self._settings.cg_damping * x

        return product

    def _line_search(self, step: Tensor, advantage: Tensor, constraint: Constraint | None, recovers: bool) -> None:
        """The longest of ten halvings inside the trust region that raises the reward surrogate (unless it recovers) and
        keeps the cost surrogate below what is left, or below 0."""
        start = [parameter.detach().clone() for parameter in self._policy.parameters()]
        end = [a + piece for a, piece in zip(start, pieces(step, start))]
        may_rise = 0.0 if constraint is None else max(-constraint.excess, 0.0)
        for halving in range(LINE_SEARCH):
            self._place(start, end, 0.5**halving)
            better = recovers or self._surrogate(advantage) > 0.0
            safe = constraint is None or self._surrogate(constraint.advantage) <= may_rise
            if better and safe and self._breached() is None:
                self._bound = "recovery" if recovers else "kl_max" if halving == 0 else "line search"
                self._epochs, self._course.kept = 1, 0.5**halving
                return
        self._place(start, start, 0.0)
        self._bound, self._course.kept = "line search", 0.0

    def _surrogate(self, advantage: Tensor) -> float:
        return self._gain(change_of(self._measure()[0]), advantage.double().numpy())


def constrained_step(
    gradient: Tensor, ascent: Tensor, slope: Tensor | None, descent: Tensor | None, excess: float, radius: float
) -> tuple[Tensor, bool]:
    """The step x, and whether it is a recovery; ``ascent`` = H^-1 g, ``descent`` = H^-1 b, ``excess`` = c.

    Closed form of the dual (Achiam et al. 2017, Eqs. 11-14 and Theorem 2), for maximisation.
    """
    q = float(gradient @ ascent)
    free = math.sqrt(2.0 * radius / max(q, TINY)) * ascent
    if slope is None or descent is None:
        return free, False
    r, s = float(gradient @ descent), float(slope @ descent)
    if s <= 0.0:
        return free, False
    if 2.0 * radius - excess**2 / s <= 0.0:
        # The plane of the constraint misses the trust region: all of it is feasible, or none.
        return (free, False) if excess < 0.0 else (-math.sqrt(2.0 * radius / s) * descent, True)
    binds, scale = _dual(q, r, s, excess, radius)
    if not binds:
        return ascent / max(scale, TINY), False
    # To the plane, and along it with what is left of the gradient there; nothing is where both gradients are parallel.
    along = ascent - (r / s) * descent
    return (along / scale if scale > 0.0 else 0.0 * along) - (excess / s) * descent, False


def _dual(q: float, r: float, s: float, excess: float, radius: float) -> tuple[bool, float]:
    """Whether the constraint binds, and the multiplier lambda of the trust region: the better of the two pieces of the
    concave dual. The constraint's own multiplier is positive where r + lambda * excess > 0."""
    everything, nothing = (0.0, math.inf), (0.0, -1.0)
    if excess == 0.0:
        binding, loose = (everything, nothing) if r > 0.0 else (nothing, everything)
    else:
        edge = -r / excess
        below, above = (0.0, edge), (max(edge, 0.0), math.inf)
        binding, loose = (above, below) if excess > 0.0 else (below, above)
    rest = max(q - r**2 / s, 0.0)
    rest = rest if rest > PARALLEL * q else 0.0
    candidates = []
    for binds, (low, high), linear, quadratic, constant in (
        (True, binding, rest, 2.0 * radius - excess**2 / s, r * excess / s),
        (False, loose, q, 2.0 * radius, 0.0),
    ):
        if high >= low:
            scale = min(max(math.sqrt(linear / quadratic), low), high)
            price = linear / max(scale, TINY)
            candidates.append((constant - 0.5 * (price + quadratic * scale), binds, scale))
    _, binds, scale = max(candidates)
    return binds, scale


def conjugate_gradient(product: Callable[[Tensor], Tensor], target: Tensor, iterations: int) -> Tensor:
    """x with H x = ``target``, after so many iterations or at a residual below 1e-10 (Hestenes and Stiefel 1952)."""
    x, residual = torch.zeros_like(target), target.clone()
    direction, square = residual.clone(), float(residual @ residual)
    for _ in range(iterations):
        if square < 1e-20:
            break
        moved = product(direction)
        curvature = float(direction @ moved)
        if curvature <= 0.0:
            break
        length = square / curvature
        x, residual = x + length * direction, residual - length * moved
        before, square = square, float(residual @ residual)
        direction = residual + (square / before) * direction
    return x


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """All entries in one vector."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def pieces(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The inverse of ``flat``."""
    parts = torch.split(vector, [a.numel() for a in like])
    return [part.reshape(a.shape) for part, a in zip(parts, like)]
