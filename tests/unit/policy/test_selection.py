"""Which snapshot is meant, and which one is the parent."""

from __future__ import annotations

import pytest

from holdfast.errors import AmbiguousSnapshotError, ConfigurationError, SnapshotNotFoundError
from holdfast.format.snapshot import Snapshot
from holdfast.policy.selection import SnapshotFilter, choose_parent, resolve, select


def snapshot(
    number: int, host: str = "h", paths: tuple[bytes, ...] = (b"/a",), **more: object
) -> Snapshot:
    values = {"user": "u", "root": bytes(32), "time_ns": number, **more}
    return Snapshot(id=f"{number:032x}", host=host, raw_paths=paths, **values)  # type: ignore[arg-type]


ALL = [
    snapshot(0x1, tags=("x",)),
    snapshot(0x10 << 120, host="other", tags=("x", "y")),
    snapshot(0x11 << 120, paths=(b"/a", b"/b")),
    snapshot(0x20 << 120, partial=True),
]
ANY = SnapshotFilter()


def test_latest_is_the_newest_whole_one_that_fits() -> None:
    assert resolve(ALL, "latest", ANY) == ALL[2]
    assert resolve(ALL, "latest", SnapshotFilter(hosts=("other",))) == ALL[1]
    assert resolve(ALL, "latest", SnapshotFilter(tags=("x",))) == ALL[1]
    assert resolve(ALL[3:], "latest", ANY) == ALL[3], "a partial one is better than none"
    with pytest.raises(SnapshotNotFoundError, match="tag z"):
        resolve(ALL, "latest", SnapshotFilter(tags=("z",)))


def test_ids_by_prefix_whatever_the_filter() -> None:
    assert resolve(ALL, "11", SnapshotFilter(hosts=("nobody",))) == ALL[2]
    assert resolve(ALL, ALL[1].id.upper(), ANY) == ALL[1]
    with pytest.raises(AmbiguousSnapshotError) as caught:
        resolve(ALL, "1", ANY)
    assert caught.value.candidates == (ALL[1].id, ALL[2].id)
    with pytest.raises(SnapshotNotFoundError):
        resolve(ALL, "ff", ANY)
    for name in ("", "last", "g1", "0" * 33):
        with pytest.raises(ConfigurationError):
            resolve(ALL, name, ANY)


def test_filters() -> None:
    assert select(ALL, ANY) == ALL
    assert select(ALL, SnapshotFilter(hosts=("h", "other"))) == ALL
    assert select(ALL, SnapshotFilter(tags=("x", "y"))) == [ALL[1]]
    assert select(ALL, SnapshotFilter(paths=("/a", "/b"))) == [ALL[2]]
    assert str(SnapshotFilter(hosts=("h",), tags=("t",), paths=("/p",))) == "host h, tag t, path /p"


def test_parent() -> None:
    assert choose_parent(ALL, "h", [b"/a"]) == ALL[0], "the same paths, and whole"
    assert choose_parent(ALL, "h", [b"/b", b"/a"]) == ALL[2]
    assert choose_parent(ALL, "h", [b"/b"]) == ALL[2]
    assert choose_parent(ALL[3:], "h", [b"/a"]) == ALL[3]
    assert choose_parent(ALL, "h", [b"/c"]) is None
    assert choose_parent(ALL, "nobody", [b"/a"]) is None
    assert choose_parent([], "h", [b"/a"]) is None
