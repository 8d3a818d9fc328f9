"""Every moment between two seals is entered once."""

from __future__ import annotations

from scalmarl.protocol.wall_time import WallTime


def test_laps_add_up_by_spending_and_phase_and_a_seal_begins_anew() -> None:
    moments = iter([10.0, 11.0, 11.5, 13.5, 14.0, 14.25, 15.0])
    time = WallTime(lambda: next(moments))
    assert time.lap("work", "sampling") == 11.0
    time.lap("messages", "sampling")
    time.lap("wait", "sampling")
    time.lap("work", "sampling")
    assert time.seal() == {"work": {"sampling": 1.5}, "messages": {"sampling": 0.5}, "wait": {"sampling": 2.0}}
    time.lap("work", "saving")
    assert time.seal() == {"work": {"saving": 0.25}}
    time.lap("wait", "saving")
    assert time.seal() == {"wait": {"saving": 0.75}}, "a seal does not end the lap that goes on"


def test_what_was_before_the_first_round_is_not_told() -> None:
    moments = iter([0.0, 2.0, 7.0, 7.5])
    time = WallTime(lambda: next(moments))
    time.lap("wait", "starting")
    time.begin()
    time.lap("messages", "starting")
    assert time.seal() == {"messages": {"starting": 0.5}}
