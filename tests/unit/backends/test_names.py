"""Names that objects may have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.backends.names import check_name, check_prefix, is_part

PARTS = st.text("abcxyz0129-", min_size=1, max_size=12)


@given(st.lists(PARTS, min_size=1, max_size=8))
def test_joined_parts_are_a_name_and_a_prefix(parts: list[str]) -> None:
    check_name("/".join(parts))
    check_prefix("/".join(parts) + "/")
    assert all(is_part(part) for part in parts)


@given(st.text(max_size=6))
def test_a_part_is_a_name_without_slash(text: str) -> None:
    try:
        check_name(text)
    except ValueError:
        assert not is_part(text)
    else:
        assert is_part(text) == ("/" not in text)


@pytest.mark.parametrize("text", ["tmp/00.part", "lost+found", "a\n", "a/\n", "٣", "ﬁ"])
def test_nothing_else_is_a_name(text: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        check_name(text)
    with pytest.raises(ValueError, match="not a prefix"):
        check_prefix(text + "/")


def test_the_empty_prefix_means_everything() -> None:
    check_prefix("")
