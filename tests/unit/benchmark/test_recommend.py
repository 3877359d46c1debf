"""Which setting is recommended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.benchmark.grid import parse_candidate
from holdfast.benchmark.recommend import format_option, recommend
from holdfast.benchmark.report import Estimate, Recommendation, Setting
from holdfast.chunking.cutting import parse_cutting
from holdfast.units import parse_size

GIB = 1 << 30
MIB = 1 << 20
LOGICAL = 400 * GIB


def setting(
    name: str,
    gib: float,
    *,
    level: int = 3,
    slice_size: int = MIB,
    mb_s: float = 100,
    index: int = 0,
) -> Setting:
    ratio = Estimate(LOGICAL / (gib * GIB))
    return Setting(
        candidate=parse_candidate(name),
        slice_size=slice_size,
        level=level,
        stored_bytes=Estimate(gib * GIB),
        added_bytes=(),
        dedupe_ratio=ratio,
        compression_ratio=Estimate(1),
        total_ratio=ratio,
        index_bytes=index,
        memory_bytes=0,
        objects=0,
        put_requests=0,
        price_once=0,
        price_month=gib * 0.023,
        restore_decoded_per_byte=1,
        mb_s=mb_s,
    )


def choose(*settings: Setting) -> Recommendation:
    found = recommend(settings, LOGICAL, "USD", is_exact=True)
    assert found is not None
    return found


def test_sentence_says_what_to_do_and_what_it_brings() -> None:
    found = choose(setting("files", 200), setting("dump", 100))

    assert found.options == ("--profile", "dump", "--compression", "3")
    assert found.sentence == (
        "Use `backup --profile dump --compression 3`: 400 GiB of data need 100 GiB (4.0 x less), "
        "2.30 USD a month."
    )


def test_small_prices_are_not_called_nothing() -> None:
    assert "less than 0.01 USD a month" in choose(setting("files", 0.1)).sentence


def test_sentence_of_a_sample_does_not_claim_to_know() -> None:
    found = recommend([setting("files", 100)], LOGICAL, "USD", is_exact=False)

    assert found is not None
    assert "need about 100 GiB" in found.sentence


@pytest.mark.parametrize(
    ("other", "pays"),
    [
        (setting("dump", 98), False),
        (setting("dump", 96), True),
        (setting("gear:16K", 95), False),
        (setting("gear:16K", 93), True),
        (setting("files", 98, slice_size=4 * MIB), False),
        (setting("files", 96, slice_size=4 * MIB), True),
        (setting("files", 95, level=6, mb_s=50), False),
        (setting("files", 93, level=6, mb_s=50), True),
        (setting("files", 91, level=12, mb_s=20), False),
        (setting("files", 101, level=1, mb_s=130), False),
    ],
)
def test_departures_from_the_defaults_must_pay(other: Setting, *, pays: bool) -> None:
    assert (choose(setting("files", 100), other).setting == other) == pays


def test_smaller_chunks_are_refused_if_their_index_takes_what_they_save() -> None:
    small = setting("gear:4K", 90, index=20 * GIB)

    assert choose(setting("files", 100, index=GIB), small).setting.candidate.name == "files"
    assert (
        choose(setting("files", 100, index=GIB), replace(small, index_bytes=GIB)).setting != small
    )
    assert choose(setting("files", 100), setting("dump", 90, index=GIB)).setting.candidate == (
        parse_cutting("dump")
    )


def test_whole_files_are_not_recommended_since_no_option_asks_for_them() -> None:
    assert choose(setting("whole", 10), setting("files", 100)).setting.candidate.name == "files"


def test_nothing_to_choose_from_is_no_recommendation() -> None:
    assert recommend([], LOGICAL, "USD", is_exact=True) is None
    assert recommend([setting("whole", 1)], LOGICAL, "USD", is_exact=True) is None
    assert recommend([setting("files", 1)], 0, "USD", is_exact=True) is None


def test_another_slice_size_is_said_to_be_chosen_by_init() -> None:
    found = choose(setting("files", 100), setting("files", 90, slice_size=4 * MIB))

    assert found.options == ("--profile", "files", "--compression", "3")
    assert "3` in a repository of `init --slice-size 4M`: 400 GiB" in found.sentence


def test_data_that_only_grow_are_not_called_smaller() -> None:
    assert "(more than they are)" in choose(setting("files", 500)).sentence


@pytest.mark.parametrize("size", [256 << 10, 4 << 20, 1000, 1536 << 10])
def test_sizes_are_written_as_options_read_them(size: int) -> None:
    assert parse_size(format_option(size)) == size
