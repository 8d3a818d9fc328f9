"""What the world promises of resets and of bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
import pytest

from scalmarl.sim_server.making import SavedWorld
from scalmarl.sim_server.world import World
from tests.sim_server.stepped import (
    NO_END,
    Array,
    PlainCopy,
    flags_of,
    placed,
    random_actions,
    run,
    sent,
    still,
    world_of,
)

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
