"""Bad links: what becomes of the frames that a process sends to a peer, between its runtime and its socket.

Rules of this file: no socket, clock, thread or global generator. Time comes in as ``now``; chance comes in as one
generator per peer, so that the n-th frame of a life to a peer meets the same fate whatever else is sent meanwhile. What
a frame says is never looked at: values, NEED, WATERMARK and HELLO are treated alike.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Span = tuple[float, float]
"""From and until, in seconds."""

NO_SPAN: Span = (0.0, 0.0)
_DRAWS = 4
"""Lost? Doubled? How late the first copy, and the second. Always as many, so that no option shifts another's draws."""


@dataclass(frozen=True)
class LinkFault:
    """One direction of a bad link. ``delay``: each copy is held for a time drawn evenly from the span; ``loss`` and
    ``duplicate``: the share of frames that are lost, and of the others that arrive twice; ``cuts``: spans since the
    launch in which every frame is lost."""

    delay: Span = NO_SPAN
    loss: float = 0.0
    duplicate: float = 0.0
    cuts: tuple[Span, ...] = ()

    def is_cut(self, elapsed: float) -> bool:
        """Whether nothing gets through so long after the launch."""
        return any(begin <= elapsed < end for begin, end in self.cuts)

    def to_data(self) -> list[Any]:
        """Plain data for the control channel."""
        return [list(self.delay), self.loss, self.duplicate, [list(cut) for cut in self.cuts]]

    @classmethod
    def from_data(cls, data: list[Any]) -> LinkFault:
        """The inverse of ``to_data``."""
        delay, loss, duplicate, cuts = data
        return cls((delay[0], delay[1]), loss, duplicate, tuple((begin, end) for begin, end in cuts))


class Held(NamedTuple):
    """A copy of a frame on its way; ``number`` keeps the order of those that are due at the same time."""

    due: float
    number: int
    to: int
    kind: int
    frame: bytes


class LinkFaults:
    """All bad links of one life of a process, by the peer that is sent to.

    ``began``: when the launch began, on the clock of ``now``. ``draw(peer)`` makes the generator of a peer. ``counts``
    says what was done so far.
    """

    def __init__(
        self, faults: Mapping[int, LinkFault], began: float, draw: Callable[[int], np.random.Generator]
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._faults = dict(faults)
        self._began = began
        self._generators = {peer: draw(peer) for peer in self._faults}
        self._held: list[Held] = []
        self._number = 0

    def __contains__(self, peer: int) -> bool:
        return peer in self._faults

    def take(self, to: int, kind: int, frame: bytes, now: float) -> bool:
        """Take a frame for a peer with a bad link; its copies come out of ``due``. ``False``: it is lost.

        A frame that was sent before a cut is on its way already and arrives.
        """
        fault = self._faults[to]
        lost, doubled, *late = self._generators[to].random(_DRAWS)
        if fault.is_cut(now - self._began):
            self.counts["link cut"] += 1
            return False
        if lost < fault.loss:
            self.counts["link lost"] += 1
            return False
        shortest, longest = fault.delay
        copies = 2 if doubled < fault.duplicate else 1
        if copies > 1:
            self.counts["link doubled"] += 1
        if longest > 0:
            self.counts["link delayed"] += copies
        for share in late[:copies]:
            self._number += 1
            heapq.heappush(
                self._held, Held(now + shortest + (longest - shortest) * float(share), self._number, to, kind, frame)
            )
        return True

    def due(self, now: float) -> list[Held]:
        """The copies whose time has come, in the order in which they go out."""
        ready = []
        while self._held and self._held[0].due <= now:
            ready.append(heapq.heappop(self._held))
        return ready

    def next_due(self) -> float | None:
        """When the next copy goes out, or ``None`` if none is held."""
        return self._held[0].due if self._held else None
