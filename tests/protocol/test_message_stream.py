"""Messages of any size over a socket pair, and what an end that is gone or silent looks like."""

from __future__ import annotations

import socket
import threading

import pytest

from scalmarl.protocol.message_stream import MessageStream, StreamClosed


def test_messages_of_any_size_arrive_whole_and_in_order() -> None:
    one, other = (MessageStream(end, 10.0) for end in socket.socketpair())
    sent = [{"n": 0}, {"bytes": bytes(range(256)) * 20_000, 3: [1.5, None, "é"]}, {}]
    speaker = threading.Thread(target=lambda: [one.send(message) for message in sent])
    speaker.start()
    assert [other.receive() for _ in sent] == sent
    speaker.join()
    one.close()
    other.close()


def test_an_end_that_is_gone_is_told() -> None:
    left, right = socket.socketpair()
    one, other = MessageStream(left, 10.0), MessageStream(right, 10.0)
    left.sendall((100).to_bytes(8, "little") + b"torn")
    one.close()
    with pytest.raises(StreamClosed):
        other.receive()
    with pytest.raises(StreamClosed):
        other.send({"n": bytes(1 << 20)})
    other.close()


def test_no_wait_is_longer_than_was_said() -> None:
    left, right = socket.socketpair()
    with left:
        other = MessageStream(right, 0.01)
        with pytest.raises(TimeoutError):
            other.receive()
        with pytest.raises(TimeoutError):
            other.send({"n": bytes(1 << 24)})
        other.close()
