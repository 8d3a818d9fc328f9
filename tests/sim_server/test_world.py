"""The world against a plain loop of mj_step, and what it promises of bits, episodes, rewards and costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from scalmarl.sim_server.body import WorldBroken
from scalmarl.sim_server.corridor import Corridor, scale_for
from scalmarl.sim_server.making import SavedWorld
from scalmarl.sim_server.manyant_model import SUBSTEPS, build_model
from scalmarl.sim_server.manyant_task import CONTROL_DT, HALF_WIDTH
from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World

Array = NDArray[Any]
STATE = mujoco.mjtState.mjSTATE_INTEGRATION
NO_END = 1_000_000
"""A horizon at which nothing is truncated in a test."""


def world_of(
    agents: int = 3,
    copies: int = 4,
    groups: int = 1,
    seed: int = 0,
    threads: int = 1,
    segments: int = 1,
    **task: Any,
) -> World:
    spec = describe(f"safe-manyant:{agents}x{segments}", **task)
    return World(spec, copies=copies, groups=groups, seed=seed, threads=threads)


def random_actions(world: World, steps: int, copies: int, seed: int = 0, spread: float = 0.5) -> Array:
    """``[T, A, E, action size]``."""
    draw = np.random.default_rng(seed)
    return (spread * draw.normal(size=(steps, world.spec.agents, copies, world.spec.action_sizes[0]))).astype("f4")


def sent(world: World, groups: int = 1) -> Array:
    """Everything that is sent now, ``[A, E, width]``."""
    agents = range(world.spec.agents)
    return np.stack([np.concatenate([world.observation(a, g) for g in range(groups)]) for a in agents])


def run(world: World, actions: Array, groups: int = 1) -> Iterator[Array]:
    """Step every group in turn; what was sent after each control step."""
    size = actions.shape[2] // groups
    for now in actions:
        for group in range(groups):
            world.step(group, [mine[group * size : (group + 1) * size] for mine in now])
        yield sent(world, groups)


def still(world: World, steps: int, copies: int) -> Iterator[Array]:
    return run(world, np.zeros((steps, world.spec.agents, copies, world.spec.action_sizes[0]), np.float32))


def reward_of(seen: Array) -> Array:
    return seen[..., -4]


def cost_of(seen: Array) -> Array:
    return seen[..., -3]


def flags_of(seen: Array) -> tuple[Array, Array]:
    return seen[..., -2] != 0, seen[..., -1] != 0


# ---- against a plain loop ----


@dataclass
class PlainCopy:
    """One copy stepped by mj_step, and its figures from MuJoCo's own kinematics."""

    model: mujoco.MjModel
    data: mujoco.MjData
    agents: int
    segments: int

    @classmethod
    def of(cls, world: World, copy: int) -> PlainCopy:
        segments = world.spec.parameters["segments"]
        body = world.spec.agents * segments
        model = build_model(body, Corridor(HALF_WIDTH, scale_for(body)))
        data = mujoco.MjData(model)
        mujoco.mj_setState(model, data, world.batch.state[copy].copy(), STATE)
        return cls(model, data, world.spec.agents, segments)

    def step(self, actions: Array) -> tuple[Array, Array, float]:
        """``actions[i]`` of agent i; returns blocks ``[A, n * 24]``, local rewards, and the team reward."""
        before = self.data.qpos[0]
        self.data.ctrl[:] = np.concatenate(list(actions))
        for _ in range(SUBSTEPS):
            mujoco.mj_step(self.model, self.data)
        forces, speed = self.data.cfrc_ext.copy(), (self.data.qpos[0] - before) / CONTROL_DT
        local = np.empty(self.agents)
        for agent in range(self.agents):
            first = 1 + 7 * self.segments * agent
            felt = np.clip(forces[first : first + 7 * self.segments], -1.0, 1.0)
            control = float((actions[agent].astype(np.float64) ** 2).sum())
            local[agent] = (speed + 1.0) / self.agents - 0.5 * control - 0.0005 * float((felt**2).sum())
        control = float((actions.astype(np.float64) ** 2).sum())
        team = speed - 0.5 * control - 0.0005 * float((np.clip(forces, -1, 1) ** 2).sum()) + 1.0
        return self._blocks(forces), local, team

    def _blocks(self, forces: Array) -> Array:
        model, data = self.model, mujoco.MjData(self.model)
        mujoco.mj_setState(model, data, self._state(), STATE)
        mujoco.mj_forward(model, data)
        blocks = []
        for segment in range(self.agents * self.segments):
            torso = model.body(f"torso_{segment}").id
            rotation, velocity = data.xmat[torso].reshape(3, 3), np.empty(6)
            axes = {}
            for local in (0, 1):
                mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, torso, velocity, local)
                axes[local] = velocity.copy()
            names = [f"{joint}_{segment}" for joint in ("hip_1", "ankle_1", "hip_2", "ankle_2")]
            x, y, z = data.xpos[torso]
            corridor = Corridor(HALF_WIDTH, scale_for(self.agents * self.segments))
            heading = np.arctan2(rotation[1, 0], rotation[0, 0])
            feet = [np.linalg.norm(forces[model.body(f"foot_{n}_{segment}").id, 3:]) for n in (1, 2)]
            blocks.append(
                [
                    *(data.joint(name).qpos[0] for name in names), *(data.joint(name).qvel[0] for name in names),
                    z, *rotation[:, 2], *axes[0][3:], *axes[1][:3], x / 5.0,
                    y - float(corridor.centre_line(np.array([x]))[0]), *np.minimum(feet, 1.0),
                    np.cos(heading), np.sin(heading),
                ]
            )  # fmt: skip
        return np.array(blocks).reshape(self.agents, -1)

    def _state(self) -> Array:
        state = np.empty(mujoco.mj_stateSize(self.model, STATE))
        mujoco.mj_getState(self.model, self.data, state, STATE)
        return state


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


def placed(world: World, copy: int, y: float, yaw: float, x: float = -1.0, z: float = 0.75) -> None:
    """Put the head there; before the corridor's first fold, so that its centre line is y = 0."""
    position, velocity = world.batch.bind("qpos"), world.batch.bind("qvel")
    position[copy, :7] = [x, y, z, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
    velocity[copy] = 0.0


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


# ---- reset ----


def test_reset_is_next_step_and_ignores_the_action_even_one_that_is_not_finite() -> None:
    worlds = [world_of(2, 2, horizon=6) for _ in range(3)]
    last = [list(still(world, 3, 2))[-1] for world in worlds]
    assert flags_of(last[0])[1][0].tolist() == [False, True]
    results = []
    for world, ignored in zip(worlds, (0.0, 0.7, np.nan)):
        actions = np.full((1, 2, 2, 4), 0.1, np.float32)
        actions[:, :, 1] = ignored
        (seen,) = run(world, actions)
        results.append(seen)
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()
    fresh = results[0][:, 1]
    assert not fresh[:, -4:].any()
    assert not np.array_equal(fresh[:, :24], last[0][:, 1, :24])
    assert (np.abs(fresh[:, 8] - 0.75) <= 0.02 + 1e-6).all()
    # The head starts within 0.1 m of the origin; it would not be there had the old episode gone on unreset.
    assert abs(fresh[0, 18] * 5) <= 0.1 + 1e-6
    assert np.abs(fresh[:, :4]).max() <= 0.1 + 1e-6


def test_contact_forces_after_a_reset_are_those_of_the_new_state() -> None:
    """Copy 1 stands on its feet when it is truncated, after 100 steps."""
    world = world_of(2, 2, horizon=200)
    *_, last = still(world, 100, 2)
    assert flags_of(last)[1][:, 1].all()
    assert last[:, 1, 20:22].max() > 0.0
    (fresh,) = still(world, 1, 2)
    loop = PlainCopy.of(world, 1)
    mujoco.mj_forward(loop.model, loop.data)
    for segment in range(2):
        feet = [loop.data.cfrc_ext[loop.model.body(f"foot_{n}_{segment}").id, 3:] for n in (1, 2)]
        np.testing.assert_allclose(fresh[segment, 1, 20:22], [min(np.linalg.norm(f), 1.0) for f in feet], atol=1e-6)


def test_a_start_depends_on_seed_copy_and_episode_and_on_nothing_else() -> None:
    def starts(seed: int, end: Callable[[World], None]) -> tuple[Array, Array]:
        world = world_of(2, 2, seed=seed, horizon=NO_END)
        first = sent(world)[:, :, :24]
        end(world)
        position = world.batch.bind("qpos")
        position[:, 2] = 1.5
        *_, second = still(world, 2, 2)
        return first, second[:, :, :24]

    at_once, later = starts(0, lambda world: None), starts(0, lambda world: list(still(world, 4, 2)).clear())
    assert at_once[0].tobytes() == later[0].tobytes()
    assert at_once[1].tobytes() == later[1].tobytes()
    first, second = at_once
    other = starts(1, lambda world: None)[0]
    different = [first[:, 0], first[:, 1], second[:, 0], second[:, 1], other[:, 0], other[:, 1]]
    assert len({start.tobytes() for start in different}) == 6


def test_a_first_observation_has_no_reward_cost_or_flag_and_no_force() -> None:
    seen = sent(world_of(3, 4))
    assert seen.dtype == np.float32
    assert seen.shape == (3, 4, 24 + 1 + 1 + 1 + 2)
    assert not seen[..., -4:].any()
    assert (seen[..., 24] == 1.0).all()


def test_what_was_sent_is_not_written_to_by_the_next_step() -> None:
    world = world_of(2, 2)
    first = world.observation(0, 0)
    kept = first.tobytes()
    list(still(world, 2, 2))
    assert first.tobytes() == kept != world.observation(0, 0).tobytes()


# ---- bits ----

STEPS, COPIES, HORIZON = 24, 6, 15


def history(groups: int = 1, threads: int = 1, copies: int = COPIES) -> list[bytes]:
    """Long enough for ends of both kinds and resets; one segment each of two ants fall often at random actions."""
    world = world_of(2, copies, groups, threads=threads, horizon=HORIZON)
    actions = random_actions(world, STEPS, copies, spread=2.0)
    seen = np.stack(list(run(world, actions, groups)))
    assert flags_of(seen)[1].any()
    placed(world, 0, 0.0, 0.0, z=2.0)
    after = np.stack(list(run(world, actions[:5], groups)))
    assert flags_of(after)[0].any()
    return [seen.tobytes(), after.tobytes(), world.batch.state.tobytes()]


@pytest.mark.parametrize("threads", [2, 5])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    assert history(threads=threads) == history()


@pytest.mark.parametrize("groups", [2, 3, 6])
def test_the_number_of_groups_changes_no_bit(groups: int) -> None:
    assert history(groups=groups) == history()


def test_figures_do_not_depend_on_groups() -> None:
    figures = []
    for groups in (1, 3):
        world = world_of(2, COPIES, groups, horizon=HORIZON)
        list(run(world, random_actions(world, 40, COPIES), groups))
        figures.append(world.figures())
    assert figures[0]["episodes"] > 0
    assert figures[0].keys() == figures[1].keys()
    for name, value in figures[0].items():
        assert figures[1][name] == pytest.approx(value, rel=1e-12), name


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("at", [0, 1, 2, 15])
def test_a_restored_world_goes_on_to_the_bit(at: int, groups: int) -> None:
    """In the middle of episodes, and with a reset that is due."""
    one, two = world_of(2, 6, groups, horizon=12), world_of(2, 6, groups, horizon=12)
    actions = random_actions(one, at + 20, 6)
    for _ in run(one, actions[:at], groups):
        pass
    for _ in run(two, random_actions(two, 5, 6, seed=9), groups):
        pass
    assert one.episodes.over.any() == (at in (2, 15))
    one.figures()
    content = SavedWorld(one).save()
    assert content == SavedWorld(one).save()
    SavedWorld(two).load(content)
    assert SavedWorld(two).save() == content
    assert sent(two, groups).tobytes() == sent(one, groups).tobytes()
    for here, there in zip(run(one, actions[at:], groups), run(two, actions[at:], groups)):
        assert here.tobytes() == there.tobytes()
    assert SavedWorld(two).save() == SavedWorld(one).save() != content
    assert two.figures() == one.figures()


def test_saving_does_not_disturb() -> None:
    one, two = world_of(2, 2), world_of(2, 2)
    actions = random_actions(one, 12, 2)
    for here, there in zip(run(one, actions), run(two, actions)):
        SavedWorld(one).save()
        assert here.tobytes() == there.tobytes()


@pytest.mark.parametrize(
    ("other", "what"),
    [({"agents": 3}, "model"), ({"copies": 6}, "copies"), ({"groups": 2}, "groups"), ({"segments": 2}, "model")],
)
def test_a_snapshot_of_another_world_is_refused(other: dict[str, Any], what: str) -> None:
    content = SavedWorld(world_of(2, 4)).save()
    world = world_of(**{"agents": 2, "copies": 4, **other})
    before = world.batch.state.tobytes()
    with pytest.raises(ValueError, match=what):
        SavedWorld(world).load(content)
    assert world.batch.state.tobytes() == before


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
