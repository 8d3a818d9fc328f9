"""What becomes of frames on a bad link: shares, delays, order and cuts, with time and chance as arguments."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scalmarl.protocol.link_faults import Held, LinkFault, LinkFaults
from scalmarl.protocol.streams import Purpose, stream

PEER, OTHER = 1, 2
FRAMES = 10_000


def chance(peer: int, life: int = 0) -> np.random.Generator:
    return stream(7, purpose=Purpose.LINK_FAULTS, process=0, round=life, step=peer)


def faults(fault: LinkFault, began: float = 0.0, life: int = 0) -> LinkFaults:
    return LinkFaults({PEER: fault}, began, lambda peer: chance(peer, life))


def sent(links: LinkFaults, frames: int = FRAMES, now: float = 0.0, every: float = 0.0) -> list[bool]:
    return [links.take(PEER, 2, b"%d" % n, now + n * every) for n in range(frames)]


def within_five_deviations(count: int, of: int, share: float) -> bool:
    return abs(count - of * share) <= 5 * math.sqrt(of * share * (1 - share))


def test_a_link_without_an_option_passes_every_frame_on_at_once_and_once() -> None:
    links = faults(LinkFault())
    assert all(sent(links, 100))
    assert [held.frame for held in links.due(0.0)] == [b"%d" % n for n in range(100)]
    assert links.due(1e9) == []
    assert links.next_due() is None
    assert not links.counts


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_the_share_of_lost_frames_is_the_one_asked_for(share: float) -> None:
    links = faults(LinkFault(loss=share))
    lost = sent(links).count(False)
    assert within_five_deviations(lost, FRAMES, share)
    assert links.counts == {"link lost": lost}
    assert len(links.due(0.0)) == FRAMES - lost


def test_the_share_of_doubled_frames_is_that_of_the_frames_which_are_not_lost() -> None:
    links = faults(LinkFault(loss=0.5, duplicate=0.1))
    arrived = sent(links).count(True)
    copies = len(links.due(0.0))
    assert copies == arrived + links.counts["link doubled"]
    assert within_five_deviations(copies - arrived, arrived, 0.1)


@pytest.mark.parametrize(("fault", "passed"), [(LinkFault(loss=1.0), 0), (LinkFault(duplicate=1.0), 2)])
def test_all_and_nothing(fault: LinkFault, passed: int) -> None:
    links = faults(fault)
    sent(links, 100)
    assert len(links.due(0.0)) == 100 * passed


def test_delays_are_drawn_evenly_from_their_span() -> None:
    links = faults(LinkFault(delay=(0.05, 0.2)))
    sent(links, now=3.0)
    assert links.due(3.05 - 1e-9) == []
    late = np.array([held.due for held in links.due(4.0)]) - 3.0
    assert len(late) == FRAMES
    assert 0.05 <= late.min() < 0.051
    assert 0.199 < late.max() < 0.2
    assert abs(late.mean() - 0.125) < 5 * 0.15 / math.sqrt(12 * FRAMES)
    assert links.counts == {"link delayed": FRAMES}


def test_a_fixed_delay_keeps_the_order_and_a_span_does_not() -> None:
    fixed, span = faults(LinkFault(delay=(0.05, 0.05))), faults(LinkFault(delay=(0.0, 0.2)))
    for links in (fixed, span):
        sent(links, 100, every=0.001)
    assert [held.frame for held in fixed.due(1.0)] == [b"%d" % n for n in range(100)]
    mixed = span.due(1.0)
    assert [held.due for held in mixed] == sorted(held.due for held in mixed)
    assert [held.frame for held in mixed] != [b"%d" % n for n in range(100)]
    assert {held.frame for held in mixed} == {b"%d" % n for n in range(100)}


def test_a_held_frame_comes_out_when_it_is_due_and_not_before() -> None:
    links = faults(LinkFault(delay=(0.05, 0.05)))
    assert links.take(PEER, 2, b"one", 10.0)
    assert links.take(PEER, 3, b"two", 10.01)
    assert links.next_due() == 10.05
    assert links.due(10.049) == []
    assert links.due(10.05) == [Held(10.05, 1, PEER, 2, b"one")]
    assert links.next_due() == pytest.approx(10.06)


def test_in_a_cut_every_frame_is_lost_and_what_is_on_its_way_arrives() -> None:
    links = faults(LinkFault(delay=(1.0, 1.0), cuts=((10.0, 20.0), (30.0, 40.0))), began=100.0)
    times = (109.9, 110.0, 119.9, 120.0, 129.9, 130.0, 139.9, 140.0)
    through = [links.take(PEER, 2, b"x", now) for now in times]
    assert through == [True, False, False, True, True, False, False, True]
    assert [held.due for held in links.due(112.0)] == [110.9]
    assert links.counts["link cut"] == 4


def test_the_nth_frame_of_a_life_has_one_fate_whatever_else_is_sent() -> None:
    fault = LinkFault(loss=0.5, duplicate=0.5, delay=(0.0, 1.0))
    alone = faults(fault)
    both = LinkFaults({PEER: fault, OTHER: fault}, 0.0, chance)
    assert PEER in both
    assert OTHER not in alone
    for _ in range(1000):
        alone.take(PEER, 2, b"", 0.0)
        both.take(PEER, 2, b"", 0.0)
        both.take(OTHER, 2, b"", 0.0)
    to_peer = [held.due for held in both.due(2.0) if held.to == PEER]
    assert to_peer == [held.due for held in alone.due(2.0)]
    assert to_peer != [held.due for held in both.due(2.0)]


def test_another_option_or_a_cut_does_not_shift_the_draws_and_another_life_does() -> None:
    plain = sent(faults(LinkFault(loss=0.5)))
    assert sent(faults(LinkFault(loss=0.5, duplicate=0.9, delay=(0.0, 1.0)))) == plain
    cut = sent(faults(LinkFault(loss=0.5, cuts=((0.0, 1.0),))), every=0.01)
    assert not any(cut[:100])
    assert cut[100:] == plain[100:]
    assert sent(faults(LinkFault(loss=0.5), life=1)) != plain


def test_what_is_told_over_the_control_channel_is_read_back() -> None:
    fault = LinkFault((0.0, 0.2), 0.3, 0.1, ((10.0, 20.0), (30.0, 40.0)))
    assert LinkFault.from_data(fault.to_data()) == fault
