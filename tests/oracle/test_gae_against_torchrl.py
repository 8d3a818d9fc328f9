"""Oracle 3: our advantages are TorchRL's, where TorchRL is installed.

The layouts differ. TorchRL takes time last but one and, for each sample, the value of the state that it led to and how
that state ended. Ours has a sample at every observation, also at one that ended an episode: the world ignores the
action there (next-step reset), so it is no sample, and what TorchRL says of it is not asked. It cannot leak into the
samples before it either: those at the episode's end do not look past it.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scalmarl.agents.advantages import gae

functional = pytest.importorskip(
    "torchrl.objectives.value.functional", reason="torchrl is not installed; pip install torchrl==0.14.1"
)
CASES = {(False, False), (True, False), (False, True), (True, True)}


@pytest.mark.parametrize("seed", range(20))
def test_advantages_are_torchrls(seed: int) -> None:
    draw = np.random.default_rng(seed)
    steps, copies = int(draw.integers(2, 40)), int(draw.integers(4, 12))
    # TorchRL rounds both to float32, so they are numbers that survive it.
    gamma, lambda_ = draw.choice([0.875, 0.984375, 1.0]), draw.choice([0.0, 0.5, 0.953125, 1.0])
    rewards, values = draw.normal(size=(steps, copies)), draw.normal(size=(steps + 1, copies))
    ends = draw.random((steps + 1, copies)) < 0.3
    for t in range(1, steps + 1):
        # A reset state cannot be an end: next-step resets take one observation.
        ends[t] &= ~ends[t - 1]
    sort = draw.integers(0, 3, size=ends.shape)
    terminated, truncated = ends & (sort != 1), ends & (sort != 0)
    terminated[-1, :4], truncated[-1, :4] = (False, True, False, True), (False, False, True, True)
    ends[-1], ends[-2, :4] = terminated[-1] | truncated[-1], False
    terminated[-2, :4] = truncated[-2, :4] = False
    assert set(zip(terminated[1:].ravel().tolist(), truncated[1:].ravel().tolist())) == CASES

    def theirs(x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(x.T[..., None].copy())

    expected, _ = functional.generalized_advantage_estimate(
        gamma, lambda_, theirs(values[:-1]), theirs(values[1:]), theirs(rewards), done=theirs(ends[1:]),
        terminated=theirs(terminated[1:]),
    )  # fmt: skip
    ours = gae(rewards, values, terminated, ends, float(gamma), float(lambda_))
    valid = ~ends[:-1]
    np.testing.assert_allclose(ours[valid], expected[..., 0].T.numpy()[valid], rtol=1e-10, atol=1e-10)
    assert (ours[~valid] == 0.0).all()
