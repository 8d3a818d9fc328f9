"""The sans-IO runtime, driven by hand: whose watermark it believes, and how it comes back."""

from __future__ import annotations

import numpy as np
import pytest

from scalmarl.protocol.effects import Body, breathe, checkpoint, need, put
from scalmarl.protocol.errors import DamagedFile
from scalmarl.protocol.keys import COORDINATOR, SIM, Key, Kind
from scalmarl.protocol.messages import Message, MessageType
from scalmarl.protocol.runtime import Status, describe_missing
from tests.protocol.driven import (
    PLAN,
    commit,
    drain,
    heard,
    play,
    runtime_of,
    said,
    state,
    value_of,
    waits_for,
)

# ---- the watermark ----


def committing(round: int, content: bytes | None) -> Body:
    """Round after round: hear a neighbour, write the file, wait for the commit."""
    if content is None:
        yield from checkpoint(0, b"file 0")
    while round < PLAN.rounds:
        yield from put(state(1, round), value_of(state(1, round)))
        yield from need(state(0, round))
        yield from checkpoint(round + 1, b"file %d" % (round + 1))
        yield from need(commit(round))
        round += 1


def test_no_watermark_is_believed_from_an_agent_or_the_sim() -> None:
    runtime, store = runtime_of(committing)
    play(runtime)
    for source in (0, 2, SIM):
        runtime.receive(Message(MessageType.HELLO, source, 7), 0.0)
        runtime.receive(Message(MessageType.WATERMARK, source, 7), 0.0)
        runtime.receive(Message(MessageType.NEED, source, 7, state(1)), 0.0)
    runtime.receive(heard(state(0), watermark=7), 0.0)
    assert runtime.watermark == -1
    assert store.rounds() == [0]


def test_not_even_the_coordinators_grant_moves_the_watermark() -> None:
    runtime, _ = runtime_of(committing)
    grant = Key(COORDINATOR, Kind.GRANT, 1, 0, 0)
    runtime.receive(heard(grant, watermark=7), 0.0)
    assert runtime.watermark == -1


@pytest.mark.parametrize(
    "message",
    [
        heard(commit(0), watermark=0),
        Message(MessageType.WATERMARK, COORDINATOR, 0),
        Message(MessageType.HELLO, COORDINATOR, 0),
    ],
    ids=["commit", "watermark", "hello"],
)
def test_the_coordinator_is_believed(message: Message) -> None:
    runtime, store = runtime_of(committing)
    play(runtime)
    runtime.receive(heard(state(0)), 0.0)
    assert play(runtime) is Status.WAITING
    assert store.rounds() == [0, 1]
    assert runtime.missing() == [commit(0)]
    runtime.receive(message, 0.0)
    assert runtime.watermark == 0
    assert store.rounds() == [1]
    assert play(runtime) is Status.WAITING
    assert runtime.missing() == [state(0, 1)]


def test_the_watermark_never_goes_back() -> None:
    runtime, _ = runtime_of(committing, files={5: b"file 5"})
    for watermark in (3, -1, 4):
        runtime.receive(Message(MessageType.WATERMARK, COORDINATOR, watermark), 0.0)
        runtime.receive(heard(commit(max(watermark, 0))), 0.0)
        assert runtime.watermark == 4


def test_files_and_values_stay_until_the_commit_and_go_with_it() -> None:
    runtime, store = runtime_of(committing)
    play(runtime)
    runtime.receive(heard(state(0, 0)), 0.0)
    runtime.receive(heard(state(0, 1)), 0.0)
    play(runtime)
    drain(runtime)
    assert ("delete", 0) not in store.diary
    runtime.receive(Message(MessageType.NEED, 2, -1, state(1)), 0.0)
    assert said(runtime, MessageType.VALUE) == [(2, state(1))]
    runtime.receive(heard(commit(0)), 0.0)
    assert store.diary[-1] == ("delete", 0)
    runtime.receive(Message(MessageType.NEED, 2, -1, state(1)), 0.0)
    assert said(runtime, MessageType.VALUE) == []
    # What was heard for the next round is kept: the body does not wait for it again.
    play(runtime)
    assert runtime.missing() == [commit(1)]


def test_at_most_the_file_of_the_watermark_and_the_next_are_kept() -> None:
    runtime, store = runtime_of(committing)
    for round in range(PLAN.rounds):
        play(runtime)
        runtime.receive(heard(state(0, round)), 0.0)
        play(runtime)
        assert store.rounds() == [round, round + 1]
        runtime.receive(heard(commit(round)), 0.0)
        assert store.rounds() == [round + 1] == [runtime.watermark + 1]
    assert play(runtime) is Status.FINISHED


def test_the_coordinators_own_file_is_the_commit() -> None:
    def body(round: int, content: bytes | None) -> Body:
        yield from put(Key(COORDINATOR, Kind.GRANT, 1, round, 0), np.empty(0, dtype="u1"))
        yield from checkpoint(round + 1, b"digests")
        yield from breathe("next")

    runtime, _ = runtime_of(body, me=COORDINATOR)
    runtime.advance()
    assert runtime.watermark == -1
    runtime.advance()
    assert runtime.watermark == 0
    drain(runtime)
    runtime.receive(Message(MessageType.NEED, 1, -1, Key(COORDINATOR, Kind.GRANT, 1, 0, 0)), 0.0)
    assert said(runtime, MessageType.WATERMARK) == [(1, None)]


# ---- coming back ----


def test_a_process_begins_with_its_oldest_file() -> None:
    opened: list[tuple[int, bytes | None]] = []

    def body(round: int, content: bytes | None) -> Body:
        opened.append((round, content))
        yield from need(state(0, round))

    runtime, store = runtime_of(body, files={4: b"file 4", 5: b"file 5"})
    runtime.advance()
    assert opened == [(4, b"file 4")]
    assert runtime.watermark == 3
    assert store.diary == [("read", 4)]


def test_a_fresh_process_begins_at_round_0_without_content() -> None:
    runtime, store = runtime_of(committing)
    assert runtime.watermark == -1
    play(runtime)
    assert store.files == {0: b"file 0"}


def test_a_process_whose_round_is_committed_jumps_to_its_next_file() -> None:
    runtime, store = runtime_of(committing, files={4: b"file 4", 5: b"file 5"})
    play(runtime)
    assert runtime.missing() == [state(0, 4)]
    runtime.receive(Message(MessageType.WATERMARK, COORDINATOR, 4), 0.0)
    assert (runtime.round, runtime.watermark) == (5, 4)
    assert store.diary == [("read", 4), ("delete", 4), ("read", 5)]
    assert play(runtime) is Status.WAITING
    assert runtime.missing() == [state(0, 5)]


def test_a_jump_without_a_file_is_damage_that_names_the_cure() -> None:
    runtime, _ = runtime_of(committing, files={4: b"file 4"})
    play(runtime)
    with pytest.raises(DamagedFile, match=r"agent/1 holds no file of round 5 although round 4 is committed.*archived"):
        runtime.receive(Message(MessageType.WATERMARK, COORDINATOR, 4), 0.0)


def test_a_process_that_rejoins_greets_every_peer_and_a_first_start_nobody() -> None:
    runtime, _ = runtime_of(committing, files={4: b""}, rejoin=True)
    greeted = drain(runtime)
    assert [(out.to, out.message.type, out.message.watermark) for out in greeted] == [
        (peer, MessageType.HELLO, 3) for peer in (0, 2, SIM, COORDINATOR)
    ]
    runtime, _ = runtime_of(committing)
    assert drain(runtime) == []


def test_hello_is_answered_with_all_that_is_held_for_the_newcomer_above_its_watermark() -> None:
    action = Key(1, Kind.ACTION, 1, 0, 0)

    def body(round: int, content: bytes | None) -> Body:
        for key in (state(1, 0, 0), action, state(1, 0, 1), state(1, 1, 0)):
            yield from put(key, value_of(key))
        yield from need(state(0, 1))

    runtime, _ = runtime_of(body)
    runtime.advance()
    drain(runtime)
    runtime.receive(Message(MessageType.HELLO, 2, -1), 0.0)
    resent = drain(runtime)
    assert [(out.to, out.message.key) for out in resent] == [
        (2, state(1, 0, 0)), (2, state(1, 0, 1)), (2, state(1, 1, 0)),
    ]  # fmt: skip
    assert not any(out.first for out in resent)
    runtime.receive(Message(MessageType.HELLO, 2, 0), 0.0)
    assert said(runtime, MessageType.VALUE) == [(2, state(1, 1, 0))]
    runtime.receive(Message(MessageType.HELLO, SIM, -1), 0.0)
    assert said(runtime, MessageType.VALUE) == [(SIM, action)]


def test_the_coordinator_greets_back_with_its_watermark() -> None:
    runtime, _ = runtime_of(waits_for(Key(0, Kind.TURN_DONE, 0, 4, 0)), me=COORDINATOR, files={4: b""})
    runtime.receive(Message(MessageType.HELLO, 2, -1), 0.0)
    (answer,) = drain(runtime)
    assert (answer.to, answer.message.type, answer.message.watermark) == (2, MessageType.WATERMARK, 3)


def test_a_replay_says_the_same_as_the_first_life() -> None:
    def life(files: dict[int, bytes], rejoin: bool) -> list[tuple[int, Key, bytes]]:
        runtime, _ = runtime_of(committing, files=files, rejoin=rejoin)
        play(runtime)
        runtime.receive(heard(state(0, 0), 7.0), 0.0)
        play(runtime)
        return [
            (out.to, out.message.key, out.message.value.tobytes())
            for out in drain(runtime)
            if out.message.key is not None and out.message.value is not None
        ]

    assert life({}, False) == life({0: b"file 0"}, True) != []


def test_what_is_missing_is_told_in_words() -> None:
    assert describe_missing([]) == ""
    assert describe_missing([state(0, 2, 3)]) == "state of agent/0, step 3"
    assert describe_missing([state(0), state(2), state(1)]) == "state of agent/0, step 0 and 2 more"
