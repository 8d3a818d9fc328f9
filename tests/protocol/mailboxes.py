"""Mailboxes and bare clients of one test, and waiting for what they receive."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import zmq
from zmq.utils.monitor import recv_monitor_message

from scalmarl.protocol.sockets import KeyPair, Mailbox, new_keys

PATIENCE_S = 10.0
LARGEST = 10_000
ALICE, BOB, EVE = 1, 2, 3
KEYS: dict[int, KeyPair] = {name: new_keys() for name in (ALICE, BOB, EVE)}

HANDSHAKE_OVER = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_DISCONNECTED
)


class Office:
    """Makes mailboxes and bare clients, and closes them all."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._mailboxes: list[Mailbox] = []
        self._clients: list[zmq.Socket[bytes]] = []
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    def mailbox(self, name: int, allowed: tuple[int, ...], bind: str = "ipc", largest: int = LARGEST) -> Mailbox:
        endpoint = {"ipc": self.ipc(name), "tcp": "tcp://127.0.0.1:*"}[bind]
        box = Mailbox(KEYS[name], {KEYS[peer].public: peer for peer in allowed}, endpoint, largest)
        self._mailboxes.append(box)
        return box

    def ipc(self, name: int) -> str:
        return f"ipc://{self.directory}/{name}"

    def client(self, keys: KeyPair | None, server: bytes) -> zmq.Socket[bytes]:
        """A PUSH socket that is not ours, with keys of its choice."""
        push = self._context.socket(zmq.PUSH)
        self._clients.append(push)
        push.setsockopt(zmq.LINGER, 0)
        push.setsockopt(zmq.SNDTIMEO, int(1000 * PATIENCE_S))
        if keys is not None:
            push.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
            push.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
            push.setsockopt(zmq.CURVE_SERVERKEY, server)
        return push

    def handshake(self, push: zmq.Socket[bytes], endpoint: str, frame: bytes) -> int:
        """Connect, queue a frame, and return the event that ended the first handshake."""
        monitor = push.get_monitor_socket(HANDSHAKE_OVER)
        push.connect(endpoint)
        push.send(frame, zmq.NOBLOCK)
        assert monitor.poll(int(1000 * PATIENCE_S))
        return int(recv_monitor_message(monitor)["event"])

    def close(self) -> None:
        for box in self._mailboxes:
            box.close()
        self._context.destroy(linger=0)


def wait_until(condition: Callable[[], bool], box: Mailbox | None = None) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        if box is None:
            time.sleep(0.002)
        else:
            box.wait(0.01)


def next_frame(box: Mailbox) -> tuple[int, bytes]:
    got: list[tuple[int, bytes]] = []

    def received() -> bool:
        found = box.receive()
        if found is not None:
            got.append((found[0], bytes(found[1])))
        return bool(got)

    wait_until(received, box)
    return got[0]


def only_alices_word_arrives(office: Office, bob: Mailbox) -> None:
    """Whatever was to be refused is not ahead of an honest frame that is sent later, nor right behind it."""
    alice = office.mailbox(ALICE, (BOB,))
    alice.connect(BOB, bob.endpoint)
    alice.send(BOB, b"honest")
    assert next_frame(bob) == (ALICE, b"honest")
    bob.wait(0.05)
    assert bob.receive() is None
