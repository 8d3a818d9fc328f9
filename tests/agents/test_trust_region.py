"""MACPO's step: conjugate gradients against a direct solve, the constrained step against its optimality conditions."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch

from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.agents.ledger import Bounds
from scalmarl.agents.policies import CategoricalPolicy, Distribution, GaussianPolicy, Policy
from scalmarl.agents.policy_update import Batch, Outcome
from scalmarl.agents.settings import LearnerSettings
from scalmarl.agents.trust_region import Constraint, TrustRegionTurn, conjugate_gradient, constrained_step, flat, pieces
from scalmarl.launch.config import LearnerConfig

SETTINGS = LearnerSettings.from_data(
    {**LearnerConfig().model_dump(), **asdict(ALGORITHMS["macpo"].switches), "initial_std": 0.3}
)
RADIUS = 0.01


def positive(seed: int, size: int = 6) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size, generator=draw, dtype=torch.float64)
    return root @ root.T + 0.5 * torch.eye(size, dtype=torch.float64)


def vector(seed: int, size: int = 6) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("seed", range(4))
def test_conjugate_gradients_solve_the_system(seed: int) -> None:
    matrix, target = positive(seed), vector(seed + 50)
    found = conjugate_gradient(lambda x: matrix @ x, target, 12)
    torch.testing.assert_close(found, torch.linalg.solve(matrix, target), rtol=1e-8, atol=1e-8)


def test_conjugate_gradients_by_hand() -> None:
    """diag(1, 4) x = (2, 4): exact after two steps; after one, x = g'g / g'Hg * g = 20 / 68 * g."""
    target = torch.tensor([2.0, 4.0], dtype=torch.float64)
    diagonal = torch.tensor([1.0, 4.0], dtype=torch.float64)
    torch.testing.assert_close(conjugate_gradient(lambda x: diagonal * x, target, 1), target * 20 / 68)
    torch.testing.assert_close(conjugate_gradient(lambda x: diagonal * x, target, 2), target / diagonal)
    assert not conjugate_gradient(lambda x: diagonal * x, torch.zeros(2), 5).any()


def solved(seed: int, excess: float) -> tuple[torch.Tensor, bool, torch.Tensor, torch.Tensor, torch.Tensor]:
    matrix, g, b = positive(seed), vector(seed + 100), vector(seed + 200)
    step, recovers = constrained_step(
        g, torch.linalg.solve(matrix, g), b, torch.linalg.solve(matrix, b), excess, RADIUS
    )
    return step, recovers, matrix, g, b


def reach(matrix: torch.Tensor, b: torch.Tensor) -> float:
    """The largest change of b'x in the trust region: sqrt(2 delta b'H^-1 b)."""
    return math.sqrt(2 * RADIUS * float(b @ torch.linalg.solve(matrix, b)))


@pytest.mark.parametrize("share", [-2.0, -0.7, -0.2, 0.0, 0.2, 0.7, 0.95])
@pytest.mark.parametrize("seed", range(6))
def test_a_feasible_step_meets_the_conditions_of_optimality(seed: int, share: float) -> None:
    """Feasible, and g = lambda H x + nu b with lambda, nu >= 0 and both complementary: enough for a convex problem."""
    excess = share * reach(positive(seed), vector(seed + 200))
    step, recovers, matrix, g, b = solved(seed, excess)
    assert not recovers
    quadratic, linear = float(step @ matrix @ step) / 2, excess + float(b @ step)
    assert quadratic <= RADIUS * (1 + 1e-6)
    assert linear <= 1e-9
    basis = torch.stack([matrix @ step, b], dim=1)
    (scale, price) = torch.linalg.lstsq(basis, g.unsqueeze(1)).solution.squeeze(1).tolist()
    torch.testing.assert_close(basis @ torch.tensor([scale, price], dtype=torch.float64), g, rtol=1e-5, atol=1e-6)
    assert scale > -1e-6
    assert price > -1e-6
    assert abs(scale * (RADIUS - quadratic)) < 1e-6
    assert abs(price * linear) < 1e-6


@pytest.mark.parametrize(
    ("g", "b", "excess", "wanted"),
    [
        # The trust region is a disc of radius 0.2; both gradients lie on the first axis.
        ((0.1, 0.0), (-0.1, 0.0), -0.005, (0.2, 0.0)),
        ((0.1, 0.0), (0.1, 0.0), -0.005, (0.05, 0.0)),
        ((0.1, 0.0), (0.1, 0.0), 0.005, (-0.05, 0.0)),
        ((0.0, 0.0), (0.1, 0.0), 0.005, (-0.05, 0.0)),
    ],
)
def test_gradients_that_are_parallel_or_nothing(
    g: tuple[float, float], b: tuple[float, float], excess: float, wanted: tuple[float, float]
) -> None:
    up, down = torch.tensor(g, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
    step, recovers = constrained_step(up, up, down, down, excess, 0.02)
    assert not recovers
    torch.testing.assert_close(step, torch.tensor(wanted, dtype=torch.float64))


def test_a_faint_cost_that_is_out_of_reach_is_recovered_from_too() -> None:
    up, down = torch.tensor([1.0, 0.0]), torch.tensor([5e-5, 5e-5])
    step, recovers = constrained_step(up, up, down, down, 0.005, 0.02)
    assert recovers
    assert float(step @ down) < 0.0


def test_a_limit_out_of_reach_is_recovered_from_by_the_fastest_descent() -> None:
    excess = 1.5 * reach(positive(3), vector(203))
    step, recovers, matrix, _, b = solved(3, excess)
    assert recovers
    assert float(b @ step) == pytest.approx(-reach(matrix, b), rel=1e-9)
    assert float(step @ matrix @ step) / 2 == pytest.approx(RADIUS, rel=1e-9)


def test_without_a_cost_the_step_is_the_natural_gradient_to_the_edge() -> None:
    matrix, g = positive(1), vector(2)
    step, recovers = constrained_step(g, torch.linalg.solve(matrix, g), None, None, 0.0, RADIUS)
    assert not recovers
    assert float(step @ matrix @ step) / 2 == pytest.approx(RADIUS)
    torch.testing.assert_close(step / step.norm(), torch.linalg.solve(matrix, g) / torch.linalg.solve(matrix, g).norm())


def test_vectors_and_pieces_are_inverse() -> None:
    tensors = [torch.randn(2, 3), torch.randn(4), torch.randn(1, 1)]
    for one, two in zip(pieces(flat(tensors), tensors), tensors):
        assert torch.equal(one, two)


# ---- a turn of a real policy ----

both = pytest.mark.parametrize("choices", [0, 3], ids=["gaussian", "categorical"])


def played(excess: float | None, choices: int, seed: int = 0) -> tuple[Outcome, float, float]:
    """The outcome, and what the turn did to reward and cost surrogates."""
    draw = torch.Generator().manual_seed(seed)
    policy: Policy = CategoricalPolicy(3, (8,), choices, draw) if choices else GaussianPolicy(3, (8,), 2, 0.3, draw)
    inputs = torch.randn(400, 3, generator=draw)
    with torch.no_grad():
        old: Distribution = policy(inputs)
    if choices:
        actions = torch.randint(choices, (400, 1), generator=draw).float()
        # Both want the first choice, and disagree about the second.
        noise = 2.0 * torch.cat([actions == 0, actions == 1], dim=1).float()
    else:
        noise = torch.randn(400, 2, generator=draw)
        actions = policy.network(inputs).detach() + 0.3 * noise
    reward, cost = noise[:, 0] + 0.2 * noise[:, 1], noise[:, 0] - 0.5 * noise[:, 1]
    batch = Batch(inputs, actions, torch.ones(400), reward.double().numpy(), {(0, 0): cost.double().numpy()})
    turn = TrustRegionTurn(policy, torch.optim.Adam(policy.parameters()), batch, Bounds(RADIUS, 0.0), SETTINGS)
    for _ in turn.improve(reward - reward.mean(), None if excess is None else Constraint(cost - cost.mean(), excess)):
        pass
    outcome = turn.outcome()
    with torch.no_grad():
        kl = float(old.kl_divergence(policy(inputs)).mean())
    assert outcome.step.kl_mean == pytest.approx(kl, rel=1e-3, abs=1e-8)
    assert kl <= RADIUS
    change = np.expm1(outcome.log_ratio.double().numpy())
    return (
        outcome,
        float((change * (reward - reward.mean()).numpy()).mean()),
        float((change * (cost - cost.mean()).numpy()).mean()),
    )


@both
def test_a_turn_climbs_to_the_edge_of_the_trust_region_where_no_cost_counts(choices: int) -> None:
    outcome, reward, cost = played(None, choices)
    assert outcome.step.kl_mean > 0.5 * RADIUS
    assert outcome.course.kept in [0.5**halving for halving in range(10)]
    assert (outcome.course.kept == 1.0) == (outcome.bound == "kl_max")
    assert reward > 0.02
    assert cost > 0.01


@pytest.mark.parametrize("room", [0.002, 0.02])
@both
def test_a_turn_near_its_limit_climbs_and_raises_the_cost_by_no_more_than_is_left(room: float, choices: int) -> None:
    _, reward, cost = played(-room, choices)
    assert reward > 0.005
    assert cost <= room * (1.0 + 1e-6)


@both
def test_a_turn_far_above_its_limit_recovers(choices: int) -> None:
    outcome, _, cost = played(10.0, choices)
    assert outcome.bound == "recovery"
    assert cost < -0.05
