"""Argon2id: bounds of its cost, a known answer, and passwords of any bytes."""

from __future__ import annotations

import pytest

from holdfast.crypto.kdf import (
    MAX_LANES,
    MAX_MEMORY_KIB,
    MAX_PASSES,
    Argon2Parameters,
    stretch,
)

SALT = bytes(range(16))


@pytest.mark.parametrize(
    ("memory_kib", "passes", "lanes", "acceptable"),
    [
        (64 << 10, 3, 4, True),
        (64 << 10, 3, 1, True),
        (MAX_MEMORY_KIB, MAX_PASSES, MAX_LANES, True),
        ((64 << 10) - 1, 3, 4, False),
        (MAX_MEMORY_KIB + 1, 3, 4, False),
        (64 << 10, 2, 4, False),
        (64 << 10, MAX_PASSES + 1, 4, False),
        (64 << 10, 3, 0, False),
        (64 << 10, 3, MAX_LANES + 1, False),
    ],
)
def test_bounds(memory_kib: int, passes: int, lanes: int, acceptable: bool) -> None:
    parameters = Argon2Parameters(memory_kib=memory_kib, passes=passes, lanes=lanes)
    assert parameters.are_acceptable() is acceptable


def test_defaults_are_the_second_recommendation_of_rfc_9106() -> None:
    assert Argon2Parameters() == Argon2Parameters(memory_kib=1 << 16, passes=3, lanes=4)


def test_salt_password_and_cost_all_count() -> None:
    # Far below the bounds, which are for slots: this is about the function.
    cheap = Argon2Parameters(memory_kib=32, passes=1, lanes=1)
    keys = {
        stretch("secret", SALT, cheap),
        stretch("secret ", SALT, cheap),
        stretch("secret", bytes(16), cheap),
        stretch("secret", SALT, Argon2Parameters(memory_kib=64, passes=1, lanes=1)),
        stretch("secret", SALT, Argon2Parameters(memory_kib=32, passes=2, lanes=1)),
        stretch("sécret\udcff", SALT, cheap),
    }
    assert len(keys) == 6
    assert {len(key) for key in keys} == {32}


def test_password_is_stretched_the_same_forever() -> None:
    cheap = Argon2Parameters(memory_kib=32, passes=3, lanes=4)
    assert (
        stretch("pässword", SALT, cheap).hex()
        == "bae730a06354690654200f26c2a4c0f98ccc4f3c1c5159364dbd4e61205fe22c"
    )
