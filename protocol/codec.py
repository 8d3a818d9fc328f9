"""Messages to frames and back: one frame = header length | flat MessagePack tuple | raw little-endian array.

Rules of this file: pure bytes in, values out. Integers in the header have a fixed width, so a frame's length is a
function of its key alone and the byte formula is exact. A frame that is not exactly right raises ``BadFrame`` with the
reason it is counted under; nothing that came from the wire is used before its shape equals what its key must have.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from scalmarl.protocol.errors import BadFrame
from scalmarl.protocol.keys import COORDINATOR, SIM, Key
from scalmarl.protocol.kinds import Rules, payload_bytes, sent_by
from scalmarl.protocol.messages import Message, MessageType
from scalmarl.protocol.plan import Plan

PROTOCOL_VERSION = 1

# proto, type, run, source, incarnation, kind, producer, subject, round, step, watermark + 1: fixed widths, as
# MessagePack itself would not choose them (it packs small numbers smaller), then the CRC-32 of all before it and of
# the payload.
_FIELDS = struct.Struct(">BBBBBBIBHBHBBBHBHBIBIBI")
_CRC = struct.Struct(">BI")
_TUPLE_OF_12, _U8, _U16, _U32 = 0x9C, 0xCC, 0xCD, 0xCE
_HEADER_LENGTH = _FIELDS.size + _CRC.size
HEADER_BYTES = 1 + _HEADER_LENGTH
"""Bytes of every frame before its payload."""


_LENGTH = bytes((_HEADER_LENGTH,))
_TAGS = (_U8, _U8, _U32, _U16, _U16, _U8, _U16, _U16, _U32, _U32, _U32)
_VALUE = MessageType.VALUE.value
_KEYED = (_VALUE, MessageType.NEED.value)
_KEYLESS = {type_.value: type_ for type_ in (MessageType.WATERMARK, MessageType.HELLO)}
_NO_KEY = (0, 0, 0, 0, 0)


CURVE_BYTES = 33
"""What CURVE adds to a frame: command name, nonce and authenticator."""


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


def decode(frame: memoryview | bytes, rules: Rules, run: int, me: int, sender: int) -> Message:
    """The message of a frame that ``sender`` (proven by the link) sent to ``me``; raises ``BadFrame``."""
    view = memoryview(frame)
    if len(view) < HEADER_BYTES or view[0] != _HEADER_LENGTH:
        raise BadFrame("header length")
    payload = view[HEADER_BYTES:]
    fields = _FIELDS.unpack_from(view, 1)
    if fields[0] != _TUPLE_OF_12 or fields[1::2] != _TAGS:
        raise BadFrame("header")
    crc = zlib.crc32(payload, zlib.crc32(view[1 : 1 + _FIELDS.size]))
    if _CRC.unpack_from(view, 1 + _FIELDS.size) != (_U32, crc):
        raise BadFrame("checksum")
    proto, type_code, its_run, source, _incarnation, kind, producer, subject, round, step, watermark = fields[2::2]
    if proto != PROTOCOL_VERSION:
        raise BadFrame("protocol version")
    if its_run != run:
        raise BadFrame("another run")
    if source != sender:
        raise BadFrame("forged sender")
    if type_code in _KEYLESS:
        if payload.nbytes:
            raise BadFrame("payload size")
        return Message(_KEYLESS[type_code], sender, watermark - 1)
    if type_code not in _KEYED:
        raise BadFrame("message type")
    rule = rules.of(producer, kind, subject)
    if rule is None or step >= rule.steps:
        raise BadFrame("no such key")
    key = Key(producer, rule.kind, subject, round, step)
    producer_end, receiver_end = (sender, me) if type_code == _VALUE else (me, sender)
    if producer != producer_end or receiver_end not in rule.receivers:
        raise BadFrame("not for this process")
    if payload.nbytes != (rule.payload_bytes if type_code == _VALUE else 0):
        raise BadFrame("payload size")
    if type_code != _VALUE:
        return Message(MessageType.NEED, sender, watermark - 1, key)
    # A copy, so that the stored value owns aligned memory and the frame can go.
    value = np.frombuffer(payload, dtype=rule.dtype).reshape(rule.shape).copy()
    return Message(MessageType.VALUE, sender, watermark - 1, key, value)


def _wire_order(key: Key) -> tuple[int, int, int, int, int]:
    return key.kind, key.producer, key.subject, key.round, key.step


def curve_wire_bytes(frame_bytes: int) -> int:
    """Bytes that ZeroMQ writes for a frame on a CURVE link, TCP/IP headers apart (measured by a counting proxy)."""
    encrypted = frame_bytes + CURVE_BYTES
    return encrypted + (2 if encrypted <= 255 else 9)


def null_wire_bytes(frame_bytes: int) -> int:
    """The same on a link without encryption."""
    return frame_bytes + (2 if frame_bytes <= 255 else 9)


def frame_bytes(plan: Plan, key: Key) -> int:
    """The length of the frame that carries a value."""
    return HEADER_BYTES + payload_bytes(plan, key)


def largest_frame(plan: Plan) -> int:
    """The longest lawful frame of a run: nothing longer is let into an inbox."""
    return max(
        frame_bytes(plan, Key(producer, kind, subject, 0, 0))
        for producer in (0, SIM, COORDINATOR)
        for kind in sent_by(plan, producer)
        for subject in (range(plan.agents) if producer in (0, SIM) else (producer,))
    )
