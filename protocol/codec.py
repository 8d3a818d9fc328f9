"""Messages to frames and back: one frame = header length | flat MessagePack tuple | raw little-endian array.

Rules of this file: pure bytes in, values out. Integers in the header have a fixed width, so a frame's length is a
function of its key alone and the byte formula is exact. A frame that is not exactly right raises ``BadFrame`` with the
reason it is counted under; nothing that came from the wire is used before its shape equals what its key must have.
"""

from __future__ import annotations

import math
import struct
import zlib

import msgpack
import numpy as np

from scalmarl.protocol.errors import BadFrame
from scalmarl.protocol.keys import Key, Kind
from scalmarl.protocol.kinds import Value, form, is_lawful, receivers
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.runtime import Message, MessageType

PROTOCOL_VERSION = 1

# proto, type, run, source, incarnation, kind, producer, subject, round, step, watermark + 1: fixed widths, as MessagePack
# itself would not choose them (it packs small numbers smaller), then the CRC-32 of all before it and of the payload.
_FIELDS = struct.Struct(">BBBBBBIBHBHBBBHBHBIBIBI")
_CRC = struct.Struct(">BI")
_TUPLE_OF_12, _U8, _U16, _U32 = 0x9C, 0xCC, 0xCD, 0xCE
_HEADER_LENGTH = _FIELDS.size + _CRC.size
HEADER_BYTES = 1 + _HEADER_LENGTH
"""Bytes of every frame before its payload."""


_LENGTH = bytes((_HEADER_LENGTH,))
_TYPES = {type_.value: type_ for type_ in MessageType}
_KINDS = {kind.value: kind for kind in Kind}
_NO_KEY = (0, 0, 0, 0, 0)


def encode(message: Message, run: int, incarnation: int) -> bytes:
    """The frame of a message."""
    kind, producer, subject, round, step = _NO_KEY if message.key is None else _wire_order(message.key)
    payload = b"" if message.value is None or message.value.size == 0 else message.value.data.cast("B")
    fields = _FIELDS.pack(
        _TUPLE_OF_12, _U8, PROTOCOL_VERSION, _U8, message.type.value, _U32, run, _U16, message.source,
        _U16, incarnation & 0xFFFF, _U8, kind, _U16, producer, _U16, subject, _U32, round, _U32, step,
        _U32, message.watermark + 1,
    )  # fmt: skip
    crc = zlib.crc32(payload, zlib.crc32(fields))
    return b"".join((_LENGTH, fields, _CRC.pack(_U32, crc), payload))


def decode(frame: memoryview | bytes, plan: Plan, me: int, sender: int) -> Message:
    """The message of a frame that ``sender`` (proven by the link) sent to ``me``; raises ``BadFrame``."""
    view = memoryview(frame)
    if len(view) < HEADER_BYTES or view[0] != _HEADER_LENGTH:
        raise BadFrame("header length")
    header, payload = view[1:HEADER_BYTES], view[HEADER_BYTES:]
    crc = zlib.crc32(payload, zlib.crc32(header[: _FIELDS.size]))
    proto, type_code, run, source, kind, producer, subject, round, step, watermark = _checked_fields(header, crc)
    if proto != PROTOCOL_VERSION:
        raise BadFrame("protocol version")
    if run != plan.run:
        raise BadFrame("another run")
    if source != sender:
        raise BadFrame("forged sender")
    type_ = _TYPES.get(type_code)
    if type_ is None:
        raise BadFrame("message type")
    if type_ in (MessageType.HELLO, MessageType.WATERMARK):
        if payload.nbytes:
            raise BadFrame("payload size")
        return Message(type_, sender, watermark - 1)
    key = Key(producer, _KINDS.get(kind, kind), subject, round, step)
    if not is_lawful(plan, key):
        raise BadFrame("no such key")
    producer_end, receiver_end = (sender, me) if type_ is MessageType.VALUE else (me, sender)
    if key.producer != producer_end or receiver_end not in receivers(plan, key):
        raise BadFrame("not for this process")
    if type_ is MessageType.VALUE:
        return Message(type_, sender, watermark - 1, key, _array(plan, key, payload))
    if payload.nbytes:
        raise BadFrame("payload size")
    return Message(type_, sender, watermark - 1, key)


def _array(plan: Plan, key: Key, payload: memoryview) -> Value:
    dtype, shape = form(plan, key)
    if payload.nbytes != dtype.itemsize * math.prod(shape):
        raise BadFrame("payload size")
    # A copy, so that the stored value owns aligned memory and the frame can go.
    return np.frombuffer(payload, dtype=dtype).reshape(shape).copy()


def _checked_fields(header: memoryview, crc: int) -> tuple[int, ...]:
    try:
        fields = msgpack.unpackb(header, use_list=False)
    except Exception as error:  # msgpack raises half a dozen unrelated classes for malformed bytes
        raise BadFrame("header") from error
    if type(fields) is not tuple or len(fields) != 12 or not all(type(field) is int for field in fields):
        raise BadFrame("header")
    if fields[11] != crc:
        raise BadFrame("checksum")
    proto, type_code, run, source, _incarnation, kind, producer, subject, round, step, watermark, _ = fields
    return proto, type_code, run, source, kind, producer, subject, round, step, watermark


def _wire_order(key: Key) -> tuple[int, int, int, int, int]:
    return key.kind, key.producer, key.subject, key.round, key.step


def curve_wire_bytes(frame_bytes: int) -> int:
    """Bytes that ZeroMQ writes for a frame on a CURVE link, TCP/IP headers apart (measured by a counting proxy)."""
    return frame_bytes + 33 + (2 if frame_bytes <= 222 else 9)


def null_wire_bytes(frame_bytes: int) -> int:
    """The same on a link without encryption."""
    return frame_bytes + (2 if frame_bytes <= 255 else 9)
