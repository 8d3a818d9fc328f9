"""A network of namespaces around one router, on this machine alone: who may pass is decided there, and counted there.

Every process of a run gets a namespace with one virtual cable to the router, and no other way out. Cables are subnets
of their own, so whatever two processes say to each other crosses the router, which forwards it, drops it by a rule, or
cannot deliver it because the cable is down. A packet socket in the router sees each packet come in and go out.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from scalmarl.launch.places import inside_namespace
from scalmarl.protocol.lifeline import hold_stop_signals, release_stop_signals
from scalmarl.protocol.network_namespace import NAMESPACES

_IP_WITHIN_S = 20.0
_SNIFF_POLL_S = 0.1
_IPV4, _ARP, _ALL_PROTOCOLS = 0x0800, 0x0806, 0x0003
_OUTGOING = 4
_SO_RCVBUFFORCE, _SOL_PACKET, _PACKET_STATISTICS = 33, 263, 6
_BUFFER = 1 << 26

Pair = tuple[str, str]
"""Source and destination address."""


def why_not() -> str | None:
    """Why this machine, or this user, cannot have such a network; ``None`` if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no 'ip' command (iproute2)"
    name = f"{_tag()}-try"
    try:
        ip("netns", "add", name)
        ip("-n", name, "link", "add", "end0", "type", "veth", "peer", "name", "end1")
        ip("-n", name, "rule", "add", "from", "192.0.2.1", "to", "192.0.2.2", "blackhole")
    except (OSError, subprocess.SubprocessError) as error:
        return f"this machine has no network namespaces with cables and rules ({getattr(error, 'stderr', error)})"
    finally:
        _remove(name)
    return None


def _tag() -> str:
    """The beginning of the names of one network's namespaces: whose they are, and a draw."""
    return f"scalmarl-{os.getpid()}-{secrets.token_hex(2)}"


def namespaces_of(pid: int) -> set[str]:
    """The namespaces that a process has made for its networks and not taken away."""
    return {path.name for path in NAMESPACES.glob(f"scalmarl-{pid}-*")}


def ip(*words: str) -> None:
    """Run iproute2's command; raises ``CalledProcessError`` with what it said."""
    subprocess.run(("ip", *words), check=True, capture_output=True, text=True, timeout=_IP_WITHIN_S)


def _remove(name: str) -> None:
    if (NAMESPACES / name).exists():
        with contextlib.suppress(subprocess.SubprocessError):
            ip("netns", "del", name)


class Network:
    """Namespaces 1 to ``size`` around a router; a context, at whose end nothing is left.

    The names are drawn, and the addresses exist inside only, so networks do not collide with one another, nor with what
    a killed one left behind.
    """

    address_template = "10.77.{number}.2"

    def __init__(self, size: int) -> None:
        self.size = size
        tag = _tag()
        self.namespace_template = f"{tag}-{{number}}"
        self.router = f"{tag}-router"

    def address(self, number: int) -> str:
        """The address of a namespace."""
        return self.address_template.replace("{number}", str(number))

    def namespace(self, number: int) -> str:
        """The name of a namespace."""
        return self.namespace_template.replace("{number}", str(number))

    def settings(self) -> list[str]:
        """What puts a launch's processes on this network."""
        values = {"transport": "tcp", "address": self.address_template, "namespace": self.namespace_template}
        return [word for key, value in values.items() for word in ("--set", f"processes.{key}={value}")]

    def __enter__(self) -> Self:
        try:
            self.build()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def build(self) -> None:
        """Make the router, and every namespace with its way there."""
        self.make(self.router)
        inside_namespace(self.router, lambda: _set("ipv4/ip_forward", "1"))
        for number in range(1, self.size + 1):
            self._connect(number)

    def make(self, name: str) -> None:
        """A namespace without any way out."""
        ip("netns", "add", name)
        # One protocol, so that one rule covers all that two processes could say.
        inside_namespace(name, lambda: _set("ipv6/conf/all/disable_ipv6", "1"))
        ip("-n", name, "link", "set", "lo", "up")

    def _connect(self, number: int) -> None:
        name, cable, gateway = self.namespace(number), f"cable{number}", f"10.77.{number}.1"
        self.make(name)
        ip("-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", cable, "netns", self.router)
        ip("-n", name, "address", "add", f"{self.address(number)}/30", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", self.router, "address", "add", f"{gateway}/30", "dev", cable)
        ip("-n", self.router, "link", "set", cable, "up")
        ip("-n", name, "route", "add", "default", "via", gateway)

    def forbid(self, one: int, other: int) -> None:
        """Drop every packet between two namespaces, in both directions and without an answer."""
        for source, destination in ((one, other), (other, one)):
            ends = ("from", self.address(source), "to", self.address(destination))
            ip("-n", self.router, "rule", "add", *ends, "blackhole")

    def plug(self, number: int, is_in: bool) -> None:
        """Pull a namespace's cable out of the router, or put it back."""
        ip("-n", self.router, "link", "set", f"cable{number}", "up" if is_in else "down")

    def remove(self) -> None:
        """Take everything away; a request to stop waits until it is done."""
        hold_stop_signals()
        try:
            self.take_down()
        finally:
            release_stop_signals()

    def take_down(self) -> None:
        """Delete the namespaces, and with them what is in them."""
        for name in (*map(self.namespace, range(1, self.size + 1)), self.router):
            _remove(name)


def _set(setting: str, value: str) -> None:
    # /proc/sys/net shows the namespace of the thread that opens it.
    with open(f"/proc/sys/net/{setting}", "w", encoding="ascii") as file:
        file.write(value)


class Counts:
    """Packets per (source, destination): how many came into the router, and how many left it."""

    def __init__(self) -> None:
        self.seen: Counter[Pair] = Counter()
        self.passed: Counter[Pair] = Counter()
        self.others = 0
        """Packets of other protocols than IPv4 and its address resolution."""

    def dropped(self, pair: Pair) -> int:
        """Packets that came in and did not leave."""
        return self.seen[pair] - self.passed[pair]


class PacketCounter(threading.Thread):
    """Counts what crosses the router of a network, exactly: it fails rather than miss a packet. A context."""

    def __init__(self, network: Network) -> None:
        super().__init__(name="packet-counter", daemon=True)
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._counts = Counts()
        self._at = time.monotonic()
        self._socket = inside_namespace(
            network.router, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS))
        )
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.settimeout(_SNIFF_POLL_S)

    def __enter__(self) -> PacketCounter:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self.join()
        self._socket.close()

    def run(self) -> None:
        """Count until the context ends."""
        head = bytearray(20)
        while not self._ended.is_set():
            try:
                _, (_, protocol, direction, *_) = self._socket.recvfrom_into(head)
            except TimeoutError:
                continue
            with self._lock:
                self._at = time.monotonic()
                if protocol == _IPV4:
                    pair = (socket.inet_ntoa(head[12:16]), socket.inet_ntoa(head[16:20]))
                    (self._counts.passed if direction == _OUTGOING else self._counts.seen)[pair] += 1
                elif protocol != _ARP:
                    self._counts.others += 1

    def peek(self, pair: Pair) -> int:
        """How many packets of a pair have come in since the last ``take``."""
        with self._lock:
            return self._counts.seen[pair]

    def take(self, quiet_s: float = 0.3, within_s: float = 10.0) -> Counts:
        """What was counted since the last time, once nothing has moved for a moment, or after ``within_s``. Raises
        ``RuntimeError`` if the kernel had to leave packets out."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            with self._lock:
                if time.monotonic() - self._at > quiet_s:
                    break
            time.sleep(_SNIFF_POLL_S)
        with self._lock:
            counts, self._counts = self._counts, Counts()
        if not self.is_alive():
            raise RuntimeError("the packet counter has ended: nothing was counted since")
        _, missed = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        if missed:
            raise RuntimeError(f"the packet counter missed {missed} packets: its figures would be too small")
        return counts


@contextlib.contextmanager
def _mailboxes(network: Network, numbers: list[int]) -> Iterator[dict[int, socket.socket]]:
    """A datagram socket in each namespace."""
    with contextlib.ExitStack() as stack:
        sockets = {}
        for number in numbers:
            found = inside_namespace(
                network.namespace(number), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            )
            sockets[number] = stack.enter_context(found)
            found.bind((network.address(number), 0))
            found.setblocking(False)
        yield sockets


def probe(network: Network, numbers: list[int], expected: int, within_s: float = 5.0) -> set[tuple[int, int]]:
    """Send one datagram from each of these namespaces to each other one; returns the pairs between which it arrived.

    It waits until so many have come as are ``expected``, and a moment longer for those that should not come.
    """
    arrived: set[tuple[int, int]] = set()
    with _mailboxes(network, numbers) as sockets:
        for source in numbers:
            for destination in numbers:
                if source != destination:
                    sockets[source].sendto(bytes([source]), sockets[destination].getsockname())
        deadline = time.monotonic() + within_s
        latest = None
        while time.monotonic() < min(deadline, latest or deadline):
            for number, mailbox in sockets.items():
                with contextlib.suppress(BlockingIOError):
                    arrived.add((mailbox.recv(16)[0], number))
            if latest is None and len(arrived) >= expected:
                latest = time.monotonic() + 0.5
            time.sleep(0.01)
    return arrived
