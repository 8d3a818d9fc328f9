"""ZeroMQ, and the only file that imports it: one encrypted inbox per process, one sender per peer, and the door-keeper.

PUSH -> PULL with CURVE on every link. An own ZAP thread lets in exactly the plan's peers and fails closed: the domain
is enforced, so without the thread nobody gets in. There are no heartbeats (libzmq 4.3.5 aborts a receiver whose sender
dies under back-pressure when they are on), no identities and no asyncio (docs/decisions/0003-transport.md).
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass

import zmq
from zmq.utils import z85

from scalmarl.protocol.codec import CURVE_BYTES
from scalmarl.protocol.errors import LocalProtocolError

HIGH_WATER_MARK = 4096
UNACKNOWLEDGED_MS = 2000
"""After so long without an acknowledgement a tcp connection is made anew. The kernel's own patience doubles: when a cut
link heals, frames would wait about as long again as the cut took, and the peer's frames show no silence meanwhile."""
CONNECT_WITHIN_MS = 1000
OLDEST_LIBZMQ = (4, 3, 5)
HANDSHAKE_BYTES = 4096
"""The limit on a frame's length holds for CURVE's handshake too: below it a process with tiny frames hears nobody."""
_ZAP_ENDPOINT = "inproc://zeromq.zap.01"
_ZAP_DOMAIN = b"scalmarl"
_DOOR_POLL_MS = 200


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key pair, Z85 text as bytes."""

    public: bytes
    secret: bytes


def new_keys() -> KeyPair:
    """A fresh key pair; make all of them before the first context."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public, secret)


def libzmq_version() -> tuple[int, ...]:
    """The version of the library that is really loaded."""
    return zmq.zmq_version_info()


def longest_ipc_path() -> int:
    """The longest path that an ipc endpoint may have."""
    return int(zmq.IPC_PATH_MAX_LEN)


class DoorKeeper(threading.Thread):
    """Answers ZAP requests: a known key is let in under its process id, anything else is refused and counted."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], allowed: dict[bytes, int]) -> None:
        super().__init__(name="door-keeper", daemon=True)
        self.refused = 0
        self._stopped = threading.Event()
        self._allowed = {z85.decode(key): str(process).encode() for key, process in allowed.items()}
        self._socket = context.socket(zmq.REP)
        self._socket.bind(_ZAP_ENDPOINT)

    def run(self) -> None:
        """Serve until stopped; the socket is used and closed in this thread only."""
        while not self._stopped.is_set():
            if self._socket.poll(_DOOR_POLL_MS):
                self._socket.send_multipart(self._answer(self._socket.recv_multipart()))
        self._socket.close(linger=0)

    def stop(self) -> None:
        """Stop serving and wait until the socket is closed."""
        self._stopped.set()
        self.join()

    def _answer(self, request: list[bytes]) -> list[bytes]:
        version, number, domain, mechanism = request[0], request[1], request[2], request[5]
        user = self._allowed.get(request[6]) if len(request) > 6 and mechanism == b"CURVE" else None
        if user is None or domain != _ZAP_DOMAIN:
            self.refused += 1
            return [version, number, b"400", b"refused", b"", b""]
        return [version, number, b"200", b"", user, b""]


class Mailbox:
    """One process's inbox and its senders.

    ``allowed``: public key -> process id of every peer. ``bind`` is ``ipc://PATH`` or ``tcp://HOST:*``; ``endpoint`` is
    what it became. ``largest`` is the size of the largest lawful frame.
    """

    def __init__(self, keys: KeyPair, allowed: dict[bytes, int], bind: str, largest: int) -> None:
        if libzmq_version() < OLDEST_LIBZMQ:
            raise LocalProtocolError(f"libzmq {zmq.zmq_version()} is too old; install pyzmq >= 26 (libzmq >= 4.3.5)")
        self.dropped: Counter[str] = Counter()
        self._keys = keys
        self._public = {process: key for key, process in allowed.items()}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._door = DoorKeeper(self._context, allowed)
        self._door.start()
        self._senders: dict[int, zmq.Socket[bytes]] = {}
        self._endpoints: dict[int, str] = {}
        self._inbox = self._context.socket(zmq.PULL)
        self._set_common_options(self._inbox)
        self._inbox.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
        # libzmq compares the limit with the encrypted size.
        self._inbox.setsockopt(zmq.MAXMSGSIZE, max(largest + CURVE_BYTES, HANDSHAKE_BYTES))
        self._inbox.setsockopt(zmq.CURVE_SERVER, 1)
        self._inbox.setsockopt(zmq.ZAP_DOMAIN, _ZAP_DOMAIN)
        self._inbox.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        self._inbox.bind(bind)
        endpoint = self._inbox.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(endpoint, bytes)
        self.endpoint = endpoint.rstrip(b"\0").decode()
        self._poller = zmq.Poller()
        self._poller.register(self._inbox, zmq.POLLIN)

    def _set_common_options(self, socket: zmq.Socket[bytes]) -> None:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.HANDSHAKE_IVL, 3000)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self._keys.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._keys.secret)

    def watch(self, descriptor: int) -> None:
        """Let ``wait`` also return when this descriptor can be read."""
        self._poller.register(descriptor, zmq.POLLIN)

    def connect(self, peer: int, endpoint: str) -> None:
        """(Re)connect the sender of a peer; what was queued for an older endpoint is lost, and repaired by NEED."""
        if peer in self._senders:
            self._senders.pop(peer).close(linger=0)
        sender = self._context.socket(zmq.PUSH)
        self._set_common_options(sender)
        sender.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
        sender.setsockopt(zmq.RECONNECT_IVL, 50)
        sender.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        sender.setsockopt(zmq.TCP_KEEPALIVE, 1)
        sender.setsockopt(zmq.TCP_MAXRT, UNACKNOWLEDGED_MS)
        sender.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_WITHIN_MS)
        sender.setsockopt(zmq.CURVE_SERVERKEY, self._public[peer])
        sender.connect(endpoint)
        self._senders[peer], self._endpoints[peer] = sender, endpoint

    def endpoint_of(self, peer: int) -> str | None:
        """Where the sender of a peer is connected."""
        return self._endpoints.get(peer)

    def send(self, peer: int, frame: bytes) -> None:
        """Hand a frame to the peer's sender; a full queue drops it, which NEED repairs."""
        try:
            self._senders[peer].send(frame, zmq.NOBLOCK, copy=True)
        except zmq.Again:
            self.dropped["queue full"] += 1

    def receive(self) -> tuple[int, memoryview] | None:
        """The next frame and the process that the link proves it came from, or ``None``."""
        while True:
            try:
                frame = self._inbox.recv(zmq.NOBLOCK, copy=False)
                if not frame.more:
                    return int(frame.get("User-Id")), frame.buffer
                while self._inbox.getsockopt(zmq.RCVMORE):
                    self._inbox.recv(zmq.NOBLOCK)
            except zmq.Again:
                return None
            self.dropped["more than one part"] += 1

    def wait(self, seconds: float) -> bool:
        """Sleep until a frame or a watched descriptor is ready, at most so long; whether a descriptor is."""
        ready = self._poller.poll(max(0, int(1000 * seconds)))
        return any(source is not self._inbox for source, _ in ready)

    @property
    def refused(self) -> int:
        """Handshakes that the door-keeper refused."""
        return self._door.refused

    def close(self) -> None:
        """Close every socket without waiting for anything."""
        self._door.stop()
        self._context.destroy(linger=0)
