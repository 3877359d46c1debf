"""Reading ahead changes when the kernel reads, never what the walk sees."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast.fs.read_ahead import ReadAhead


def _disk_reads(monkeypatch: pytest.MonkeyPatch, blocks: list[int]) -> None:
    values = iter(blocks)
    monkeypatch.setattr(
        resource, "getrusage", lambda _who: SimpleNamespace(ru_inblock=next(values))
    )


def test_names_come_in_order_and_whole_while_the_disk_is_cold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [b"%05d" % number for number in range(1000)]
    for name in names[:50]:
        (tmp_path / os.fsdecode(name)).write_bytes(b"content")
    (tmp_path / "00100").mkdir()
    (tmp_path / "00100" / "below").write_bytes(b"content")
    _disk_reads(monkeypatch, [0, 10_000, 10_000])
    with ReadAhead() as ahead:
        ahead.observe()
        prefix = os.fsencode(tmp_path) + b"/"
        # Most of these do not exist: the threads must take that in silence.
        assert list(ahead.names(prefix, names, content=True)) == names


def test_no_thread_is_started_while_caches_are_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    _disk_reads(monkeypatch, [0, 8, 16])
    before = threading.active_count()
    with ReadAhead() as ahead:
        ahead.observe()
        ahead.observe()
        assert threading.active_count() == before
        assert list(ahead.names(b"/", [b"b", b"a"], content=True)) == [b"b", b"a"]


def test_threads_end_with_the_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    _disk_reads(monkeypatch, [0, 10_000])
    before = threading.active_count()
    with ReadAhead() as ahead:
        ahead.observe()
        assert threading.active_count() > before
    assert threading.active_count() == before


def test_files_are_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    os.utime(file, ns=(1_000_000_000, 1_000_000_000))
    _disk_reads(monkeypatch, [0, 10_000])
    with ReadAhead() as ahead:
        ahead.observe()
        assert list(ahead.names(os.fsencode(tmp_path) + b"/", [b"file"], content=True)) == [b"file"]
    assert file.stat().st_atime_ns == 1_000_000_000
