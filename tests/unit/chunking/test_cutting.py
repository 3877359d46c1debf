"""Ways to cut, by their names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.chunking import CUTTINGS, Profile, parse_cutting
from holdfast.chunking.cutting import GREATEST_SIZE
from holdfast.errors import ConfigurationError

KEY = bytes(range(32))
SIZES = st.integers(256 // 4, GREATEST_SIZE // 4).map(lambda quarter: 4 * quarter)


@pytest.mark.parametrize("profile", Profile)
def test_a_profile_keeps_its_name(profile: Profile) -> None:
    assert parse_cutting(profile.value) == CUTTINGS[profile]
    assert CUTTINGS[profile].name == profile.value


@given(kind=st.sampled_from(["gear", "fixed"]), size=SIZES)
def test_a_name_means_what_it_came_from(kind: str, size: int) -> None:
    cutting = parse_cutting(f"{kind}:{size}")
    assert (cutting.kind, cutting.size, cutting.zero_runs) == (kind, size, False)
    assert parse_cutting(cutting.name) == cutting


@pytest.mark.parametrize(
    ("text", "name"),
    [("gear:131072", "files"), ("gear:128K", "files"), ("gear:64K", "gear:64K"),
     ("fixed:4KiB", "pages"), ("fixed:1536", "fixed:1536"), ("gear:2M", "gear:2M")],
)  # fmt: skip
def test_names_are_short_and_one_for_each(text: str, name: str) -> None:
    assert parse_cutting(text).name == name


@pytest.mark.parametrize(
    "text", ["", "gear", "gear:", "gear:1", "gear:5M", "gear:4097", "rabin:64K", "FILES", "fixed:x"]
)
def test_what_is_no_way_to_cut_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"gear:32K or fixed:8K"):
        parse_cutting(text)


def test_chunks_have_the_size_asked_for() -> None:
    data = bytes(range(256)) * 256
    assert parse_cutting("fixed:16K").chunker(KEY).cuts(data, len(data), True) == [
        16384, 32768, 49152, 65536,
    ]  # fmt: skip
    assert parse_cutting("gear:2M").chunker(KEY).max_size == 8 << 20
    assert parse_cutting("fixed:16K").whole_file_limit == 16 << 10
    assert parse_cutting("gear:16K").whole_file_limit == 4 << 10
