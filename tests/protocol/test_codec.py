"""Frames: round trips, and the rejection of everything that is not exactly right."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalmarl.protocol.codec import HEADER_BYTES, PROTOCOL_VERSION, curve_wire_bytes, decode, encode, null_wire_bytes
from scalmarl.protocol.errors import BadFrame
from scalmarl.protocol.keys import COORDINATOR, SIM, Key, Kind
from scalmarl.protocol.kinds import Rules, form, receivers, sent_by, steps_of, subjects_of
from scalmarl.protocol.messages import Message, MessageType
from scalmarl.protocol.standins import toy_plan

# A path of three: 0 and 2 are two hops apart and hear nothing of one another.
PLAN = toy_plan(((1,), (0, 2), (1,)), (0, 1, 0), steps=1, copies=1)
KEYS = [
    Key(producer, kind, subject, 5, steps_of(PLAN, kind) - 1)
    for producer in PLAN.processes()
    for kind in sent_by(PLAN, producer)
    for subject in subjects_of(PLAN, producer, kind)
]
STATE = Key(0, Kind.STATE, 0, 5, 1)
RULES = Rules(PLAN)


def value_of(key: Key) -> np.ndarray[Any, Any]:
    dtype, shape = form(PLAN, key)
    drawn = np.random.default_rng(1).integers(0, 200, size=shape)
    return (drawn / 7).astype(dtype) if dtype.kind == "f" else drawn.astype(dtype)


def value_frame(key: Key, watermark: int = 4) -> bytes:
    return encode(Message(MessageType.VALUE, key.producer, watermark, key, value_of(key)), PLAN.run, 2)


def packed(fields: list[int], payload: bytes = b"") -> bytes:
    """A frame by hand, from the byte layout in docs/protocol.md, with a checksum that is right."""
    codes = {1: (0xCC, ">B"), 2: (0xCD, ">H"), 4: (0xCE, ">I")}
    body = bytes([0x9C])
    for width, field in zip((1, 1, 4, 2, 2, 1, 2, 2, 4, 4, 4), fields):
        code, layout = codes[width]
        body += bytes([code]) + struct.pack(layout, field)
    return bytes([44]) + body + b"\xce" + struct.pack(">I", zlib.crc32(body + payload)) + payload


def fields_of(key: Key, type: int = 1, watermark: int = 4) -> list[int]:
    return [
        PROTOCOL_VERSION, type, PLAN.run, key.producer, 2, int(key.kind), key.producer, key.subject, key.round,
        key.step, watermark + 1,
    ]  # fmt: skip


PROTO, TYPE, RUN, SOURCE, INCARNATION, KIND, PRODUCER, SUBJECT, ROUND, STEP, WATERMARK = range(11)


def changed(position: int, to: int, key: Key = STATE) -> bytes:
    fields = fields_of(key)
    fields[position] = to
    return packed(fields, value_of(key).tobytes())


def open_frame(frame: memoryview | bytes, me: int, sender: int) -> Message:
    return decode(frame, RULES, PLAN.run, me, sender)


def reason(frame: bytes, me: int = 1, sender: int = 0) -> str:
    with pytest.raises(BadFrame) as caught:
        open_frame(frame, me, sender)
    assert str(caught.value) == caught.value.reason
    return caught.value.reason


# ---- what is right ----


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_every_kind_of_value_survives_the_wire(key: Key) -> None:
    value = value_of(key)
    for to in receivers(PLAN, key):
        message = open_frame(value_frame(key), to, key.producer)
        assert (message.type, message.source, message.watermark) == (MessageType.VALUE, key.producer, 4)
        assert message.key == key
        assert isinstance(message.key.kind, Kind)
        assert message.value is not None
        assert (message.value.dtype, message.value.shape) == form(PLAN, key)
        assert message.value.tobytes() == value.tobytes()


def test_a_decoded_value_owns_aligned_memory_that_can_be_written() -> None:
    frame = bytearray(value_frame(STATE))
    value = open_frame(memoryview(frame), 1, 0).value
    assert value is not None
    before = value.tobytes()
    frame[HEADER_BYTES:] = bytes(len(frame) - HEADER_BYTES)
    assert value.tobytes() == before
    assert value.flags.aligned
    assert value.flags.writeable
    assert value.flags.owndata or value.base.flags.owndata


def test_special_numbers_keep_their_bits() -> None:
    dtype, shape = form(PLAN, STATE)
    value = np.array([np.nan, -0.0], dtype=dtype).reshape(shape)
    message = open_frame(encode(Message(MessageType.VALUE, 0, -1, STATE, value), PLAN.run, 0), 1, 0)
    assert message.value is not None
    assert message.value.tobytes() == value.tobytes()


@pytest.mark.parametrize("type_", [MessageType.HELLO, MessageType.WATERMARK])
def test_messages_without_a_key_survive_the_wire(type_: MessageType) -> None:
    for watermark in (-1, 0, 70000):
        message = Message(type_, 0, watermark)
        assert open_frame(encode(message, PLAN.run, 3), 1, 0) == message


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_a_need_goes_from_a_receiver_to_the_producer(key: Key) -> None:
    for asker in receivers(PLAN, key):
        message = Message(MessageType.NEED, asker, 4, key)
        assert open_frame(encode(message, PLAN.run, 0), key.producer, asker) == message


def test_the_frame_is_the_documented_layout() -> None:
    assert value_frame(STATE) == packed(fields_of(STATE), value_of(STATE).tobytes())
    hello = encode(Message(MessageType.HELLO, 0, 4), PLAN.run, 2)
    assert hello == packed([PROTOCOL_VERSION, 4, PLAN.run, 0, 2, 0, 0, 0, 0, 0, 5])


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_the_header_is_messagepack_of_one_length(key: Key) -> None:
    frame = value_frame(key)
    header = msgpack.unpackb(frame[1:HEADER_BYTES])
    assert frame[0] == len(frame[1:HEADER_BYTES]) == 44
    assert header[:11] == fields_of(key)
    assert header[11] == zlib.crc32(frame[1 : HEADER_BYTES - 5] + frame[HEADER_BYTES:])
    dtype, shape = form(PLAN, key)
    assert len(frame) == HEADER_BYTES + dtype.itemsize * int(np.prod(shape))


def test_the_length_of_a_frame_does_not_depend_on_its_numbers() -> None:
    small = encode(Message(MessageType.NEED, 1, -1, Key(0, Kind.STATE, 0, 0, 0)), 0, 0)
    large = encode(
        Message(MessageType.NEED, 1, 2**32 - 2, Key(0, Kind.STATE, 0, 2**32 - 1, 2**32 - 1)), 2**32 - 1, 65535
    )
    assert len(small) == len(large) == HEADER_BYTES == 45


def test_a_life_beyond_the_65536th_wraps_in_the_header() -> None:
    message = Message(MessageType.HELLO, 0, 4)
    assert encode(message, PLAN.run, 65536 + 2) == encode(message, PLAN.run, 2)


# ---- what is wrong ----


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_every_change_of_one_byte_is_noticed(key: Key) -> None:
    frame = value_frame(key)
    to = receivers(PLAN, key)[0]
    assert open_frame(frame, to, key.producer).key == key
    for position in range(len(frame)):
        for flip in range(1, 256):
            mutant = bytearray(frame)
            mutant[position] ^= flip
            with pytest.raises(BadFrame):
                open_frame(bytes(mutant), to, key.producer)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_every_truncation_and_every_addition_is_noticed(key: Key) -> None:
    frame = value_frame(key)
    to = receivers(PLAN, key)[0]
    for length in range(len(frame)):
        with pytest.raises(BadFrame):
            open_frame(frame[:length], to, key.producer)
    for tail in (b"\0", b"\xff", frame):
        with pytest.raises(BadFrame):
            open_frame(frame + tail, to, key.producer)


@pytest.mark.parametrize("type_", [MessageType.HELLO, MessageType.WATERMARK, MessageType.NEED])
def test_messages_without_a_value_are_as_strict(type_: MessageType) -> None:
    message = Message(type_, 1, 4, STATE if type_ is MessageType.NEED else None)
    frame = encode(message, PLAN.run, 0)
    assert open_frame(frame, 0, 1) == message
    for position in range(len(frame)):
        for flip in range(1, 256):
            mutant = bytearray(frame)
            mutant[position] ^= flip
            with pytest.raises(BadFrame):
                open_frame(bytes(mutant), 0, 1)
    for length in range(len(frame)):
        with pytest.raises(BadFrame):
            open_frame(frame[:length], 0, 1)


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        (b"", "header length"),
        (b"\x2c", "header length"),
        (b"\x2b" + bytes(60), "header length"),
        (b"\x2c" + bytes(44), "header"),
        (b"\x2c" + b"\xc1" * 44, "header"),
        (b"\x2c" + msgpack.packb([1] * 12).ljust(44, b"\0"), "header"),
        (b"\x2c" + b"\x9b" + value_frame(STATE)[2:], "header"),
        (changed(PROTO, PROTOCOL_VERSION + 1), "protocol version"),
        (changed(RUN, PLAN.run + 1), "another run"),
        (changed(SOURCE, 1), "forged sender"),
        (changed(SOURCE, COORDINATOR), "forged sender"),
        (changed(TYPE, 0), "message type"),
        (changed(TYPE, 5), "message type"),
        (changed(KIND, 0), "no such key"),
        (changed(KIND, 11), "no such key"),
        (changed(KIND, 255), "no such key"),
        (changed(KIND, int(Kind.COMMIT)), "no such key"),
        (changed(SUBJECT, 1), "no such key"),
        (changed(PRODUCER, 9), "no such key"),
        (changed(STEP, 2), "no such key"),
        (changed(STEP, 2**32 - 1), "no such key"),
        (changed(TYPE, MessageType.HELLO.value), "payload size"),
        (changed(TYPE, MessageType.WATERMARK.value), "payload size"),
        (packed(fields_of(STATE), value_of(STATE).tobytes()[:-4]), "payload size"),
        (packed(fields_of(STATE), value_of(STATE).tobytes() + bytes(4)), "payload size"),
        (packed(fields_of(STATE)), "payload size"),
        (value_frame(STATE)[:-1] + b"\xaa", "checksum"),
    ],
)
def test_a_bad_frame_is_rejected_for_its_reason(frame: bytes, wanted: str) -> None:
    assert reason(frame) == wanted


def test_a_value_of_a_third_party_is_refused() -> None:
    # Agent 1 repeats, under its own name, a state that only agent 0 may send.
    fields = fields_of(STATE)
    fields[SOURCE] = 1
    assert reason(packed(fields, value_of(STATE).tobytes()), me=2, sender=1) == "not for this process"


def test_a_value_for_somebody_else_is_refused() -> None:
    observation = Key(SIM, Kind.OBSERVATION, 0, 5, 0)
    assert reason(value_frame(observation), me=1, sender=SIM) == "not for this process"
    assert reason(value_frame(Key(0, Kind.ACTION, 0, 5, 0)), me=1, sender=0) == "not for this process"
    assert reason(value_frame(STATE), me=2, sender=0) == "not for this process"


def test_a_need_for_what_is_not_ours_or_not_the_askers_is_refused() -> None:
    # Agent 2 is two hops from agent 0; and nobody is asked for what another process produces.
    far = encode(Message(MessageType.NEED, 2, 4, STATE), PLAN.run, 0)
    assert reason(far, me=0, sender=2) == "not for this process"
    other = encode(Message(MessageType.NEED, 0, 4, Key(2, Kind.STATE, 2, 5, 0)), PLAN.run, 0)
    assert reason(other, me=1, sender=0) == "not for this process"


def test_a_need_carries_no_payload() -> None:
    fields = fields_of(STATE, type=MessageType.NEED.value)
    fields[SOURCE] = 1
    assert reason(packed(fields, b"\0"), me=0, sender=1) == "payload size"


def test_an_agent_cannot_commit_or_grant() -> None:
    for kind, subject in ((Kind.COMMIT, COORDINATOR), (Kind.GRANT, 1)):
        key = Key(COORDINATOR, kind, subject, 5, 0)
        fields = fields_of(key)
        fields[SOURCE] = 0
        assert reason(packed(fields, value_of(key).tobytes()), me=1, sender=0) == "not for this process"


@pytest.mark.parametrize("item", [1.0, "1", True, None, b"1", [1], {}])
def test_header_fields_are_integers_and_nothing_else(item: object) -> None:
    # Twelve items in 44 bytes with the odd one among them; the rest is filled up by one wide integer.
    tail = msgpack.packb(item)
    start = bytes([0x9C]) + bytes(10)
    room = 44 - len(start) - len(tail)
    filler = {3: b"\xcd", 5: b"\xce", 9: b"\xcf"}
    parts = [bytes(1)] * 10
    while room > 1 + 9:
        parts[parts.index(bytes(1))] = b"\xcf" + bytes(8)
        room -= 8
    wide = {size: code + bytes(size - 1) for size, code in filler.items()}
    last = wide.get(room) or (b"\xc4" + bytes([room - 2]) + bytes(room - 2) if room > 1 else bytes(room))
    header = bytes([0x9C]) + b"".join(parts) + tail + last
    assert len(header) == 44
    assert reason(b"\x2c" + header) == "header"


# ---- fuzz ----


@cache
def links() -> tuple[tuple[int, int], ...]:
    return tuple((me, peer) for me in PLAN.processes() for peer in PLAN.peers(me))


def is_dropped_or_lawful(frame: bytes, me: int, sender: int) -> None:
    try:
        message = open_frame(frame, me, sender)
    except BadFrame:
        return
    assert message.source == sender
    if message.type is MessageType.VALUE:
        assert message.key is not None
        assert message.value is not None
        assert message.value.shape == form(PLAN, message.key)[1]


@settings(max_examples=1500, deadline=None, database=None, derandomize=True)
@given(frame=st.binary(max_size=200), link=st.sampled_from(links()))
def test_random_bytes_raise_nothing_but_bad_frame(frame: bytes, link: tuple[int, int]) -> None:
    is_dropped_or_lawful(frame, *link)


@settings(max_examples=1500, deadline=None, database=None, derandomize=True)
@given(header=st.binary(min_size=44, max_size=44), payload=st.binary(max_size=64), link=st.sampled_from(links()))
def test_random_headers_raise_nothing_but_bad_frame(header: bytes, payload: bytes, link: tuple[int, int]) -> None:
    is_dropped_or_lawful(b"\x2c" + header, *link)
    is_dropped_or_lawful(b"\x2c\x9c" + header[1:] + payload, *link)


NUMBERS = [st.one_of(st.integers(0, 12), st.integers(0, 256**width - 1)) for width in (1, 1, 4, 2, 2, 1, 2, 2, 4, 4, 4)]


@settings(max_examples=1500, deadline=None, database=None, derandomize=True)
@given(fields=st.tuples(*NUMBERS), link=st.sampled_from(links()), payload=st.binary(max_size=40), honest=st.booleans())
def test_random_fields_under_a_right_checksum_raise_nothing_but_bad_frame(
    fields: tuple[int, ...], link: tuple[int, int], payload: bytes, honest: bool
) -> None:
    numbers = list(fields)
    if honest:
        numbers[PROTO], numbers[RUN], numbers[SOURCE] = PROTOCOL_VERSION, PLAN.run, link[1]
    is_dropped_or_lawful(packed(numbers, payload), *link)


# ---- the byte formula ----


@pytest.mark.parametrize(
    ("frame_bytes", "curve", "null"),
    [
        (0, 35, 2),
        (1, 36, 3),
        (222, 257, 224),
        (223, 265, 225),
        (255, 297, 257),
        (256, 298, 265),
        (10**6, 1000042, 1000009),
    ],
)
def test_wire_bytes_follow_zeromqs_framing(frame_bytes: int, curve: int, null: int) -> None:
    assert curve_wire_bytes(frame_bytes) == curve
    assert null_wire_bytes(frame_bytes) == null


def test_the_measured_example_of_two_frames_is_met() -> None:
    # A 40-byte header and 1,000 bytes of payload as two frames: 11 bytes more without encryption, 77 with CURVE.
    assert null_wire_bytes(40) + null_wire_bytes(1000) == 1040 + 11
    assert curve_wire_bytes(40) + curve_wire_bytes(1000) == 1040 + 77
