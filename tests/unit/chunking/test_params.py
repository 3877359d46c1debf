"""Profiles, sizes and thresholds."""

from __future__ import annotations

import pytest

from holdfast.chunking import CUTTINGS, Profile
from holdfast.chunking.fixed import FixedChunker
from holdfast.chunking.gear import GearChunker
from holdfast.chunking.params import gear_parameters

KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("profile", "limit", "max_size"),
    [
        (Profile.FILES, 32 * 1024, 512 * 1024),
        (Profile.DUMP, 768, 12 * 1024),
        (Profile.PAGES, 4 * 1024, 4 * 1024),
        (Profile.IMAGE, 16 * 1024, 256 * 1024),
    ],
)
def test_profiles_have_their_sizes(profile: Profile, limit: int, max_size: int) -> None:
    made = CUTTINGS[profile].chunker(KEY)
    assert made.max_size == max_size
    assert CUTTINGS[profile].whole_file_limit == limit
    for byte in (b"\0", b"x"):
        assert made.cuts(byte * limit, limit, True) == [limit]


def test_only_images_set_zero_runs_apart() -> None:
    data = b"x" + bytes(600 * 1024)
    assert CUTTINGS[Profile.IMAGE].chunker(KEY).cuts(data, len(data), True)[0] == 1
    assert CUTTINGS[Profile.FILES].chunker(KEY).cuts(data, len(data), True)[0] == 512 * 1024


def test_recorded_names_are_fixed() -> None:
    assert [profile.value for profile in Profile] == ["files", "dump", "pages", "image"]


def test_thresholds_are_pinned() -> None:
    # 2^64 / 131072, times 271.5 (gap of proposals) and 99/64 (mean), halved and doubled.
    parameters = gear_parameters(128 * 1024, KEY)
    assert parameters.sizes == (32768, 131072, 524288)
    assert parameters.thresholds == (29553223287177216, 118212893148708864)
    assert parameters.key[:16] == KEY[:16]
    assert parameters.key[16:].hex() == "5fde51374f47"


def test_multipliers_are_odd() -> None:
    for seed in range(50):
        key = gear_parameters(256, bytes([seed]) * 32).key
        assert len(key) == 22
        assert key[18] & 1
        assert key[20] & 1


def test_thresholds_of_small_averages_are_capped() -> None:
    assert gear_parameters(256, KEY).thresholds[1] == 2**64 - 1


@pytest.mark.parametrize("average", [0, 252, 258, 16 * 1024 * 1024 + 4])
def test_impossible_averages_are_refused(average: int) -> None:
    with pytest.raises(ValueError, match="average chunk size"):
        gear_parameters(average, KEY)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_keys_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        gear_parameters(1024, bytes(length))


def test_keys_do_not_show_in_representations() -> None:
    parameters = gear_parameters(1024, b"k" * 32)
    assert "kkkk" not in repr(parameters)
    assert "kkkk" not in repr(GearChunker(gear_parameters(1024, b"k" * 32)))


class TestFixed:
    def test_cuts_are_multiples_of_the_size(self) -> None:
        data = bytes(100)
        fixed = FixedChunker(10)
        assert fixed.cuts(data, 35, True) == [10, 20, 30, 35]
        assert fixed.cuts(data, 35, False) == [10, 20, 30]
        assert fixed.cuts(data, 30, True) == [10, 20, 30]
        assert fixed.cuts(data, 30, False) == [10, 20, 30]
        assert fixed.cuts(data, 0, True) == []
        assert fixed.cuts(data, 9, False) == []

    def test_bad_arguments_are_refused(self) -> None:
        with pytest.raises(ValueError, match="positive"):
            FixedChunker(0)
        for length in (-1, 4):
            with pytest.raises(ValueError, match="length"):
                FixedChunker(10).cuts(b"abc", length, True)
