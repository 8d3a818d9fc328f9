"""The control channel: whole messages over a socket pair, and no waiting."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from scalmarl.protocol.control import Closed, ControlChannel

Pair = tuple[ControlChannel, ControlChannel]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = (ControlChannel(end) for end in ControlChannel.pair())
    yield one, other
    one.close()
    other.close()


def test_messages_arrive_whole_and_in_order_both_ways(pair: Pair) -> None:
    for sender, receiver in (pair, pair[::-1]):
        for number in range(20):
            assert sender.send({"type": "beat", "number": number, "text": "x" * number})
        got = [receiver.receive() for _ in range(20)]
        assert got == [{"type": "beat", "number": number, "text": "x" * number} for number in range(20)]


def test_bytes_keys_of_numbers_and_nesting_survive(pair: Pair) -> None:
    message = {
        "type": "charge",
        "secret": b"\x00\xff",
        "allowed": {b"key": 3},
        "endpoints": {65534: "ipc://x"},
        "n": None,
    }
    assert pair[0].send(message)
    assert pair[1].receive() == message


def test_nothing_to_receive_is_none_at_once(pair: Pair) -> None:
    assert pair[0].receive() is None


def test_a_message_of_a_hundred_kilobytes_passes(pair: Pair) -> None:
    message = {"type": "book", "endpoints": dict.fromkeys(range(1000), "tcp://127.0.0.1:" + "9" * 80)}
    assert pair[0].send(message)
    assert pair[1].receive() == message


def test_the_other_ends_death_is_an_exception_after_its_last_words(pair: Pair) -> None:
    pair[0].send({"type": "failed"})
    pair[0].close()
    assert pair[1].receive() == {"type": "failed"}
    with pytest.raises(Closed):
        pair[1].receive()
    assert pair[1].send({"type": "beat"}) is False


def test_a_full_buffer_drops_the_message_and_says_so(pair: Pair) -> None:
    sent = 0
    while pair[0].send({"type": "beat", "number": sent, "pad": bytes(1000)}):
        sent += 1
        assert sent < 100_000
    assert sent > 10
    numbers = []
    while (message := pair[1].receive()) is not None:
        numbers.append(message["number"])
    assert numbers == list(range(sent))
    assert pair[0].send({"type": "beat", "number": sent})


def test_an_end_can_be_watched(pair: Pair) -> None:
    assert os.get_blocking(pair[0].fileno()) is False
