"""Names of the directories above snapshots."""

from __future__ import annotations

from datetime import timedelta, timezone

import msgspec
import pytest

from holdfast.vfs.names import NamesKept, file_name, short_names, time_names
from support.snapshots import NS, snapshot_at


def test_snapshots_are_called_by_their_time() -> None:
    assert time_names([snapshot_at(0), snapshot_at(90_061)]) == [
        b"1970-01-01T00-00-00",
        b"1970-01-02T01-01-01",
    ]
    east = timezone(timedelta(hours=2))
    assert time_names([snapshot_at(0)], east) == [b"1970-01-01T02-00-00"]


def test_equal_names_are_numbered() -> None:
    several = [snapshot_at(0), snapshot_at(0), snapshot_at(0, partial=True), snapshot_at(0)]
    assert time_names(several) == [
        b"1970-01-01T00-00-00",
        b"1970-01-01T00-00-00-2",
        b"1970-01-01T00-00-00-partial",
        b"1970-01-01T00-00-00-3",
    ]


def test_names_that_were_given_stay() -> None:
    """Also when those before them are forgotten, and none is given to another tree."""
    one, two, three = (
        msgspec.structs.replace(snapshot_at(0), root=bytes([number]) * 32) for number in range(3)
    )
    kept: NamesKept = {}
    first, second, third = (b"1970-01-01T00-00-00" + end for end in (b"", b"-2", b"-3"))
    assert time_names([one, two], kept=kept) == [first, second]
    assert time_names([two], kept=kept) == [second]
    assert time_names([three, two], kept=kept) == [third, second]
    assert time_names([one, three, two], kept=kept) == [first, third, second]
    tagged = msgspec.structs.replace(two, id="f" * 32, tags=("new",))
    assert time_names([tagged], kept=kept) == [second]  # the same tree


def test_names_of_equal_snapshots_do_not_wander() -> None:
    kept: NamesKept = {}
    alike = [snapshot_at(0)] * 3
    names = time_names(alike, kept=kept)
    assert len(set(names)) == 3
    assert all(time_names(alike, kept=kept) == names for _ in range(3))


def test_years_that_calendars_do_not_know() -> None:
    far = msgspec.structs.replace(snapshot_at(0), time_ns=2**70)
    assert time_names([far]) == [b"@%d" % (2**70 // NS)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pc", b"pc"),
        ("a/b", b"a_b"),
        ("", b"_"),
        (".", b"_"),
        ("..", b"__"),
        ("nul\0", b"nul_"),
        ("ü", "ü".encode()),
        ("x" * 300, b"x" * 255),
    ],
)
def test_anything_becomes_a_file_name(text: str, expected: bytes) -> None:
    assert file_name(text) == expected


def test_short_ids_are_long_enough_to_tell_apart() -> None:
    first, second, third = "a" * 32, "a" * 14 + "b" * 18, "c" * 32
    assert short_names([first, third]) == {first: b"a" * 12, third: b"c" * 12}
    assert short_names([first, second]) == {first: b"a" * 15, second: b"a" * 14 + b"b"}
