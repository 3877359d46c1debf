"""A source whose backup is a function of the test, and the files it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from holdfast.chunking import Profile
from holdfast.operations.backup import BackupOptions
from holdfast.operations.stored_database import StoredDatabase
from holdfast.sources.base import Method, ReadInto, StreamSink

OPTIONS: Final = BackupOptions(host="host", user="user")


class ScriptedSource:
    """Does what it is told, each time it is run.

    Args:
        script: gets the sink and the number of the run, from 1.
        paths: parts of the snapshot that it fills.
        method: how it says that it saves.
    """

    kind = "sqlite"

    def __init__(
        self,
        script: Callable[[StreamSink, int], object],
        *,
        paths: tuple[bytes, ...] = (b"",),
        method: Method = Method.LOGICAL,
    ) -> None:
        self.method = method
        self.runs = 0
        self._script = script
        self._paths = paths

    def check(self) -> str:
        return "1.2"

    def paths(self) -> tuple[bytes, ...]:
        return self._paths

    def plan(self) -> Sequence[str]:
        return ["a script"]

    def backup(self, sink: StreamSink) -> None:
        self.runs += 1
        self._script(sink, self.runs)


def reading(data: bytes, most: int = 1 << 20) -> ReadInto:
    """Return what gives these bytes, at most so many at once."""
    position = 0

    def readinto(view: memoryview) -> int:
        nonlocal position
        piece = data[position : position + min(most, len(view))]
        view[: len(piece)] = piece
        position += len(piece)
        return len(piece)

    return readinto


def storing(
    files: Mapping[bytes, bytes], profile: Profile = Profile.DUMP
) -> Callable[[StreamSink, int], None]:
    """Return a script that stores files, each as a stream of its own."""

    def script(sink: StreamSink, run: int) -> None:
        for path, data in files.items():
            with sink.stream(path.decode("utf-8", "backslashreplace")):
                sink.add(path, reading(data), profile)

    return script


def iter_files(files: StoredDatabase, directory: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """Yield path and content of every file, by nothing but the protocol."""
    for name in files.names(directory):
        path = directory + b"/" + name if directory else name
        below = list(iter_files(files, path))
        if below or files.names(path):
            yield from below
        else:
            yield path, b"".join(files.read(path))
