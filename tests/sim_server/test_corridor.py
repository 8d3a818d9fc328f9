"""The corridor's centre line against the piecewise formula of its source, and the edges of the cost."""

from __future__ import annotations

import numpy as np
import pytest

from scalmarl.sim_server.corridor import Corridor, scale_for

T = np.tan(np.pi / 6)
HALF_WIDTH = 4.5
CORRIDOR = Corridor(HALF_WIDTH)


def original(x: float) -> float:
    """Safe MAMuJoCo's rule, with the straight lead-in in front."""
    if x < 0:
        return 0.0
    if x < 20:
        return T * x
    if x < 60:
        return -T * (x - 40)
    if x < 100:
        return T * (x - 80)
    return 20 * T


def test_centre_line_is_the_original_zigzag_after_a_straight_lead_in() -> None:
    x = np.linspace(-40.0, 130.0, 681)
    np.testing.assert_allclose(CORRIDOR.centre_line(x), [original(value) for value in x], atol=1e-12)


def test_the_published_zigzag_has_no_lead_in() -> None:
    x = np.linspace(-40.0, 130.0, 681)
    wanted = [T * value if value < 0 else original(value) for value in x]
    np.testing.assert_allclose(Corridor(HALF_WIDTH, legacy=True).centre_line(x), wanted, atol=1e-9)


def test_offset_is_vertical() -> None:
    x, y = np.array([-5.0, 10.0, 70.0]), np.array([1.0, 10 * T + 2.0, -3.0])
    np.testing.assert_allclose(CORRIDOR.offset(x, y), [1.0, 2.0, -3.0 + 10 * T], atol=1e-12)


def test_cost_begins_1_8_m_before_the_wall_and_never_ends() -> None:
    edge = HALF_WIDTH - 1.8
    inside, outside = np.nextafter(edge, 0.0), np.nextafter(edge, 9.0)
    at = np.array([0.0, inside, edge, outside, 4.5, 6.3, 6.4, 50.0])
    for side in (1.0, -1.0):
        assert CORRIDOR.is_too_near(side * at).tolist() == [False, False, False, True, True, True, True, True]


def test_the_published_cost_is_a_band_and_escaping_through_the_wall_is_free() -> None:
    far = HALF_WIDTH + 1.8
    at = np.array([2.7, np.nextafter(2.7, 9.0), 4.5, np.nextafter(far, 0.0), far, 50.0])
    for side in (1.0, -1.0):
        near = Corridor(HALF_WIDTH, legacy=True).is_too_near(side * at)
        assert near.tolist() == [False, True, True, True, False, False]


@pytest.mark.parametrize("scale", [1.375, 2.0, 8.0])
def test_a_stretched_corridor_is_similar(scale: float) -> None:
    x, y = np.linspace(-20.0, 120.0, 57), np.linspace(-6.0, 6.0, 57)
    stretched = Corridor(HALF_WIDTH, scale)
    np.testing.assert_allclose(stretched.centre_line(scale * x), scale * CORRIDOR.centre_line(x), atol=1e-12)
    near = CORRIDOR.is_too_near(CORRIDOR.offset(x, y))
    assert stretched.is_too_near(stretched.offset(scale * x, scale * y)).tolist() == near.tolist()
    assert near.any()
    assert not near.all()


def test_the_corridor_grows_from_eleven_segments_on() -> None:
    assert [scale_for(n) for n in (1, 8, 10, 11, 16)] == [1.0, 1.0, 1.0, 11 / 8, 2.0]


@pytest.mark.parametrize("segments", [8, 10, 11, 16, 64])
def test_a_rod_across_a_fold_can_be_safe_at_every_segment(segments: int) -> None:
    """Ends on the centre line is the worst of the sensible poses: its middle is (n - 1) / 2 tan 30 away."""
    middle = np.array([(segments - 1) / 2 * T])
    assert not Corridor(HALF_WIDTH, scale_for(segments)).is_too_near(middle).any()
