"""Storage that breaks a promise: what doctor, init and prune must see through."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress

from holdfast.backends.base import Backend, ObjectInfo
from holdfast.backends.local import LocalBackend
from holdfast.backends.location import Location
from holdfast.backends.memory import MemoryBackend
from holdfast.backends.options import StorageOptions
from holdfast.errors import AccessDeniedError, NotFoundError
from holdfast.hashing import Bytes


class Overwriting(MemoryBackend):
    """Takes no notice of "only if absent"."""

    def create(self, name: str, data: Bytes) -> None:
        with suppress(NotFoundError):
            super().delete(name)
        super().create(name, data)


class OverwritingDirectory(LocalBackend):
    """The same in a directory."""

    def create(self, name: str, data: Bytes) -> None:
        with suppress(NotFoundError):
            super().delete(name)
        super().create(name, data)


def open_overwriting(location: Location, options: StorageOptions) -> Backend:
    """For `registry.FACTORIES`."""
    del options
    return OverwritingDirectory(location.path)


class Racy(MemoryBackend):
    """Looks whether the name is taken, and writes a moment later."""

    def create(self, name: str, data: Bytes) -> None:
        with suppress(NotFoundError):
            self.read(name)
            super().create(name, data)  # which refuses
        time.sleep(0.01)
        with suppress(NotFoundError):
            super().delete(name)
        super().create(name, data)


class LastWins(MemoryBackend):
    """Refuses all but the first of several creations, and keeps what the last one brought."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def create(self, name: str, data: Bytes) -> None:
        with self.lock:
            try:
                super().create(name, data)
            except BaseException:
                super().delete(name)
                super().create(name, data)
                raise


class WrongRanges(MemoryBackend):
    """Serves the bytes before those that were asked for, except at the beginning."""

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        return super().read_range(name, max(0, offset - 1), length)


class LateReads(MemoryBackend):
    """An object cannot be read by the first who asks."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def read(self, name: str) -> bytes:
        if name not in self.asked:
            self.asked.add(name)
            raise NotFoundError(self.location, name)
        return super().read(name)


class LateListing(MemoryBackend):
    """A listing is that of a moment ago."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[ObjectInfo] = []

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        before, self.before = self.before, list(super().list(""))
        return (info for info in before if info.name.startswith(prefix))


class Ghosts(MemoryBackend):
    """Deleted objects stay in listings."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: list[ObjectInfo] = []

    def delete(self, name: str) -> None:
        self.gone += [info for info in super().list("") if info.name == name]
        super().delete(name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        yield from super().list(prefix)
        yield from (info for info in self.gone if info.name.startswith(prefix))


class Hoarding(MemoryBackend):
    """Deleted objects can still be read."""

    def delete(self, name: str) -> None:
        self.size(name)


class ShortNames(MemoryBackend):
    """Only the first 200 characters of a name count."""

    def create(self, name: str, data: Bytes) -> None:
        super().create(name[:200], data)

    def read(self, name: str) -> bytes:
        return super().read(name[:200])

    def delete(self, name: str) -> None:
        super().delete(name[:200])


class NoEmptyObjects(MemoryBackend):
    """An object without a byte is not kept."""

    def create(self, name: str, data: Bytes) -> None:
        if len(data):
            super().create(name, data)


class Padding(MemoryBackend):
    """Large objects are filled up."""

    def create(self, name: str, data: Bytes) -> None:
        super().create(name, bytes(data) + b"\0" * (len(data) > 4096))


class AppendOnly(MemoryBackend):
    """May not delete."""

    def delete(self, name: str) -> None:
        raise AccessDeniedError(self.location, name, "no right to delete")
