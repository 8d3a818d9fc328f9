"""Frames that a neighbour with a good key should not send, made from one that it may send."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from scalmarl.protocol.codec import _CRC, _FIELDS, HEADER_BYTES
from scalmarl.protocol.keys import COORDINATOR, SIM, Kind

NAMES = (
    "proto", "type", "run", "source", "incarnation", "kind", "producer", "subject", "round", "step", "watermark",
)  # fmt: skip
VALUE, NEED, WATERMARK, HELLO = 1, 2, 3, 4


def fields_of(frame: bytes) -> dict[str, int]:
    """The header's fields by name."""
    return dict(zip(NAMES, _FIELDS.unpack_from(frame, 1)[2::2]))


def changed(frame: bytes, payload: bytes | None = None, **to: int) -> bytes:
    """The frame with other fields or another payload, and a checksum that is right."""
    packed = list(_FIELDS.unpack_from(frame, 1))
    for name, value in to.items():
        packed[2 + 2 * NAMES.index(name)] = value
    fields = _FIELDS.pack(*packed)
    content = frame[HEADER_BYTES:] if payload is None else payload
    crc = zlib.crc32(content, zlib.crc32(fields))
    return frame[:1] + fields + _CRC.pack(0xCE, crc) + content


def forgeries(frame: bytes, plan: Any, me: int, peer: int) -> Iterator[bytes]:
    """From the state of ``me``: other senders, runs, rounds, steps, kinds and shapes, for one peer."""
    fields = fields_of(frame)
    content = frame[HEADER_BYTES:]
    other = next(agent for agent in plan.processes() if agent not in (me, peer))
    yield changed(frame, source=other, producer=other, subject=other)
    yield changed(frame, source=COORDINATOR, type=WATERMARK, watermark=10**6, payload=b"")
    yield changed(frame, type=WATERMARK, watermark=10**6, payload=b"")
    yield changed(frame, type=HELLO, watermark=10**6, payload=b"")
    yield changed(frame, producer=other, subject=other)
    yield changed(frame, run=fields["run"] ^ 1)
    yield changed(frame, proto=99)
    yield changed(frame, type=77)
    yield changed(frame, step=2**32 - 1)
    yield changed(frame, kind=200)
    yield changed(frame, payload=content[:-4])
    yield changed(frame, payload=content + bytes(4))
    yield changed(frame, payload=b"")
    yield changed(frame, producer=SIM, kind=Kind.OBSERVATION)
    yield changed(frame, producer=COORDINATOR, kind=Kind.COMMIT, subject=COORDINATOR, payload=bytes(8))
    yield frame[:-1] + bytes((frame[-1] ^ 1,))
    yield frame[: len(frame) // 2]
    yield b""
    lie = bytes(byte ^ 0xFF for byte in content)
    if peer in plan.neighbours[me]:
        # Values that it may send, of rounds that are over or far away: no lie of these may be believed.
        if fields["round"] >= 2:
            yield changed(frame, round=0, payload=lie)
        yield changed(frame, round=fields["round"] + 1000, payload=lie)
        yield changed(frame, round=2**32 - 1, payload=lie)
