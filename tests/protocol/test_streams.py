"""Random streams: the same numbers for the same key, other numbers for any other."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from scalmarl.protocol.keys import COORDINATOR, SIM
from scalmarl.protocol.streams import Purpose, stream


def numbers(seed: int, **fields: int) -> tuple[int, ...]:
    purpose = Purpose(fields.pop("purpose", 1))
    return tuple(int(word) for word in stream(seed, purpose=purpose, **fields).bit_generator.random_raw(4))


def test_the_key_is_the_seed_and_the_packed_fields() -> None:
    drawn = stream(11, purpose=Purpose.EVALUATION, process=3, round=5, step=7).random(8)
    packed = 3 * 2**48 + 5 * 2**24 + 7 * 2**6 + 6
    wanted = np.random.Generator(np.random.Philox(key=np.array([11, packed], dtype=np.uint64))).random(8)
    assert drawn.tobytes() == wanted.tobytes()


def test_the_first_numbers_never_change() -> None:
    first = stream(0, purpose=Purpose.ACTION_NOISE, process=1, round=2, step=3).bit_generator.random_raw(2)
    packed = 1 << 48 | 2 << 24 | 3 << 6 | 1
    assert [int(word) for word in first] == philox_4x64_10((1, 0, 0, 0), (0, packed))[:2]


def philox_4x64_10(counter: tuple[int, int, int, int], key: tuple[int, int]) -> list[int]:
    """Philox 4x64 with ten rounds, from the paper (Salmon et al. 2011); numpy counts before it draws."""
    mask = 2**64 - 1
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * c0, 2**64)
        high1, low1 = divmod(0xCA5A826395121157 * c2, 2**64)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & mask, (k1 + 0xBB67AE8584CAA73B) & mask
    return [c0, c1, c2, c3]


def test_a_stream_is_made_anew_for_each_use() -> None:
    assert numbers(5, process=1) == numbers(5, process=1)


def test_every_key_has_numbers_of_its_own() -> None:
    seen = {
        numbers(seed, process=process, round=round, step=step, purpose=purpose)
        for seed, process, round, step, purpose in product(
            (0, 1, 2**63), (0, 1, SIM, COORDINATOR), (0, 1, 2**24 - 1), (0, 1, 2**18 - 1), map(int, Purpose)
        )
    }
    assert len(seen) == 3 * 4 * 3 * 3 * len(Purpose)


def test_purposes_have_numbers_of_their_own_that_fit() -> None:
    assert len({int(purpose) for purpose in Purpose}) == len(Purpose)
    assert all(0 <= purpose < 64 for purpose in Purpose)


@pytest.mark.parametrize(
    ("name", "value"),
    [("process", 2**16), ("process", -1), ("round", 2**24), ("round", -1), ("step", 2**18), ("step", -1)],
)
def test_a_field_that_does_not_fit_is_refused_by_name(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"stream field {name}={value} does not fit"):
        stream(0, purpose=Purpose.ACTION_NOISE, **{name: value})


def test_the_global_generator_is_left_alone() -> None:
    before = repr(np.random.get_state(legacy=False))
    stream(3, purpose=Purpose.TURN_ORDER).permutation(100)
    assert repr(np.random.get_state(legacy=False)) == before
