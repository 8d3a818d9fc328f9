"""The decoder against a hundred thousand hostile frames, of the plan of a real run."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from scalmarl.launch.config import resolve
from scalmarl.launch.planning import make_plan
from scalmarl.protocol.codec import HEADER_BYTES, decode, encode
from scalmarl.protocol.errors import BadFrame
from scalmarl.protocol.keys import Key
from scalmarl.protocol.kinds import Rules, form, receivers, sent_by, steps_of, subjects_of
from scalmarl.protocol.messages import Message, MessageType
from scalmarl.protocol.plan import Plan

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]
EXAMPLES = 100_000
MILLISECOND = 1_000_000


@pytest.fixture(scope="module")
def plan() -> Plan:
    config, origins = resolve(None, ("run.agents=5", "run.kappa=2", "world.envs=2", "world.steps=4"), {})
    return make_plan(config, origins).plan


def keys_of(plan: Plan) -> Iterator[Key]:
    for producer in plan.processes():
        for kind in sent_by(plan, producer):
            for subject in subjects_of(plan, producer, kind):
                yield Key(producer, kind, subject, 5, steps_of(plan, kind) - 1)


def lawful(plan: Plan) -> list[tuple[bytes, int, int]]:
    """Every kind of frame of every process, with a receiver and the sender."""
    frames = []
    for key in keys_of(plan):
        dtype, shape = form(plan, key)
        value = np.zeros(shape, dtype)
        to = receivers(plan, key)[0]
        said = Message(MessageType.VALUE, key.producer, 4, key, value)
        frames.append((encode(said, plan.run, 2), to, key.producer))
        frames.append((encode(Message(MessageType.NEED, to, 4, key), plan.run, 2), key.producer, to))
    return frames


def hostile(campaign: Any, check: Callable[..., None], **strategies: Any) -> None:
    """Run ``check`` on so many examples, drawn from the campaign's seed."""
    options = settings(
        max_examples=EXAMPLES, deadline=None, database=None, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    seed(campaign.seed)(options(given(**strategies)(check)))()


def test_mutated_frames_are_all_rejected(plan: Plan, campaign: Any) -> None:
    """Bytes changed, inserted, cut and repeated: the checksum or the form notices every one; fast, keeping nothing."""
    rules, frames = Rules(plan), lawful(plan)
    assert len(frames) > 90
    took: list[int] = []

    def check(pick: int, edits: list[tuple[int, int, int]]) -> None:
        whole, me, sender = frames[pick]
        frame = bytearray(whole)
        for what, where, value in edits:
            at = where % (len(frame) + 1)
            if what == 0:
                frame[at : at + 1] = bytes((value,))
            elif what == 1:
                frame[at:at] = bytes((value,)) * 3
            else:
                del frame[at : at + 1 + value]
        began = time.thread_time_ns()
        try:
            decode(bytes(frame), rules, plan.run, me, sender)
        except BadFrame:
            assert bytes(frame) != whole, "an honest frame was refused"
        else:
            assert bytes(frame) == whole, f"{bytes(frame).hex()} passed as {whole.hex()}"
        took.append(time.thread_time_ns() - began)

    edit = st.tuples(st.integers(0, 2), st.integers(0, 2**16), st.integers(0, 255))
    hostile(campaign, check, pick=st.integers(0, len(frames) - 1), edits=st.lists(edit, min_size=1, max_size=4))
    tell(campaign, took)


def test_random_bytes_raise_nothing_but_bad_frame(plan: Plan, campaign: Any) -> None:
    rules = Rules(plan)
    links = [(me, peer) for me in plan.processes() for peer in plan.peers(me)]
    took: list[int] = []

    def check(head: bool, body: bytes, pick: int) -> None:
        frame = (bytes((HEADER_BYTES - 1, 0x9C)) if head else b"") + body
        me, sender = links[pick]
        began = time.thread_time_ns()
        with pytest.raises(BadFrame):
            decode(frame, rules, plan.run, me, sender)
        took.append(time.thread_time_ns() - began)

    hostile(campaign, check, head=st.booleans(), body=st.binary(max_size=400), pick=st.integers(0, len(links) - 1))
    tell(campaign, took)


def tell(campaign: Any, took: list[int]) -> None:
    assert len(took) >= EXAMPLES // 2
    took.sort()
    middle, most = took[len(took) // 2], took[int(0.999 * len(took))]
    campaign.say(f"{len(took)} frames, {middle / 1000:.1f} us median, {most / 1000:.0f} us at the 99.9th percentile")
    assert most < MILLISECOND


@pytest.mark.parametrize("size", [10, 10_000, 1_000_000])
def test_a_refused_frame_keeps_nothing_and_a_good_one_twice_its_size_at_most(
    size: int, plan: Plan, campaign: Any
) -> None:
    rules = Rules(plan)
    rubbish = campaign.draw.randbytes(size)
    biggest, me, sender = max(lawful(plan), key=lambda frame: len(frame[0]))
    refuses = (rubbish, biggest[:HEADER_BYTES] + rubbish)
    tracemalloc.start()
    try:
        for frame in refuses:
            for _ in range(100):
                with pytest.raises(BadFrame):
                    decode(frame, rules, plan.run, me, sender)
        refused = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        kept = decode(biggest, rules, plan.run, me, sender)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept.value is not None
    campaign.say(f"200 refused frames of {size} bytes keep {refused} bytes")
    assert refused < 20_000
    assert peak - refused < 2 * len(biggest) + 4096
