"""A network whose router is a thread of this process: it loses, doubles, delays and reorders packets, and counts them.

Each namespace has one TUN device and no other way out. What the kernel sends there is read here as IPv4 packets, whose
fates are drawn, and written to the device of the namespace that they are for. It asks the kernel for no netem, and it
works below TCP, which has to mend what is done here.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import selectors
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks.router import Network, Pair, ip
from scalmarl.launch.places import inside_namespace
from scalmarl.protocol.lifeline import hold_stop_signals

_TUN = "/dev/net/tun"
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_DEVICE = "tun0"
_LARGEST_PACKET = 1 << 16
_POLL_S = 0.1
_ENDS_WITHIN_S = 10.0


def why_no_tun() -> str | None:
    """Why one who may have network namespaces cannot have TUN devices in them; ``None`` if one can."""
    try:
        with LossyNetwork(1):
            return None
    except (OSError, subprocess.SubprocessError) as error:
        return f"this machine has no TUN devices ({getattr(error, 'stderr', error)})"


@dataclass(frozen=True)
class Impairments:
    """What becomes of a packet: lost or doubled with a probability, each copy delayed by a time drawn from a span."""

    loss: float = 0.02
    duplicate: float = 0.01
    delay_s: tuple[float, float] = (0.0, 0.02)


@dataclass
class Fates:
    """What became of all packets so far."""

    came: int = 0
    lost: int = 0
    doubled: int = 0
    delivered: int = 0
    """Copies included."""
    overtaken: int = 0
    """Packets, copies not included, that left after one that had come later from the same source for the same
    destination."""


@dataclass(frozen=True, order=True)
class _Held:
    """A packet on its way; the heap's order is when it is due, and among equals when it came."""

    due: float
    order: int
    pair: Pair
    number: int
    is_copy: bool
    packet: bytes


class PacketRouter(threading.Thread):
    """Passes packets between TUN devices. The n-th packet of a pair meets the same fate in every run of a seed."""

    def __init__(self, seed: int, impairments: Impairments) -> None:
        super().__init__(name="packet-router", daemon=True)
        self.fates = Fates()
        self._seed, self._impairments = seed, impairments
        self._devices: dict[str, int] = {}
        self._ended = threading.Event()
        self._held: list[_Held] = []
        self._draws: dict[Pair, random.Random] = {}
        self._came: Counter[Pair] = Counter()
        self._latest: Counter[Pair] = Counter()
        self._order = 0

    def attach(self, address: str, device: int) -> None:
        """A device that is written to and read from, and closed at the end; before the start."""
        self._devices[address] = device

    def run(self) -> None:
        """Take packets in and let those out that are due, until ``close``."""
        # A request to stop is for the thread that takes the network away, which may be holding it back.
        hold_stop_signals()
        with selectors.DefaultSelector() as ready:
            for device in self._devices.values():
                ready.register(device, selectors.EVENT_READ)
            while not self._ended.is_set():
                wait_s = self._held[0].due - time.monotonic() if self._held else _POLL_S
                for key, _ in ready.select(min(max(wait_s, 0.0), _POLL_S)):
                    self._take_in(os.read(key.fd, _LARGEST_PACKET))
                self._let_out()

    def _take_in(self, packet: bytes) -> None:
        pair = (socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20]))
        if pair[1] not in self._devices:
            return
        draw = self._draws.setdefault(pair, random.Random(f"{self._seed} {pair}"))
        self._came[pair] += 1
        self.fates.came += 1
        if draw.random() < self._impairments.loss:
            self.fates.lost += 1
            return
        is_doubled = draw.random() < self._impairments.duplicate
        self.fates.doubled += is_doubled
        for is_copy in (False, True)[: 1 + is_doubled]:
            due = time.monotonic() + draw.uniform(*self._impairments.delay_s)
            self._order += 1
            heapq.heappush(self._held, _Held(due, self._order, pair, self._came[pair], is_copy, packet))

    def _let_out(self) -> None:
        for held in self._due():
            self.fates.delivered += 1
            self.fates.overtaken += not held.is_copy and held.number < self._latest[held.pair]
            self._latest[held.pair] = max(self._latest[held.pair], held.number)
            os.write(self._devices[held.pair[1]], held.packet)

    def _due(self) -> Iterator[_Held]:
        while self._held and self._held[0].due <= time.monotonic():
            yield heapq.heappop(self._held)

    def close(self) -> None:
        """End, forget what is on its way, and give the devices back, which vanish with that."""
        self._ended.set()
        if self.is_alive():
            self.join(_ENDS_WITHIN_S)
        while self._devices:
            os.close(self._devices.popitem()[1])


class LossyNetwork(Network):
    """Namespaces 1 to ``size``, every two of them joined by way of this process alone; a context."""

    def __init__(self, size: int, seed: int = 0, impairments: Impairments | None = None) -> None:
        super().__init__(size)
        self._packet_router = PacketRouter(seed, impairments or Impairments())

    @property
    def fates(self) -> Fates:
        """What became of the packets so far."""
        return self._packet_router.fates

    def build(self) -> None:
        """Make every namespace with its device, and begin to pass packets on."""
        for number in range(1, self.size + 1):
            name, address = self.namespace(number), self.address(number)
            self.make(name)
            self._packet_router.attach(address, inside_namespace(name, partial(_open_device, _DEVICE)))
            ip("-n", name, "address", "add", f"{address}/32", "dev", _DEVICE)
            ip("-n", name, "link", "set", _DEVICE, "up")
            ip("-n", name, "route", "add", "default", "dev", _DEVICE)
        self._packet_router.start()

    def take_down(self) -> None:
        """Pass nothing on any more, and delete the namespaces."""
        try:
            self._packet_router.close()
        finally:
            super().take_down()


def _open_device(name: str) -> int:
    """Make a TUN device in the namespace of this thread; it lives as long as the descriptor is open."""
    device = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    except BaseException:
        os.close(device)
        raise
    return device
