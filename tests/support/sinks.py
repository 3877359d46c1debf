"""A stream sink and stored files in memory: what a source of a database hands over, and back.

The sink is as strict as the real one: a path is stored once, and outside of a stream nothing is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from holdfast.chunking import Profile
from holdfast.errors import PathNotFoundError
from holdfast.findings import Finding
from holdfast.sources.base import STREAM_META, FileMeta, ReadInto


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that a sink was given."""

    data: bytes
    profile: Profile
    meta: FileMeta
    label: str


class _Writer:
    def __init__(self, store: Callable[[bytes], None]) -> None:
        self._store = store
        self._pieces: list[bytes] = []

    def write(self, data: bytes | memoryview) -> None:
        self._pieces.append(bytes(data))

    def close(self) -> None:
        self._store(b"".join(self._pieces))


@dataclass
class MemorySink:
    """Keeps everything. Buffers have an odd size, so that no source relies on one."""

    files: dict[bytes, StoredFile] = field(default_factory=dict)
    entries: dict[bytes, FileMeta] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    buffer_size: int = 65_521
    before_read: Callable[[bytes, int], None] = lambda path, place: None
    """Called with the path, and how much of it came, before each read."""
    _label: str | None = None

    @contextmanager
    def stream(self, label: str) -> Iterator[None]:
        assert self._label is None, "a stream in a stream"
        self._label = label
        self.labels.append(label)
        try:
            yield
        finally:
            self._label = None

    def add(
        self, path: bytes, readinto: ReadInto, profile: Profile, meta: FileMeta = STREAM_META
    ) -> int:
        pieces: list[bytes] = []
        buffer = bytearray(self.buffer_size)
        place = 0
        while True:
            self.before_read(path, place)
            count = readinto(memoryview(buffer))
            if not count:
                break
            assert 0 < count <= len(buffer)
            pieces.append(bytes(buffer[:count]))
            place += count
        self._keep(path, b"".join(pieces), profile, meta)
        return place

    def _keep(self, path: bytes, data: bytes, profile: Profile, meta: FileMeta) -> None:
        assert self._label is not None, "outside of a stream"
        assert path not in self.files, path
        assert not {b"", b".", b".."}.intersection(path.split(b"/")), path
        self.files[path] = StoredFile(data, profile, meta, self._label)

    def add_entry(self, path: bytes, meta: FileMeta) -> None:
        self.entries[path] = meta

    def open(self, path: bytes, profile: Profile, meta: FileMeta = STREAM_META) -> _Writer:
        return _Writer(lambda data: self._keep(path, data, profile, meta))

    def finding(self, finding: Finding) -> None:
        self.findings.append(finding)

    def note(self, name: str, value: str) -> None:
        self.properties[name] = value

    def stored(self) -> MemoryFiles:
        """Return what a restore would read."""
        return MemoryFiles({path: file.data for path, file in self.files.items()}, self.properties)


@dataclass
class MemoryFiles:
    """Files of a snapshot."""

    files: dict[bytes, bytes]
    properties: Mapping[str, str] = field(default_factory=dict)

    def names(self, path: bytes) -> Sequence[bytes]:
        start = path + b"/" if path else b""
        inside = (name[len(start) :] for name in self.files if name.startswith(start))
        return sorted({name.split(b"/")[0] for name in inside})

    def has(self, path: bytes) -> bool:
        return path in self.files or bool(self.names(path))

    def size(self, path: bytes) -> int:
        return len(self._find(path))

    def read(self, path: bytes) -> Iterator[bytes]:
        data = self._find(path)
        for start in range(0, len(data), 100_003):
            yield data[start : start + 100_003]

    def _find(self, path: bytes) -> bytes:
        if path not in self.files:
            raise PathNotFoundError("memory", os.fsdecode(path))
        return self.files[path]

    def extract(self, path: bytes, target: str) -> None:
        start = path + b"/" if path else b""
        os.makedirs(target, exist_ok=True)
        for name, data in self.files.items():
            if name.startswith(start):
                place = os.path.join(os.fsencode(target), name[len(start) :])
                os.makedirs(os.path.dirname(place), exist_ok=True)
                with open(place, "wb") as file:
                    file.write(data)
