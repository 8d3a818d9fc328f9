"""Worlds from outside: described, stepped beside the world itself, saved, and held to their contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scalmarl.protocol.kinds import FLAGS
from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.body import WorldBroken
from scalmarl.sim_server.foreign_check import examine
from scalmarl.sim_server.foreign_copy import ContractBroken, open_callable
from scalmarl.sim_server.foreign_description import describe_foreign
from scalmarl.sim_server.foreign_world import ForeignWorld

WORLDS = str(Path(__file__).parents[1] / "worlds")
AGENTS = ("scout", "guard", "cook")


def wish_of(task: str = "patrol:Patrol", **choices: Any) -> dict[str, Any]:
    plain = dict.fromkeys(("agents", "reward", "cost", "limit", "horizon"))
    return {"task": task, "directory": WORLDS, "arguments": {}, **plain, **choices}


def described(task: str = "patrol:Patrol", **choices: Any) -> TaskSpec:
    return describe_foreign(wish_of(task, **choices))


def world_of(spec: TaskSpec, copies: int = 2, groups: int = 1, seed: int = 5, staggered: bool = False) -> ForeignWorld:
    world = ForeignWorld(spec, copies=copies, groups=groups, seed=seed, staggered=staggered)
    assert all(pause is None for pause in world.begin())
    return world


def actions_of(spec: TaskSpec, copies: int, step: int) -> list[Any]:
    draw = np.random.default_rng(step)
    return [
        draw.integers(choices, size=(copies, 1)).astype(np.float32)
        if choices
        else draw.normal(size=(copies, size)).astype(np.float32)
        for choices, size in zip(spec.action_choices, spec.action_sizes)
    ]


def stepped(world: ForeignWorld, group: int, actions: list[Any]) -> None:
    for _ in world.step(group, actions):
        pass


# ---- description ----


def test_a_world_is_described_by_its_spaces_graph_costs_and_limits() -> None:
    spec = described()
    assert (spec.label, spec.agents, spec.horizon, spec.maker) == ("patrol:Patrol", 3, 12, "patrol:Patrol")
    assert spec.block_sizes == (3, 5, 5)
    assert [entries[-1] for entries in spec.block_entries] == ["presence"] * 3
    assert (spec.action_sizes, spec.action_choices) == ((1, 1, 1), (3, 0, 0))
    assert spec.edges == ((0, 1), (1, 2))
    assert spec.cost_limits == ((3.0, 4.0), (5.0,), (6.0,))
    assert (spec.reward_mode, spec.cost_mode, spec.nonlocal_facts, spec.notes) == ("local", "local", (), ())
    assert spec.standing_still_return is None
    assert TaskSpec.from_data(spec.to_data()) == spec


def test_a_graph_of_networkx_says_the_same_as_pairs() -> None:
    pairs, graph = described(), described(task="patrol:GraphPatrol")
    assert graph.edges == pairs.edges == ((0, 1), (1, 2))


def test_what_the_user_says_goes_before_what_the_world_says() -> None:
    spec = described(limit=7.0, horizon=9, cost="none", reward="team")
    assert (spec.cost_limits, spec.horizon, spec.reward_mode) == (((7.0,),) * 3, 9, "team")
    assert spec.notes == ("no costs are counted (--cost none): nothing constrains this run",)
    assert described(cost="patrol:shared_cost", limit=1.0).cost_limits == ((1.0,),) * 3


@pytest.mark.parametrize(
    ("choices", "wrong"),
    [
        ({"task": "nowhere:make"}, "there is no module 'nowhere'"),
        ({"task": "patrol:Petrol"}, "'Petrol' is not there in module patrol; it has: .*Patrol"),
        ({"agents": 4}, "it has 3 agents, not 4"),
        ({"limit": [1.0, 2.0]}, "there are 2 cost limits for 3 agents"),
        ({"limit": [1.0, 2.0, -3.0]}, "give a number from 0"),
        ({"reward": "mine"}, "no reward mode 'mine'"),
        ({"cost": "legacy"}, "no cost mode 'legacy'"),
        ({"arguments": {"size": 3}}, "making it raised: (.|\n)*unexpected keyword argument 'size'"),
        ({"arguments": {"fault": "strange graph"}}, "names 'owl', which is none of its possible_agents"),
        ({"arguments": {"fault": "broken graph"}}, 'neighbour_graph raised: (.|\n)*KeyError: "the scout\'s"'),
        ({"arguments": {"fault": "no graph"}}, "is neither a networkx graph nor pairs of its agents: (.|\n)*TypeError"),
        ({"task": "patrol:Forgetful"}, "its agents cannot be read: (.|\n)*AttributeError: 'Forgetful'"),
        ({"task": "patrol:GraphPatrol", "arguments": {"fault": "no cook"}}, "it is not in its neighbour_graph"),
        ({"task": "patrol:GraphPatrol", "arguments": {"fault": "owl"}}, "names 'owl', which is none of its"),
        ({"arguments": {"fault": "no cost", "at": 1}}, "its info has no 'cost'"),
    ],
)
def test_a_description_says_what_is_wrong(choices: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ContractBroken, match=wrong):
        describe_foreign(wish_of(**choices))


# ---- steps ----


def test_what_agents_are_told_is_what_the_world_says() -> None:
    """Beside a world that is driven by hand, with actions as PettingZoo has them, through several episodes."""
    spec = described()
    world = world_of(spec, copies=1)
    plain = open_callable("patrol:Patrol", WORLDS)()
    seed, dead, deaths = world._episode_seed(0), set(), 0
    seen, _ = plain.reset(seed=seed)
    last = dict(seen)
    for step in range(60):
        told = [world.observation(agent, 0)[0] for agent in range(3)]
        for agent, name in enumerate(AGENTS):
            block = np.eye(4)[last[name] - 1] if name == "guard" else np.asarray(last[name]).reshape(-1)
            np.testing.assert_array_equal(told[agent][: len(block)], block.astype(np.float32))
            assert told[agent][len(block)] == (name not in dead)
        actions = actions_of(spec, 1, step)
        over = not plain.agents
        stepped(world, 0, actions)
        told = [world.observation(agent, 0)[0] for agent in range(3)]
        if over:
            seen, _ = plain.reset(seed=world._episode_seed(0))
            last, dead = dict(seen), set()
            assert all(row[-FLAGS:].tolist() == [0.0, 0.0] and not row[-FLAGS - 2 :].any() for row in told)
            continue
        acting = list(plain.agents)
        wanted = [-0.5 + (action[0].astype(np.float64) + 1.0) * 0.5 * 1.5 for action in actions]
        push = {name: np.clip(wanted[i], -0.5, 1.0).astype(np.float32) for i, name in enumerate(AGENTS) if i}
        joint = {"scout": int(actions[0][0, 0]) - 1, **push}
        seen, rewards, gone, cut, infos = plain.step({name: joint[name] for name in acting})
        last.update(seen)
        for agent, name in enumerate(AGENTS):
            costs = len(spec.cost_limits[agent])
            row, size = told[agent], spec.block_sizes[agent]
            if name in acting:
                np.testing.assert_array_equal(row[size], np.float32(rewards[name]))
                np.testing.assert_array_equal(row[size + 1 : size + 1 + costs], np.atleast_1d(infos[name]["cost"]))
                assert row[-FLAGS:].tolist() == [gone[name], cut[name]]
            else:
                assert not row[size : size + 1 + costs].any()
                assert row[-FLAGS:].tolist() == [1.0, 0.0]
        dead |= {name for name in AGENTS if name not in acting}
        deaths += sum(gone.values())
    assert deaths > 2
    assert world.episodes.number[0] > 3


def test_our_horizon_ends_a_longer_episode_for_those_who_live() -> None:
    spec = described(horizon=4, arguments={"length": 100})
    world = world_of(spec, copies=1)
    still = [np.array([[1.0]], np.float32), *(np.full((1, 1), -1 / 3, np.float32) for _ in range(2))]
    flags = []
    for _ in range(5):
        stepped(world, 0, still)
        flags.append(world.observation(1, 0)[0, -FLAGS:].tolist())
    assert flags == [[0.0, 0.0]] * 3 + [[0.0, 1.0], [0.0, 0.0]]
    figures = world.figures()
    assert (figures["episodes"], figures["length"], figures["distance"]) == (1, 4.0, None)
    assert [len(own) for own in figures["cost_agent"]] == [2, 1, 1]


def test_a_local_state_is_the_block_and_may_be_there_from_the_first_reset_on_only() -> None:
    spec = described("patrol:LocalPatrol")
    assert spec.block_sizes == (4, 4, 4)
    one, two = world_of(spec), ForeignWorld(spec, copies=2, groups=1, seed=5, staggered=False)
    assert one.observation(1, 0)[:, 1:4].tolist() == [[2.0, 3.0, 1.0]] * 2
    stepped(one, 0, actions_of(spec, 2, 0))
    list(two.load(one.save()))
    assert two.save() == one.save()


def test_modes_share_out_rewards_and_costs() -> None:
    local, team = (world_of(described(reward=mode, cost=mode)) for mode in ("local", "team"))
    for step in range(6):
        for world in (local, team):
            stepped(world, 0, actions_of(world.spec, 2, step))
        size = local.spec.block_sizes
        alone = np.stack([local.observation(agent, 0)[:, size[agent]] for agent in range(3)])
        shared = np.stack([team.observation(agent, 0)[:, size[agent]] for agent in range(3)])
        acting = alone != 0
        np.testing.assert_allclose(shared[acting], np.broadcast_to(alone.sum(axis=0), (3, 2))[acting], rtol=1e-6)
        costs = [local.observation(agent, 0)[:, size[agent] + 1 : -FLAGS].max(axis=1) for agent in range(3)]
        largest = np.max(costs, axis=0)
        np.testing.assert_array_equal(team.observation(1, 0)[:, size[1] + 1], np.where(acting[1], largest, 0.0))


def test_a_copy_depends_neither_on_its_group_nor_on_how_many_there_are() -> None:
    spec = described()
    one, two = world_of(spec, copies=4), world_of(spec, copies=4, groups=2)
    for step in range(15):
        actions = actions_of(spec, 4, step)
        stepped(one, 0, actions)
        for group in range(2):
            stepped(two, group, [action[2 * group : 2 * group + 2] for action in actions])
        for agent in range(3):
            halves = np.concatenate([two.observation(agent, group) for group in range(2)])
            np.testing.assert_array_equal(one.observation(agent, 0), halves)


# ---- saving ----


@pytest.mark.parametrize("task", ["patrol:Patrol", "patrol:SavedPatrol"])
def test_a_restored_world_goes_on_with_the_same_bits(task: str) -> None:
    spec = described(task)
    one, two = world_of(spec, copies=3), ForeignWorld(spec, copies=3, groups=1, seed=5, staggered=False)
    for step in range(17):
        stepped(one, 0, actions_of(spec, 3, step))
    one.figures()
    content = one.save()
    for _ in two.load(content):
        pass
    assert two.save() == content == one.save()
    for step in range(17, 40):
        for world in (one, two):
            stepped(world, 0, actions_of(spec, 3, step))
        for agent in range(3):
            np.testing.assert_array_equal(one.observation(agent, 0), two.observation(agent, 0))
    assert one.save() == two.save()
    assert one.figures() == two.figures()


def test_a_world_that_draws_its_own_chance_is_found_out_when_it_is_restored() -> None:
    spec = described(arguments={"fault": "chance"})
    world = world_of(spec)
    stepped(world, 0, actions_of(spec, 2, 0))
    again = ForeignWorld(spec, copies=2, groups=1, seed=5, staggered=False)
    with pytest.raises(WorldBroken, match=r"copy 0, 1 steps .* the same seed and actions led elsewhere"):
        list(again.load(world.save()))


def test_saving_and_loading_that_fail_are_told_as_the_worlds() -> None:
    spec = described("patrol:Unsaved")
    with pytest.raises(WorldBroken, match=r"^patrol:Unsaved: copy 0, 0 steps .*save_state raised: (.|\n)*KeyError"):
        world_of(spec).save()
    spec = described("patrol:Unloaded")
    again = ForeignWorld(spec, copies=2, groups=1, seed=5, staggered=False)
    with pytest.raises(WorldBroken, match=r"^patrol:Unloaded: copy 0, .*load_state raised: (.|\n)*KeyError: 'place'"):
        list(again.load(world_of(spec).save()))


# ---- the contract ----


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [
        ("no cost", "agent 2 [(]cook[)], copy 0, 2 steps after its reset: its info has no 'cost'"),
        ("infinite reward", "agent 1 [(]guard[)], copy 0, 2 steps .*: its reward is not finite"),
        ("nan", "agent 2 [(]cook[)], .*: its observation holds a number that is not finite"),
        ("shape", r"agent 0 [(]scout[)], .*: its observation has shape \(1,\), not \(2,\)"),
        ("choice", "agent 1 [(]guard[)], .*: its observation is 7, not one of 1 to 4"),
        ("stranger", "agent owl, copy 0, .*: it is among env.agents, but not among possible_agents"),
        ("vanish", "agent 1 [(]guard[)], .*: it left env.agents without being terminated or truncated"),
        ("more costs", "agent 1 [(]guard[)], .*: it has 2 costs now, not 1"),
        ("no observation", "agent 0 [(]scout[)], .*: it was given no observation"),
        ("four values", "copy 0, 2 steps after its reset: step returned something else than [(]observations"),
        (
            "raise",
            "copy 0, 2 steps after its reset: step raised: (.|\n)*ZeroDivisionError: the scout divided by nothing",
        ),
    ],
)
def test_a_broken_contract_names_world_agent_copy_and_step(fault: str, wrong: str) -> None:
    spec = described(arguments={"fault": fault})
    world = world_of(spec)
    # Nobody moves, so that nobody dies before the fault.
    still = [np.ones((2, 1), np.float32), *(np.full((2, 1), -1 / 3, np.float32) for _ in range(2))]
    for _ in range(2):
        stepped(world, 0, still)
    with pytest.raises(WorldBroken, match=f"^patrol:Patrol: {wrong}"):
        stepped(world, 0, still)


def test_a_space_that_changes_is_told_at_the_next_reset() -> None:
    spec = described(arguments={"fault": "changed space", "length": 5})
    world = world_of(spec, copies=1)
    still = [np.ones((1, 1), np.float32), *(np.full((1, 1), -1 / 3, np.float32) for _ in range(2))]
    for _ in range(5):
        stepped(world, 0, still)
    with pytest.raises(WorldBroken, match=r"agent 0 [(]scout[)], copy 0, .* its observation_space has changed"):
        stepped(world, 0, still)


# ---- check ----


def verdicts(**choices: Any) -> dict[str, tuple[str, str]]:
    found = examine(wish_of(**choices))
    return {line["check"]: (line["verdict"], line["detail"]) for line in found["checks"]}


def test_a_sound_world_passes_every_check_of_ours() -> None:
    found = verdicts()
    del found["pettingzoo"]
    assert {verdict for verdict, _ in found.values()} == {"ok"}, found
    assert verdicts(task="patrol:SavedPatrol")["saving"][0] == "ok"
    assert verdicts(cost="none")["costs"] == ("warn", "none are counted (--cost none)")


@pytest.mark.parametrize(
    ("fault", "check", "detail"),
    [
        ("nan", "episode", "agent cook: 2 steps after reset: its observation holds a number that is not finite"),
        ("chance", "seed", "the same seed and actions differ after 0 steps; seed all chance by reset"),
    ],
)
def test_a_check_that_fails_says_where(fault: str, check: str, detail: str) -> None:
    assert verdicts(arguments={"fault": fault})[check] == ("fail", detail)


def test_a_task_of_ours_is_the_same_through_the_door() -> None:
    pytest.importorskip("pettingzoo", reason="our tasks as ParallelEnvs need the extra 'worlds'")
    from scalmarl.sim_server.world import World

    task = {"task": "cheetahs", "agents": 2, "horizon": 6}
    spec = described("scalmarl.sim_server.parallel_env:make", arguments=task)
    foreign = world_of(spec, copies=2)
    own = [
        World(describe_own(**task), copies=1, groups=1, seed=foreign._episode_seed(copy), threads=1, staggered=False)
        for copy in range(2)
    ]
    for step in range(6):
        actions = actions_of(spec, 2, step)
        stepped(foreign, 0, actions)
        for copy, world in enumerate(own):
            world.step(0, [np.clip(action[copy : copy + 1], -1.0, 1.0) for action in actions])
            for agent in range(2):
                told, plain = foreign.observation(agent, 0)[copy], world.observation(agent, 0)[0]
                np.testing.assert_array_equal(told[: len(plain) - 2 - FLAGS], plain[: -2 - FLAGS])
                np.testing.assert_array_equal(told[-2 - FLAGS :], plain[-2 - FLAGS :])
                assert told[len(plain) - 2 - FLAGS] == 1.0


def describe_own(task: str, **choices: Any) -> TaskSpec:
    from scalmarl.sim_server.tasks import describe

    return describe(task, **choices)
