"""The world against a plain loop of mj_step, and what it promises of rewards, costs and ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scalmarl.sim_server.body import WorldBroken
from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World
from tests.sim_server.stepped import (
    NO_END,
    PlainCopy,
    cost_of,
    flags_of,
    placed,
    random_actions,
    reward_of,
    run,
    still,
    world_of,
)

# ---- against a plain loop ----


@pytest.mark.parametrize(("agents", "segments"), [(3, 1), (2, 2)])
def test_a_copy_is_what_a_plain_loop_of_mj_step_makes_of_it(agents: int, segments: int) -> None:
    """State to the bit; blocks to single precision; rewards to 1e-10, a few hundred roundings of numbers near 1."""
    copies, steps = 3, 60
    world = world_of(agents, copies, groups=3, segments=segments, horizon=NO_END)
    plain = [PlainCopy.of(world, copy) for copy in range(copies)]
    position, velocity = world.batch.bind("qpos"), world.batch.bind("qvel")
    actions, touched = random_actions(world, steps, copies), 0.0
    for now, seen in zip(actions, run(world, actions, groups=3)):
        for copy, loop in enumerate(plain):
            blocks, local, team = loop.step(now[:, copy])
            assert position[copy].tobytes() == loop.data.qpos.tobytes()
            assert velocity[copy].tobytes() == loop.data.qvel.tobytes()
            np.testing.assert_allclose(seen[:, copy, : 24 * segments], blocks, atol=1e-5, rtol=1e-5)
            assert (seen[:, copy, 24 * segments] == 1.0).all()
            np.testing.assert_allclose(world.rewards[copy], local, atol=1e-10)
            assert world.rewards[copy].sum() == pytest.approx(team, abs=1e-10)
            np.testing.assert_array_equal(reward_of(seen)[:, copy], world.rewards[copy].astype("f4"))
            touched = max(touched, float(blocks.reshape(-1, 24)[:, 20:22].max()))
    assert not world.episodes.over.any()
    assert touched == 1.0


def test_sent_local_rewards_sum_to_the_team_reward_to_single_precision() -> None:
    """Each of A numbers is rounded once: A halves of an ulp of the largest."""
    local, team = (world_of(4, 3, reward=mode, horizon=NO_END) for mode in ("local", "team"))
    actions = random_actions(local, 40, 3, spread=0.3)
    apart = 0.0
    for mine, everybodys in zip(run(local, actions), run(team, actions)):
        one, other = reward_of(mine).astype(np.float64), reward_of(everybodys)
        assert (other == other[:1]).all()
        tolerance = (4 + 1) / 2 * np.finfo(np.float32).eps * max(np.abs(one).max(), np.abs(other).max())
        np.testing.assert_allclose(one.sum(axis=0), other[0], atol=tolerance)
        apart = max(apart, float(np.ptp(one, axis=0).max()))
        np.testing.assert_array_equal(np.delete(mine, -4, axis=2), np.delete(everybodys, -4, axis=2))
    assert apart > 0.1


def test_an_action_beyond_the_motors_moves_no_more_but_is_paid_for() -> None:
    one, two = world_of(2, 1, horizon=NO_END), world_of(2, 1, horizon=NO_END)
    full = np.ones((1, 2, 1, 4), np.float32)
    (first,), (second,) = run(one, full), run(two, 3 * full)
    np.testing.assert_array_equal(first[..., :25], second[..., :25])
    np.testing.assert_allclose(reward_of(first) - reward_of(second), 0.5 * 4 * (9 - 1), rtol=1e-5)


# ---- costs and ends ----


@pytest.mark.parametrize(
    ("y", "yaw", "local", "team"),
    [
        (0.0, 0.0, [0, 0, 0, 0], 0),
        (3.5, 0.6, [1, 1, 0, 0], 1),
        (1.9, -0.6, [0, 0, 1, 1], 0),
        (-3.5, -0.6, [1, 1, 0, 0], 1),
        (9.0, 0.0, [1, 1, 1, 1], 1),
    ],
    ids=["on the centre line", "the head is near", "the tail is near", "on the other side", "through the wall"],
)
def test_a_cost_is_an_agents_own_or_the_heads(y: float, yaw: float, local: list[int], team: int) -> None:
    """Segments stand 1 m apart: at a yaw of 0.6 they are 0.56 m further from or nearer to the wall."""
    for mode, expected in (("local", local), ("team", [team] * 4)):
        world = world_of(4, 2, cost=mode, horizon=NO_END)
        placed(world, 1, y, yaw)
        (seen,) = still(world, 1, 2)
        assert cost_of(seen)[:, 1].tolist() == expected, mode
        assert not cost_of(seen)[:, 0].any()
        assert not np.any(flags_of(seen))


def test_an_agent_of_two_segments_costs_when_either_is_near() -> None:
    world = world_of(2, 1, segments=2, horizon=NO_END)
    placed(world, 0, 1.5, -0.6)
    (seen,) = still(world, 1, 1)
    assert cost_of(seen)[:, 0].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("cost", "height"), [("local", 1.2), ("team", 1.2), ("local", 0.1)])
def test_a_fall_terminates_and_costs_everybody_1(cost: str, height: float) -> None:
    world = world_of(3, 4, cost=cost, horizon=NO_END)
    placed(world, 2, 0.0, 0.0, z=height)
    (seen,) = still(world, 1, 4)
    terminated, truncated = flags_of(seen)
    assert terminated.all(axis=0).tolist() == terminated.any(axis=0).tolist() == [False, False, True, False]
    assert not truncated.any()
    assert cost_of(seen).tolist() == [[0.0, 0.0, 1.0, 0.0]] * 3


def test_a_horizon_truncates_at_staggered_ages_and_a_fall_at_the_horizon_terminates() -> None:
    """Copies begin at ages 0, 2, 4 and 6 of 8."""
    world = world_of(2, 4, horizon=8)
    ends = []
    for step in range(9):
        if step == 5:
            placed(world, 1, 0.0, 0.0, z=1.3)
        (seen,) = still(world, 1, 4)
        terminated, truncated = flags_of(seen)
        assert (terminated == terminated[:1]).all()
        assert (truncated == truncated[:1]).all()
        ends.append((np.flatnonzero(terminated[0]).tolist(), np.flatnonzero(truncated[0]).tolist()))
    nothing: tuple[list[int], list[int]] = ([], [])
    expected = [nothing, ([], [3]), nothing, ([], [2]), nothing, ([1], []), nothing, ([], [0]), nothing]
    assert ends == expected
    figures = world.figures()
    assert (figures["episodes"], figures["terminations"], figures["length"]) == (1, 1, 8.0)


# ---- standing, and numbers that are not finite ----


def test_a_long_chain_stands_for_200_steps() -> None:
    world = world_of(16, 3, horizon=NO_END)
    for seen in still(world, 200, 3):
        assert not np.any(flags_of(seen))
        assert not cost_of(seen).any()
    assert (seen[:, :, 8] > 0.2).all()


@pytest.mark.parametrize(("agents", "segments", "horizon"), [(2, 1, 200), (8, 1, 200), (8, 1, 50), (4, 2, 200)])
def test_standing_still_returns_what_the_task_says(agents: int, segments: int, horizon: int) -> None:
    """To 3 %: the mean of 8 copies, not of the 32 that the formula was measured with; a short one to 15 %."""
    copies = 8
    world = world_of(agents, copies, segments=segments, reward="team", horizon=NO_END)
    total = sum(reward_of(seen)[0].astype(np.float64) for seen in still(world, horizon, copies))
    promised = describe(f"safe-manyant:{agents}x{segments}", horizon=horizon).standing_still_return
    assert total.mean() == pytest.approx(promised, rel=0.03 if horizon >= 200 else 0.15)


def test_a_single_segment_falls_with_the_return_that_its_task_says() -> None:
    world = world_of(1, 16, horizon=NO_END)
    total, alive = np.zeros(16), np.ones(16, bool)
    for seen in still(world, 40, 16):
        total += np.where(alive, reward_of(seen)[0], 0.0)
        alive &= ~flags_of(seen)[0][0]
    assert not alive.any()
    assert total.mean() == pytest.approx(describe("safe-manyant", 1).standing_still_return, rel=0.1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_action_that_is_not_finite_is_refused_with_its_copy(bad: float) -> None:
    world = world_of(2, 4, groups=2)
    actions = [np.zeros((2, 4), np.float32) for _ in range(2)]
    actions[1][1, 2] = bad
    with pytest.raises(WorldBroken, match="safe-manyant:2x1: an action gave a number that is not finite; copy 3, "):
        world.step(1, actions)


@pytest.mark.parametrize("large", [1e11, -3e38])
def test_numbers_that_will_soon_not_be_finite_are_refused_too(large: float) -> None:
    world = world_of(2, 4)
    actions = [np.zeros((4, 4), np.float32) for _ in range(2)]
    actions[0][2, 1] = large
    with pytest.raises(WorldBroken, match=r"an action gave a number that is larger than 1e\+10; copy 2, 0 steps"):
        world.step(0, actions)
    world = world_of(2, 4)
    list(still(world, 3, 4))
    world.batch.bind("qpos")[1, 0] = large
    with pytest.raises(WorldBroken, match=r"the physics gave a number that is .*; copy 1, 3 steps after its reset"):
        list(still(world, 1, 4))


def test_a_large_sum_of_sound_numbers_is_sound() -> None:
    """Refused is one number of 1e10, not many that add up to more."""
    world = world_of(2, 4)
    actions = [np.full((4, 4), 9e9, np.float32) for _ in range(2)]
    world.step(0, actions)
    assert np.isfinite(world.observation(0, 0)).all()


def test_physics_that_is_not_finite_is_told_from_an_action_and_not_hidden_by_a_reset() -> None:
    world = world_of(2, 3)
    world.batch.bind("qvel")[1, 4] = np.nan
    with pytest.raises(WorldBroken, match="the physics gave a number that is not finite; copy 1,"):
        list(still(world, 1, 3))


def test_broken_physics_leaves_no_log_file_in_the_users_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    world = world_of(1, 1)
    world.batch.bind("qvel")[0, 4] = np.nan
    with pytest.raises(WorldBroken):
        list(still(world, 1, 1))
    assert not list(tmp_path.iterdir())


def test_a_broken_copy_does_not_touch_the_others() -> None:
    """Group 0 holds it; group 1 goes on to the bit."""
    one, two = world_of(2, 4, groups=2), world_of(2, 4, groups=2)
    zero = [np.zeros((2, 4), np.float32) for _ in range(2)]
    one.batch.bind("qpos")[0, 8] = np.inf
    with pytest.raises(WorldBroken, match="copy 0"):
        one.step(0, zero)
    for world in (one, two):
        for _ in range(3):
            world.step(1, zero)
    assert one.observation(1, 1).tobytes() == two.observation(1, 1).tobytes()


@pytest.mark.parametrize(("copies", "groups"), [(5, 2), (2, 3), (4, 0)])
def test_copies_must_fill_their_groups(copies: int, groups: int) -> None:
    with pytest.raises(ValueError, match="multiple of the groups"):
        World(describe("safe-manyant", 2), copies=copies, groups=groups, seed=0, threads=1)
