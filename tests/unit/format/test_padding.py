"""Padmé: never shorter, little overhead, few different lengths."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.format.padding import padme

LENGTHS = st.integers(0, 2**50)


@given(LENGTHS)
def test_never_shorter_and_at_most_12_percent_longer(length: int) -> None:
    assert length <= padme(length) <= length * 1.12
    if length >= 1 << 16:
        assert padme(length) <= length * 1.032


@given(LENGTHS)
def test_a_padded_length_stays(length: int) -> None:
    assert padme(padme(length)) == padme(length)


@given(LENGTHS, LENGTHS)
def test_order_is_kept(one: int, other: int) -> None:
    assert (padme(one) <= padme(other)) or one > other


def test_few_lengths_remain() -> None:
    assert len({padme(length) for length in range((1 << 16) + 1, (1 << 17) + 1)}) == 32


def test_known_lengths() -> None:
    assert [padme(length) for length in (0, 1, 8, 9, 10, 100, 1000, 1 << 20, (1 << 20) + 1)] == [
        0, 1, 8, 10, 10, 104, 1024, 1 << 20, (1 << 20) + (1 << 15),
    ]  # fmt: skip
