"""A dry run reads everything and changes nothing."""

from __future__ import annotations

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.dryrun import DiscardingBackend
from holdfast.backends.memory import MemoryBackend
from holdfast.errors import NotFoundError


def test_reads_pass_through() -> None:
    inner = MemoryBackend("attic")
    inner.create("packs/a", b"0123")
    backend: Backend = DiscardingBackend(inner)
    assert backend.read("packs/a") == b"0123"
    assert backend.read_range("packs/a", 1, 2) == b"12"
    assert backend.size("packs/a") == 4
    assert list(backend.list("packs/")) == list(inner.list("packs/"))
    assert backend.location == "attic"
    assert backend.is_remote is False


def test_writes_vanish() -> None:
    inner = MemoryBackend()
    inner.create("kept", b"data")
    backend: Backend = DiscardingBackend(inner)
    backend.initialize()
    backend.create("a", b"data")
    for end in ("commit", "abort"):
        writer = backend.open_writer("b")
        writer.write(b"data")
        getattr(writer, end)()
    backend.delete("kept")
    backend.close()
    assert [info.name for info in inner.list("")] == ["kept"]
    for name in ("a", "b"):
        with pytest.raises(NotFoundError):
            backend.read(name)


def test_bad_names_are_found_by_a_dry_run_too() -> None:
    backend = DiscardingBackend(MemoryBackend())
    for call in (lambda: backend.create("A", b""), lambda: backend.open_writer("A")):
        with pytest.raises(ValueError, match="not the name"):
            call()
    with pytest.raises(ValueError, match="not the name"):
        backend.delete("A")
