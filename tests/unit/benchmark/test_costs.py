"""What a repository of given figures costs."""

from __future__ import annotations

import datetime

import pytest

from holdfast.benchmark import costs
from holdfast.benchmark.grid import WHOLE_FILES
from holdfast.chunking.cutting import CUTTINGS, Cutting
from holdfast.chunking.params import Profile
from holdfast.policy.prices import PriceTable

MIB = 1 << 20
GIB = 1 << 30
PRICES = PriceTable(
    provider="here",
    date=datetime.date(2026, 1, 1),
    currency="EUR",
    per_1000_requests={"put": 10.0},
    sent=0.5,
    stored_month=0.02,
)
DUMP = CUTTINGS[Profile.DUMP]
FILES = CUTTINGS[Profile.FILES]


@pytest.mark.parametrize(
    ("cutting", "slice_size", "level", "chunks", "megabytes"),
    [
        (DUMP, 256 << 10, 3, 97_492, 141.2),
        (DUMP, MIB, 3, 102_413, 152.9),
        (DUMP, 4 * MIB, 3, 102_000, 179.4),
        (FILES, MIB, 3, 2_390, 91.8),
        (FILES, MIB, 12, 2_390, 110.4),
        (FILES, MIB, 3, 51_546, 128.4),
        (FILES, MIB, 3, 86_986, 139.8),
        (DUMP, MIB, 3, 410_302, 219.5),
    ],
)
def test_memory_is_what_was_measured(
    cutting: Cutting, slice_size: int, level: int, chunks: int, megabytes: float
) -> None:
    """Peaks of backups of a dump of 302 MB and of a kernel's source, with two threads."""
    found = costs.memory_bytes(cutting, slice_size, level, chunks, threads=2)

    assert found == pytest.approx(megabytes * 1e6, rel=0.1)


def test_memory_stays_bounded_however_many_chunks() -> None:
    many = costs.memory_bytes(FILES, MIB, 3, 10**8, threads=2)

    assert many == costs.memory_bytes(FILES, MIB, 3, 10**10, threads=2) < 350 * MIB
    assert costs.memory_bytes(WHOLE_FILES, MIB, 3, 10, threads=2) < 100 * MIB


def test_index_is_proportional_to_chunks() -> None:
    assert costs.index_bytes(10_000_000) == 750_000_000


def test_each_version_ends_its_packs() -> None:
    added = [100.0 * MIB, 1.0, 0.0]

    assert costs.count_objects(added, [1000.0, 1.0, 0.0]) == (2 + 3) + (1 + 3) + (0 + 3)
    assert costs.count_objects([0.0], [600_000.0]) == 3 + 2
    assert costs.count_put_requests(12, 3) == 12 + 6


def test_price_is_of_requests_of_bytes_sent_and_of_months() -> None:
    found = costs.price(100 * GIB, 2000, PRICES)

    assert found.once == pytest.approx(2 * 10 + 100 * 0.5)
    assert found.month == pytest.approx(2.0)
