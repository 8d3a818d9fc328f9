"""The sans-IO runtime, driven by hand: what its body's effects do, what it asks for, and what it drops."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from scalmarl.protocol.effects import Body, arrived, breathe, checkpoint, need, need_all, need_any, put
from scalmarl.protocol.errors import DeterminismLost, LocalProtocolError
from scalmarl.protocol.keys import COORDINATOR, Key, Kind
from scalmarl.protocol.kinds import Value
from scalmarl.protocol.messages import Message, MessageType
from scalmarl.protocol.runtime import Status
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

# ---- the body's effects ----


def test_values_come_in_the_order_of_the_keys_whatever_the_order_of_arrival() -> None:
    got: list[float] = []

    def body(round: int, content: bytes | None) -> Body:
        values = yield from need_all([state(0), state(2)])
        got.extend(float(value.flat[0]) for value in values)

    runtime, _ = runtime_of(body)
    assert runtime.advance() is Status.WAITING
    runtime.receive(heard(state(2), 22.0), 0.0)
    assert runtime.advance() is Status.WAITING
    assert runtime.missing() == [state(0)]
    runtime.receive(heard(state(0), 20.0), 0.0)
    assert runtime.advance() is Status.FINISHED
    assert got == [20.0, 22.0]
    assert runtime.phase == "finished"
    assert runtime.advance() is Status.FINISHED


def test_any_of_several_values_ends_the_wait() -> None:
    got: list[object] = []

    def body(round: int, content: bytes | None) -> Body:
        got.append((yield from arrived(state(2))))
        got.append((yield from need_any([state(0), state(2)])))
        got.append((yield from arrived(state(2))))
        got.append((yield from arrived(state(0))))

    runtime, _ = runtime_of(body)
    assert runtime.advance() is Status.WAITING
    assert runtime.missing() == [state(0), state(2)]
    runtime.receive(heard(state(2)), 0.0)
    assert runtime.advance() is Status.FINISHED
    assert got == [False, state(2), True, False]


def test_a_breath_and_a_file_pause_the_body_and_name_its_phase() -> None:
    digests = []

    def body(round: int, content: bytes | None) -> Body:
        yield from breathe("policy")
        yield from put(state(1), value_of(state(1)))
        digests.append((yield from checkpoint(0, b"content")))

    runtime, store = runtime_of(body)
    assert (runtime.advance(), runtime.phase) == (Status.RUNNING, "policy")
    assert (runtime.advance(), runtime.phase) == (Status.RUNNING, "saving")
    # What was put before is handed out before the file is written.
    assert len(drain(runtime)) == 2
    assert store.diary == []
    assert runtime.advance() is Status.FINISHED
    assert store.diary == [("write", 0)]
    assert digests == [hashlib.sha256(b"content").digest()]


def test_a_value_goes_to_the_receivers_of_the_table_as_a_first_sending() -> None:
    def body(round: int, content: bytes | None) -> Body:
        yield from put(state(1), value_of(state(1), 3.0))

    runtime, _ = runtime_of(body)
    play(runtime)
    outbox = drain(runtime)
    assert [(out.to, out.first, out.message.type) for out in outbox] == [
        (0, True, MessageType.VALUE),
        (2, True, MessageType.VALUE),
    ]
    assert (outbox[0].message.source, outbox[0].message.watermark) == (1, -1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (state(1), value_of(state(1)).astype(np.float64)),
        (state(1), value_of(state(1))[:1]),
        (state(0), value_of(state(0))),
        (state(1, step=99), value_of(state(1))),
        (Key(1, Kind.DONE, 1, 0, 0), np.zeros(31, dtype="u1")),
    ],
    ids=["dtype", "shape", "another producer", "no such step", "digest too short"],
)
def test_a_body_that_puts_what_the_table_does_not_have_ends_loudly(key: Key, value: Value) -> None:
    def body(round: int, content: bytes | None) -> Body:
        yield from put(key, value)

    runtime, _ = runtime_of(body)
    with pytest.raises(LocalProtocolError, match="the table of kinds says"):
        runtime.advance()


def test_round_and_step_tell_where_the_body_is() -> None:
    runtime, _ = runtime_of(waits_for(state(0, 1, 3)))
    assert (runtime.round, runtime.step) == (0, 0)
    runtime.advance()
    assert (runtime.round, runtime.step) == (1, 3)


# ---- NEED ----


def test_need_goes_out_after_50_ms_and_then_ever_later_up_to_a_second() -> None:
    runtime, _ = runtime_of(waits_for(state(0), state(2)))
    runtime.advance()
    runtime.deadline(0.0)
    asked = []
    for millisecond in range(5000):
        runtime.tick(millisecond / 1000)
        found = said(runtime, MessageType.NEED)
        if found:
            asked.append(millisecond)
            # Every missing value of its producer, and the coordinator for the commit of the round.
            assert found == [(0, state(0)), (2, state(2)), (COORDINATOR, commit(0))]
    assert asked == [50, 100, 200, 400, 800, 1600, 2600, 3600, 4600]


def test_the_time_that_a_body_computes_is_nobodys_delay() -> None:
    runtime, _ = runtime_of(waits_for(state(0)))
    runtime.advance()
    assert runtime.deadline(7.0) == pytest.approx(7.05)
    runtime.tick(7.04)
    assert drain(runtime) == []
    runtime.tick(7.05)
    assert said(runtime, MessageType.NEED)


def test_what_was_said_cannot_be_changed_by_whoever_made_or_heard_it() -> None:
    scratch = value_of(state(1), 3.0)

    def body(round: int, content: bytes | None) -> Body:
        yield from put(state(1), scratch)
        scratch[:] = 9.0
        yield from need(state(0))

    runtime, _ = runtime_of(body)
    runtime.advance()
    (message,) = {id(out.message): out.message for out in drain(runtime)}.values()
    assert message.value is not None
    assert message.value.tobytes() == value_of(state(1), 3.0).tobytes()
    with pytest.raises(ValueError, match="read-only"):
        message.value[:] = 0.0


def test_a_value_that_arrives_sets_the_wait_back_and_is_not_asked_for_again() -> None:
    runtime, _ = runtime_of(waits_for(state(0), state(2)))
    runtime.advance()
    runtime.deadline(0.0)
    for now in (0.05, 0.1, 0.2):
        runtime.tick(now)
    drain(runtime)
    runtime.receive(heard(state(0)), 0.3)
    assert runtime.deadline(0.3) == pytest.approx(0.35)
    runtime.tick(0.34)
    assert drain(runtime) == []
    runtime.tick(0.36)
    assert said(runtime, MessageType.NEED) == [(2, state(2)), (COORDINATOR, commit(0))]


def test_where_control_steps_are_slow_a_value_is_late_later() -> None:
    steps = PLAN.steps

    def body(round: int, content: bytes | None) -> Body:
        for step in range(steps):
            yield from need(state(0, step=step))

    runtime, _ = runtime_of(body)
    runtime.advance()
    now, patience = 0.0, []
    for step in range(steps):
        deadline = runtime.deadline(now)
        assert deadline is not None
        patience.append(deadline - now)
        now += 0.2 if step == 1 else 0.001
        runtime.receive(heard(state(0, step=step)), now)
        runtime.advance()
    expected = [0.05, 0.05, *(max(0.05, 3 * 0.2 * 0.9**waits) for waits in range(steps - 2))]
    assert patience == pytest.approx(expected)


def test_nothing_is_asked_while_nothing_is_missing() -> None:
    def body(round: int, content: bytes | None) -> Body:
        while True:
            yield from breathe("thinking")

    runtime, _ = runtime_of(body)
    runtime.advance()
    runtime.tick(1000.0)
    assert runtime.deadline(1000.0) is None
    assert drain(runtime) == []


def test_a_missing_commit_is_asked_for_once() -> None:
    runtime, _ = runtime_of(waits_for(commit(0)))
    runtime.advance()
    runtime.deadline(0.0)
    runtime.tick(0.05)
    assert said(runtime, MessageType.NEED) == [(COORDINATOR, commit(0))]


def test_the_coordinator_does_not_ask_itself() -> None:
    runtime, _ = runtime_of(waits_for(Key(0, Kind.TURN_DONE, 0, 0, 0)), me=COORDINATOR)
    runtime.advance()
    runtime.deadline(0.0)
    runtime.tick(0.05)
    assert said(runtime, MessageType.NEED) == [(0, Key(0, Kind.TURN_DONE, 0, 0, 0))]


def test_need_is_answered_with_the_value_as_a_repeat_or_not_at_all() -> None:
    def body(round: int, content: bytes | None) -> Body:
        yield from put(state(1), value_of(state(1), 3.0))
        yield from need(state(0))

    runtime, _ = runtime_of(body)
    runtime.advance()
    first = drain(runtime)[0].message
    runtime.receive(Message(MessageType.NEED, 2, -1, state(1)), 0.0)
    (again,) = drain(runtime)
    assert (again.to, again.first, again.message.key) == (2, False, state(1))
    assert again.message.value is not None
    assert first.value is not None
    assert again.message.value.tobytes() == first.value.tobytes()
    runtime.receive(Message(MessageType.NEED, 2, -1, state(1, 0, 1)), 0.0)
    assert drain(runtime) == []


def test_the_coordinator_answers_what_it_does_not_hold_with_its_watermark() -> None:
    runtime, _ = runtime_of(waits_for(Key(0, Kind.TURN_DONE, 0, 4, 0)), me=COORDINATOR, files={4: b""})
    runtime.receive(Message(MessageType.NEED, 2, 0, Key(COORDINATOR, Kind.GRANT, 2, 1, 0)), 0.0)
    (answer,) = drain(runtime)
    assert (answer.to, answer.message.type, answer.message.watermark) == (2, MessageType.WATERMARK, 3)


# ---- what is dropped and counted ----


def test_stale_duplicate_and_future_values_are_counted_and_dropped() -> None:
    runtime, _ = runtime_of(waits_for(state(0, 3)), files={3: b""})
    runtime.advance()
    assert runtime.watermark == 2
    runtime.receive(heard(state(0, 2)), 0.0)
    runtime.receive(heard(state(0, 5)), 0.0)
    runtime.receive(heard(state(0, 4)), 0.0)
    runtime.receive(heard(state(0, 4)), 0.0)
    assert runtime.counts == {"stale": 1, "future": 1, "duplicate": 1}
    assert runtime.missing() == [state(0, 3)]


def test_two_different_values_for_one_key_end_the_run() -> None:
    runtime, _ = runtime_of(waits_for(state(2)))
    runtime.receive(heard(state(0), 1.0), 0.0)
    with pytest.raises(DeterminismLost, match=r"two different values for state of agent/0, round 0, step 0\..*resume"):
        runtime.receive(heard(state(0), 1.0000001), 0.0)
    assert runtime.counts["duplicate"] == 1


def test_zero_and_minus_zero_are_different_values() -> None:
    runtime, _ = runtime_of(waits_for(state(2)))
    runtime.receive(heard(state(0), 0.0), 0.0)
    with pytest.raises(DeterminismLost):
        runtime.receive(heard(state(0), -0.0), 0.0)
