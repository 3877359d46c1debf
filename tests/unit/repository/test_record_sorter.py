"""Sorting more records than memory holds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from holdfast.repository import record_sorter
from holdfast.repository.record_sorter import RecordSorter


@pytest.mark.parametrize("held", [1, 7, 100, 10_000])
def test_records_come_back_in_order(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_sorter, "_IN_MEMORY", held)
    chance = random.Random(held)
    records = [chance.randbytes(9) for _ in range(500)] + [b"\xff" * 9, bytes(9), bytes(9)]
    with RecordSorter(str(tmp_path), 9) as sorter:
        for at in range(0, len(records), 13):
            sorter.extend(records[at : at + 13])
        found = [record for batch in sorter.sorted() for record in batch]
    assert found == sorted(records)
    assert list(tmp_path.iterdir()) == []


def test_nothing_gives_nothing(tmp_path: Path) -> None:
    with RecordSorter(str(tmp_path), 9) as sorter:
        assert [record for batch in sorter.sorted() for record in batch] == []
