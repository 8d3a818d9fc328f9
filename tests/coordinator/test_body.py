"""The coordinator's body, its effects answered by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from scalmarl.coordinator.body import coordinator_body, read_commit_record
from scalmarl.protocol.effects import Breathe, Checkpoint, Need, NeedAny, Put
from scalmarl.protocol.graph import colour_power, named_graph, neighbours_within
from scalmarl.protocol.keys import COORDINATOR, SIM, Key, Kind
from scalmarl.protocol.kinds import Rules, form
from scalmarl.protocol.order import phases, predecessors, turn_order
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.standins import toy_plan

Choose = Callable[[list[int]], int]


@dataclass
class Story:
    """What a coordinator did."""

    granted: list[int] = field(default_factory=list)
    finished_before: dict[int, set[int]] = field(default_factory=dict)
    at_once: list[int] = field(default_factory=list)
    effects: list[object] = field(default_factory=list)


def digest_of(key: Key) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.frombuffer(hashlib.sha256(str(key).encode()).digest(), dtype="u1")


def drive(plan: Plan, choose: Choose, round: int = 0) -> Story:
    """Answer every effect; ``choose`` says which of the playing agents ends its turn first."""
    body = coordinator_body(plan, round)
    story = Story()
    answer: object = None
    finished: set[int] = set()
    now_playing: set[int] = set()
    while True:
        try:
            effect = body.send(answer)
        except StopIteration:
            return story
        story.effects.append(effect)
        answer = None
        if isinstance(effect, Put) and effect.key.kind is Kind.GRANT:
            story.granted.append(effect.key.subject)
            story.finished_before[effect.key.subject] = set(finished)
            now_playing.add(effect.key.subject)
        elif isinstance(effect, NeedAny):
            playing = [key.producer for key in effect.keys]
            assert all(key.kind is Kind.TURN_DONE for key in effect.keys)
            assert set(playing) == now_playing
            story.at_once.append(len(playing))
            agent = choose(playing)
            finished.add(agent)
            now_playing.remove(agent)
            answer = next(key for key in effect.keys if key.producer == agent)
        elif isinstance(effect, Need):
            answer = [digest_of(key) for key in effect.keys]
        elif isinstance(effect, Checkpoint):
            assert finished == set(range(plan.agents))
            finished = set()
            answer = hashlib.sha256(effect.content).digest()


def plan_of(shape: str, agents: int, kappa: int, schedule: str, order: str = "colour", rounds: int = 1) -> Plan:
    neighbours = neighbours_within(named_graph(shape, agents), kappa)
    return toy_plan(neighbours, colour_power(neighbours), schedule=schedule, order=order, rounds=rounds)


CHOICES: dict[str, Choose] = {"first": lambda playing: playing[0], "last": lambda playing: playing[-1], "least": min}


@pytest.mark.parametrize("order", ["colour", "permutation", "fixed"])
@pytest.mark.parametrize("choice", CHOICES)
def test_serial_grants_one_turn_at_a_time_in_order(order: str, choice: str) -> None:
    plan = plan_of("path", 7, 1, "serial", order)
    story = drive(plan, CHOICES[choice])
    assert tuple(story.granted) == turn_order(plan, 0)
    assert story.at_once == [1] * 7
    for place, agent in enumerate(story.granted):
        assert story.finished_before[agent] == set(story.granted[:place])


@pytest.mark.parametrize("order", ["colour", "permutation", "fixed"])
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("shape", ["path", "ring", "star", "grid", "complete"])
def test_wavefront_grants_a_turn_once_the_predecessors_inside_kappa_hops_are_over(
    shape: str, order: str, choice: str
) -> None:
    plan = plan_of(shape, 9, 1, "wavefront", order)
    story = drive(plan, CHOICES[choice])
    before = predecessors(plan, 0)
    assert sorted(story.granted) == list(range(9))
    for agent in range(9):
        assert before[agent] <= story.finished_before[agent]


def test_wavefront_never_leaves_a_turn_waiting_that_could_begin() -> None:
    plan = plan_of("path", 9, 2, "wavefront")
    body = coordinator_body(plan, 0)
    before = predecessors(plan, 0)
    granted: set[int] = set()
    finished: set[int] = set()
    answer: object = None
    while len(finished) < plan.agents:
        effect = body.send(answer)
        answer = None
        if isinstance(effect, Put):
            granted.add(effect.key.subject)
        elif isinstance(effect, NeedAny):
            assert granted == {agent for agent in range(9) if before[agent] <= finished}
            answer = effect.keys[0]
            finished.add(effect.keys[0].producer)
    body.close()


@pytest.mark.parametrize("agents", [4, 16, 64])
@pytest.mark.parametrize("kappa", [1, 2])
def test_agents_of_one_colour_play_at_once(agents: int, kappa: int) -> None:
    # All turns take the same time: the playing agents end together, in as many beats as there are phases.
    plan = plan_of("path", agents, kappa, "wavefront")
    beats = 0
    wave: set[int] = set()

    def choose(playing: list[int]) -> int:
        nonlocal beats, wave
        if not wave & set(playing):
            beats, wave = beats + 1, set(playing)
        return next(agent for agent in playing if agent in wave)

    drive(plan, choose)
    assert beats == phases(plan, 0) == kappa + 1


def test_both_schedules_put_the_same_grants() -> None:
    serial = drive(plan_of("grid", 9, 1, "serial"), min)
    wavefront = drive(plan_of("grid", 9, 1, "wavefront"), min)
    assert sorted(serial.granted) == sorted(wavefront.granted)


def test_a_round_ends_with_every_digest_then_the_file_then_the_commit() -> None:
    plan = plan_of("path", 3, 1, "wavefront", rounds=2)
    story = drive(plan, min)
    tail = [effect for effect in story.effects if not isinstance(effect, (Breathe, NeedAny))]
    tail = [effect for effect in tail if not (isinstance(effect, Put) and effect.key.kind is Kind.GRANT)]
    assert [type(effect) for effect in tail] == [Need, Checkpoint, Put] * 2
    for round in range(2):
        wanted, file, commit = tail[3 * round : 3 * round + 3]
        assert isinstance(wanted, Need)
        assert isinstance(file, Checkpoint)
        assert isinstance(commit, Put)
        keys = [Key(process, Kind.DONE, process, round, 0) for process in (0, 1, 2, SIM)]
        assert list(wanted.keys) == keys
        assert file.round == round + 1
        assert read_commit_record(file.content) == {key.producer: digest_of(key).tobytes() for key in keys}
        assert commit.key == Key(COORDINATOR, Kind.COMMIT, COORDINATOR, round, 0)
        assert commit.value.tolist() == [round]


def test_all_that_it_puts_has_a_rule_and_the_right_form() -> None:
    plan = plan_of("ring", 5, 1, "wavefront", rounds=3)
    puts = [effect for effect in drive(plan, min).effects if isinstance(effect, Put)]
    assert len(puts) == 3 * (5 + 1)
    for effect in puts:
        assert Rules(plan).of(effect.key.producer, effect.key.kind, effect.key.subject) is not None
        assert (effect.value.dtype, effect.value.shape) == form(plan, effect.key)


def test_it_starts_at_the_round_that_it_is_given_and_ends_with_the_plan() -> None:
    plan = replace(plan_of("path", 3, 1, "serial"), rounds=5)
    story = drive(plan, min, round=3)
    commits = [e.key.round for e in story.effects if isinstance(e, Put) and e.key.kind is Kind.COMMIT]
    assert commits == [3, 4]
    assert drive(plan, min, round=5).effects == []
