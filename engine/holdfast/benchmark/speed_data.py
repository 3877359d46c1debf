"""The bytes that stages are measured with: a seeded mix, or a part of the user's own files.

Compressors, chunkers and disks are fast or slow by what they are given. Of the user's files those
pieces are taken that slices of a backup would hold: the files in the order of a walk are one
stream, and of it every n-th MiB is read, all of it if it is small. Two walks find them, the
first for the sum of all sizes, so that memory does not depend on the number of files.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from holdfast.benchmark.speed_report import DataFacts
from holdfast.errors import ConfigurationError
from holdfast.findings import Finding
from holdfast.fs.source import NO_ATIME, OPEN_FLAGS, data_extents, describe, display, list_names
from holdfast.progress import Progress

WINDOW: Final = 1 << 20
"""Bytes that are taken at one place: the usual size of a slice."""
MOST_BYTES: Final = 64 << 20
_MOST_FILES: Final = 2000
"""Taken of the user's own, about: of small ones fewer bytes do."""
_LEAST_BYTES: Final = 4 << 20
_BLOCK: Final = 512
"""Unit of `st_blocks`."""
_MOST_EXTENTS: Final = 10_000
"""Of a sparse file; what lies behind them is left out."""
_INLINE: Final = 4096
"""Files up to this size may lie in their inode and have no block."""
_LOOK: Final = 256
"""Entries between two looks at the clock."""
_RANDOM_SHARE: Final = 4
"""One seeded byte in so many is random, the others are text."""
SMALL_FILE: Final = 4 << 10
_SMALL_SHARE: Final = 16
"""One seeded byte in so many lies in small files."""
_SEED: Final = 7
_READ_FACTOR: Final = 3
"""The second walk reads, and may take so many times as long as the first."""
_HINT: Final = "name other files, or leave --data out to measure with seeded data"
_WORDS: Final = 4000
"""Different words, and as many phrases."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A file, or a part of a long one, that was read."""

    path: bytes
    """Empty for seeded data."""
    offset: int
    """In the file, holes included."""
    start: int
    """Of its bytes in `SpeedData.content`."""
    end: int


@dataclass(frozen=True, slots=True)
class SpeedData:
    """Bytes to measure with, and where they are from."""

    content: memoryview
    pieces: tuple[Piece, ...]
    """In the order of `content`, without gaps."""
    facts: DataFacts

    def blocks(self, size: int) -> tuple[memoryview, ...]:
        """Return the content in blocks of `size` bytes; the last may be shorter.

        They come in an order in which any first few of them are spread over the whole.
        """
        blocks = [self.content[at : at + size] for at in range(0, len(self.content), size)]
        seeded_draw(_SEED).shuffle(blocks)
        return tuple(blocks)


def seeded_draw(seed: int) -> random.Random:
    """Return what draws the same in every run; for nothing that is to be secret."""
    return random.Random(seed)  # noqa: S311


def seeded_data(size: int = MOST_BYTES) -> SpeedData:
    """Return `size` bytes, three quarters of them text-like and one random, always the same.

    A sixteenth lies in files of 4 KiB, the rest in files of 1 MiB; no two pieces are equal, and
    every slice has the same mix.
    """
    draw = seeded_draw(_SEED)
    text = _text(draw, WINDOW)
    content = bytearray()
    pieces: list[Piece] = []
    letters = b""
    while len(content) < size:
        if len(content) % WINDOW == 0:
            letters = _other_letters(draw)
        is_small = len(content) % (_SMALL_SHARE * WINDOW) < WINDOW
        length = min(SMALL_FILE if is_small else WINDOW, size - len(content))
        start = len(content)
        content += _seeded_piece(draw, text, length, letters)
        pieces.append(Piece(b"", 0, start, len(content)))
    facts = DataFacts(
        is_own=False, size=size, files=len(pieces), mean_file_bytes=size / len(pieces)
    )
    return SpeedData(memoryview(content).toreadonly(), tuple(pieces), facts)


def _text(draw: random.Random, size: int) -> bytes:
    """Return lines of words, phrases that come again, and numbers.

    Words and phrases follow Zipf's law. zstd takes as long for it as for source code, and makes
    as much of it, at low levels and at high ones.
    """
    letters = "etaoinshrdlcumwfgypbvkjxqz"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 10))) for _ in range(_WORDS)]
    zipf = [1 / (rank + 1) for rank in range(_WORDS)]
    phrases = [" ".join(draw.choices(words, zipf, k=draw.randint(2, 9))) for _ in range(_WORDS)]
    count = size // 20
    parts = zip(
        draw.choices(words, zipf, k=count),
        draw.choices(phrases, zipf, k=count),
        draw.choices((" ", ", ", ".\n", ";\n\t", "\n", " = "), k=count),
        strict=True,
    )
    text = "".join(
        f"{word} {phrase if number % 3 else draw.randrange(100_000)}{end}"
        for number, (word, phrase, end) in enumerate(parts)
    )
    return text.encode()[:size]


def _seeded_piece(draw: random.Random, text: bytes, length: int, letters: bytes) -> bytes:
    noise = length // _RANDOM_SHARE
    at = draw.randrange(len(text) - length + noise)
    return text[at : at + length - noise].translate(letters) + draw.randbytes(noise)


def _other_letters(draw: random.Random) -> bytes:
    """Return a table that gives letters other meanings: the text stays as compressible."""
    alphabet = bytes(range(ord("a"), ord("z") + 1))
    return bytes.maketrans(alphabet, bytes(draw.sample(alphabet, len(alphabet))))


def own_data(
    path: bytes, *, now_s: Callable[[], float], most_s: float, progress: Progress
) -> SpeedData:
    """Read the pieces of a file or a directory that are to stand for it.

    Args:
        path: followed if it is a symbolic link; nothing below it is.
        now_s: monotonic time.
        most_s: seconds after which a walk stops; what it saw by then stands for the whole.
        progress: is told of what cannot be read.

    Raises:
        ConfigurationError: there is nothing of that name, or it holds nothing that can be read.
    """
    reader = _Reader(progress)
    try:
        path = os.path.realpath(path)
        os.lstat(path)
    except OSError as error:
        raise ConfigurationError(
            f"{display(path)} cannot be read: {describe(error)}", _HINT
        ) from error
    total = files = 0
    for _, size in _sized_files(path, reader.on_error, now_s, now_s() + most_s):
        total += size
        files += 1
    if files:
        reader.most_bytes = min(MOST_BYTES, max(_LEAST_BYTES, _MOST_FILES * total // files))
    # What cannot be read has been told once.
    for file_path, size in _sized_files(path, _ignore, now_s, now_s() + _READ_FACTOR * most_s):
        reader.take(file_path, size, total)
        if reader.is_full:
            break
    if not reader.content:
        raise ConfigurationError(f"{display(path)} holds no data that can be read", _HINT)
    facts = DataFacts(
        is_own=True,
        size=len(reader.content),
        files=files,
        mean_file_bytes=total / files,
        unreadable=reader.unreadable,
    )
    return SpeedData(memoryview(reader.content).toreadonly(), tuple(reader.pieces), facts)


@dataclass(slots=True)
class _Reader:
    """Reads every n-th window of the stream that all files make."""

    progress: Progress
    content: bytearray = field(default_factory=bytearray)
    pieces: list[Piece] = field(default_factory=list)
    most_bytes: int = MOST_BYTES
    unreadable: int = 0
    _position: int = 0
    """In the stream: where the next file begins."""
    _window: int = 0
    """Number of the window that is read next."""

    @property
    def is_full(self) -> bool:
        return len(self.content) >= self.most_bytes or len(self.pieces) >= 2 * _MOST_FILES

    def on_error(self, path: bytes, error: OSError) -> None:
        self.unreadable += 1
        self.progress.finding(Finding(display(path), describe(error)))

    def take(self, path: bytes, size: int, total: int) -> None:
        """Read what the windows want of the next file of the stream."""
        begin, end = self._position, self._position + size
        self._position = end
        stride = max(WINDOW, total * WINDOW // self.most_bytes)
        spans: list[tuple[int, int]] = []
        while (start := self._window * stride) < end:
            first, last = max(start, begin), min(start + WINDOW, end)
            if first < last:
                spans.append((first - begin, last - first))
            if start + WINDOW > end:
                break
            self._window += 1
        if not spans or self.is_full:
            return
        try:
            self._read(path, spans)
        except OSError as error:
            self.on_error(path, error)

    def _read(self, path: bytes, spans: list[tuple[int, int]]) -> None:
        descriptor = open_quietly(path)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return
            for offset, length in _extents(descriptor, status, spans):
                room = self.most_bytes - len(self.content)
                data = os.pread(descriptor, min(length, room), offset)
                if data:  # else it shrank, or the content is full
                    start = len(self.content)
                    self.content += data
                    self.pieces.append(Piece(path, offset, start, len(self.content)))
        finally:
            os.close(descriptor)


def open_quietly(path: bytes) -> int:
    """Open a file for reading; its access time stays as it is where that is allowed.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        return os.open(path, OPEN_FLAGS | NO_ATIME)
    except PermissionError:
        return os.open(path, OPEN_FLAGS)


def _extents(
    descriptor: int, status: os.stat_result, spans: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) in a file of spans that were counted without its holes.

    Args:
        descriptor: of the file.
        status: its fstat.
        spans: offset and length among the bytes of its data, ascending.
    """
    if data_size(status) >= status.st_size:
        yield from spans
        return
    extents = list(islice(data_extents(descriptor, status.st_size), _MOST_EXTENTS))
    for first, length in spans:
        passed = 0
        for offset, size in extents:
            begin, end = max(first, passed), min(first + length, passed + size)
            if begin < end:
                yield offset + begin - passed, end - begin
            passed += size


def data_size(status: os.stat_result) -> int:
    """Return the bytes of a file without its holes."""
    if status.st_blocks == 0 and status.st_size <= _INLINE:
        return status.st_size
    return min(status.st_size, status.st_blocks * _BLOCK)


def _sized_files(
    path: bytes,
    on_error: Callable[[bytes, OSError], None],
    now_s: Callable[[], float],
    until_s: float,
) -> Iterator[tuple[bytes, int]]:
    """Yield regular files that are not empty, with their sizes, in the order of a walk."""
    waiting = [path]
    seen = 0
    while waiting:
        seen += 1
        if seen % _LOOK == 0 and now_s() >= until_s:
            return
        entry = waiting.pop()
        try:
            status = os.lstat(entry)
            if stat.S_ISDIR(status.st_mode):
                prefix = entry.rstrip(b"/") + b"/"
                waiting += [prefix + name for name in reversed(list_names(entry))]
                continue
        except OSError as error:
            on_error(entry, error)
            continue
        if stat.S_ISREG(status.st_mode) and (size := data_size(status)):
            yield entry, size


def _ignore(_path: bytes, _error: OSError) -> None:
    """Say nothing."""
