"""How many bytes cross the wire: the formula against a proxy that counts."""

from __future__ import annotations

import select
import socket
import threading

import zmq

from scalmarl.protocol.codec import curve_wire_bytes, null_wire_bytes
from tests.protocol.mailboxes import (
    ALICE,
    BOB,
    PATIENCE_S,
    Office,
    next_frame,
)


class CountingProxy(threading.Thread):
    """Passes one TCP connection on and counts the bytes of each direction before it passes them on."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.to_server = self.to_client = 0
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.start()

    def run(self) -> None:
        client, _ = self._listener.accept()
        self._listener.close()
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            while True:
                for end in select.select([client, server], [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    if end is client:
                        self.to_server += len(data)
                        server.sendall(data)
                    else:
                        self.to_client += len(data)
                        client.sendall(data)


SIZES = (0, 1, 45, 221, 222, 223, 254, 255, 256, 1000, 4096, 9000)


def test_the_formula_is_the_count_of_a_proxy_between_two_mailboxes(office: Office) -> None:
    bob = office.mailbox(BOB, (ALICE,), "tcp")
    proxy = CountingProxy(int(bob.endpoint.rpartition(":")[2]))
    alice = office.mailbox(ALICE, (BOB,))
    alice.connect(BOB, proxy.endpoint)
    alice.send(BOB, b"")
    next_frame(bob)
    # A frame that has been received has passed the proxy, which counts first.
    handshake = proxy.to_server - curve_wire_bytes(0)
    answer = proxy.to_client
    assert handshake > 0
    assert answer > 0
    sent = curve_wire_bytes(0)
    for size in SIZES:
        before = proxy.to_server
        alice.send(BOB, bytes(size))
        assert next_frame(bob) == (ALICE, bytes(size))
        assert proxy.to_server - before == curve_wire_bytes(size), size
        sent += curve_wire_bytes(size)
    assert proxy.to_server == handshake + sent
    assert proxy.to_client == answer


def test_the_formula_without_encryption_is_the_count_of_the_proxy_too(office: Office) -> None:
    with zmq.Context() as context:
        pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
        for end in (pull, push):
            end.setsockopt(zmq.LINGER, 0)
            end.setsockopt(zmq.RCVTIMEO, int(1000 * PATIENCE_S))
        proxy = CountingProxy(pull.bind_to_random_port("tcp://127.0.0.1"))
        push.connect(proxy.endpoint)
        push.send(b"")
        pull.recv()
        for size in SIZES:
            before = proxy.to_server
            push.send(bytes(size))
            assert len(pull.recv()) == size
            assert proxy.to_server - before == null_wire_bytes(size), size
        pull.close()
        push.close()
