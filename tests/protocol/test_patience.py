"""When a missing value is asked for, worked out by hand."""

from __future__ import annotations

import pytest

from scalmarl.protocol.patience import NEED_AFTER_S, NEED_AT_MOST_S, Patience


def test_questions_come_at_double_distances_up_to_a_second() -> None:
    patience, now, gaps = Patience(), 0.0, []
    for _ in range(8):
        gaps.append(patience.deadline(now) - now)
        now = patience.deadline(now)
        assert patience.is_over(now)
        assert not patience.is_over(now - 1e-9)
        patience.asked(now)
    assert gaps == pytest.approx([0.05, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_what_was_heard_begins_the_time_anew() -> None:
    patience = Patience()
    patience.deadline(0.0)
    patience.asked(0.05)
    patience.heard(0.08, in_rollout=True)
    assert patience.deadline(0.09) == pytest.approx(0.08 + NEED_AFTER_S)


def test_silences_of_a_rollout_make_patient_and_are_forgotten_slowly() -> None:
    patience = Patience()
    patience.begin(0.0)
    patience.heard(0.2, in_rollout=True)
    patience.satisfied()
    assert not patience.is_over(99.0), "nothing is missing"
    assert patience.deadline(1.0) == pytest.approx(1.0 + 3 * 0.2)
    patience.satisfied()
    assert patience.deadline(2.0) == pytest.approx(2.0 + 3 * 0.9 * 0.2)


def test_other_silences_and_very_long_ones_do_not() -> None:
    patience = Patience()
    patience.begin(0.0)
    patience.heard(5.0, in_rollout=False)
    patience.satisfied()
    assert patience.deadline(6.0) == pytest.approx(6.0 + NEED_AFTER_S)
    patience.heard(16.0, in_rollout=True)
    patience.satisfied()
    assert patience.deadline(20.0) == pytest.approx(20.0 + NEED_AT_MOST_S)
