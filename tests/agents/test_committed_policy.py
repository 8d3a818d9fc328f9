"""A policy from its round file: it reads its own and its neighbours' blocks as in training, also when some are gone."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.agents.committed_policy import CommittedPolicy
from scalmarl.agents.learner import Learner
from scalmarl.launch.config import LearnerConfig
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.standins import toy_plan

ME, COPIES, SEED = 1, 5, 9
"""Block of 3, between blocks of 2 and 4."""


def plan_of(**changes: Any) -> Plan:
    settings = {**LearnerConfig().model_dump(), **asdict(ALGORITHMS["scal-mappo-l"].switches), "initial_std": 0.5}
    return replace(toy_plan(((1,), (0, 2), (1,)), (0, 1, 0)), learner=settings, **changes)


def blocks_of(seed: int) -> list[NDArray[np.float32] | None]:
    draw = np.random.default_rng(seed)
    return [draw.normal(1.0, 2.0, (COPIES, width)).astype(np.float32) for width in (2, 3, 4)]


def learnt(plan: Plan) -> Learner:
    """A learner whose statistics are not those of the beginning."""
    learner = Learner(plan, ME)
    own = learner._own
    draw = np.random.default_rng(1)
    own.inputs = own.inputs.merged(draw.normal(0.5, 3.0, (50, plan.input_width(ME))).astype(np.float32))
    return learner


def normalised(learner: Learner, raw: NDArray[np.float32]) -> torch.Tensor:
    inputs, limit = learner._own.inputs, learner._settings.observation_limit
    return torch.from_numpy(np.clip((raw - inputs.mean) / inputs.std, -limit, limit).astype(np.float32))


def test_the_mean_of_the_own_and_the_neighbours_normalised_blocks() -> None:
    plan = plan_of()
    learner = learnt(plan)
    policy = CommittedPolicy(plan, ME, learner.save(), COPIES)
    blocks = blocks_of(0)
    raw = np.concatenate([block for block in blocks if block is not None], axis=1)
    wanted = learner._own.policy.network(normalised(learner, raw)).detach().numpy()
    np.testing.assert_allclose(policy.act(blocks), wanted, rtol=1e-5, atol=1e-6)


def test_an_absent_neighbour_reads_as_its_mean_and_not_present() -> None:
    plan = plan_of(on_loss="mask", absent=(0,))
    learner = learnt(plan)
    policy = CommittedPolicy(plan, ME, learner.save(), COPIES)
    blocks = [None, *blocks_of(0)[1:]]
    there = [block for block in blocks if block is not None]
    presence = np.tile(np.array([0.0, 1.0], np.float32), (COPIES, 1))
    raw = np.concatenate([np.tile(learner._own.inputs.mean[:2], (COPIES, 1)), *there, presence], axis=1)
    wanted = learner._own.policy.network(normalised(learner, raw)).detach().numpy()
    np.testing.assert_allclose(policy.act(blocks), wanted, rtol=1e-5, atol=1e-6)


def test_chance_is_a_function_of_seed_and_episode_and_has_the_policys_deviation() -> None:
    plan = plan_of()
    policy = CommittedPolicy(plan, ME, learnt(plan).save(), COPIES)
    blocks = blocks_of(0)
    mean = policy.act(blocks)

    def drawn(episode: int, steps: int) -> NDArray[np.float32]:
        policy.begin_episode(episode, SEED)
        return np.stack([policy.act(blocks) for _ in range(steps)])

    first = drawn(0, 400)
    np.testing.assert_array_equal(first[:3], drawn(0, 3))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], drawn(1, 1)[0])
    std = plan.learner["initial_std"]
    assert (first - mean).std() == pytest.approx(std, rel=0.1)
    assert np.abs((first - mean).mean(axis=0)).max() < 5 * std / 20
