"""Names of objects that come from elsewhere: log segments are called what a server calls them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.backends.names import is_name
from holdfast.repository.layout import LOGS, MAX_LOG_NAME_LENGTH, log_name, log_segment_of

ARCHIVE = "0123456789abcdef" * 2


@given(st.text(max_size=90))
def test_any_name_of_a_segment_comes_back(name: str) -> None:
    stored = log_name(ARCHIVE, name)
    plain = b"abcdefghijklmnopqrstuvwxyz0123456789"
    escaped = sum(1 if one in plain else 3 for one in name.encode())
    assert (stored is not None) == (0 < escaped <= MAX_LOG_NAME_LENGTH)
    if stored is not None:
        assert is_name(stored)
        assert log_segment_of(stored) == (ARCHIVE, name)


@given(st.from_regex(r"logs/[0-9a-f]{32}/[a-z0-9-]{1,20}", fullmatch=True))
def test_a_name_has_one_form(stored: str) -> None:
    """Two objects are never the same segment."""
    found = log_segment_of(stored)
    assert found is None or log_name(*found) == stored


@pytest.mark.parametrize(
    "stored",
    [
        "",
        LOGS,
        f"{LOGS}x/a",
        f"{LOGS}{ARCHIVE}",
        f"{LOGS}{ARCHIVE}/",
        f"{LOGS}{ARCHIVE}/a/b",
        f"{LOGS}{ARCHIVE}/a-",
        f"{LOGS}{ARCHIVE}/-4",
        f"{LOGS}{ARCHIVE}/-61",
        f"packs/{ARCHIVE}/a",
    ],
)
def test_names_of_nothing_are_passed_over(stored: str) -> None:
    assert log_segment_of(stored) is None


def test_the_longest_name_is_that_of_an_object() -> None:
    longest = log_name(ARCHIVE, "a" * MAX_LOG_NAME_LENGTH)
    assert longest is not None
    assert len(longest) == 255
    assert log_name(ARCHIVE, "a" * (MAX_LOG_NAME_LENGTH + 1)) is None
    assert log_name(ARCHIVE, "") is None
