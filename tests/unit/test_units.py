"""Sizes and durations as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.units import format_duration, format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("64K", 65536), ("64k", 65536), ("1.5 GiB", 3 << 29), ("1MB", 1 << 20),
     (" 2 TiB ", 2 << 40), ("3b", 3), ("1e", 1 << 60), ("0.5K", 512)],
)  # fmt: skip
def test_sizes_that_are_understood(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "K", "-1", "1 2", "1KK", "1X", "1,5G", "0x10", "1.G", "nan", "1e5"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1536, "1.50 KiB"), (10 << 20, "10.0 MiB"),
     (128 << 30, "128 GiB"), (1023 * 1024, "1.00 MiB"), (999 << 10, "999 KiB"), (1 << 60, "1.00 EiB"),
     (5000 << 60, "5000 EiB"), (-2048, "-2.00 KiB"), (1.5, "1 B")],
)  # fmt: skip
def test_sizes_as_shown(size: float, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(0, 2**63))
def test_shown_sizes_are_short_and_right_to_half_a_percent(size: int) -> None:
    shown = format_size(size)
    number, _, unit = shown.partition(" ")
    assert len(number) <= 4
    assert abs(parse_size(shown) - size) <= max(1, size * 0.006)
    assert unit


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.00 s"), (0.417, "0.42 s"), (12.3, "12 s"), (59.4, "59 s"), (59.6, "1:00 min"),
     (187, "3:07 min"), (3599.7, "1:00:00 h"), (7384, "2:03:04 h"), (360000, "100:00:00 h")],
)  # fmt: skip
def test_durations_as_shown(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
