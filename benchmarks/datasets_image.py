"""The image of a disk on several nights: an ext4 file system in one sparse file.

It is filled without mounting it, so no rights are needed and the same bytes come out as far as
mke2fs allows: documents, archives that cannot be compressed, logs, and tables of a database. Each
night replaces, removes and adds documents and logs through debugfs, which allocates blocks as a
file system does, and overwrites pages of the tables where they lie, as a database does.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from corpus import SEED, Text
from measure import Command, output_of

IMAGE: Final = "disk.img"
_SIZE: Final = 1500 << 20
_BLOCK: Final = 4096
_PAGE: Final = 8192
_DOCUMENTS: Final = 12_000
_DOCUMENT_WORDS: Final = (100, 6000)
_ARCHIVES: Final = 20
_ARCHIVE_LENGTH: Final = 15_000_000
_LOGS: Final = 16
_LOG_WORDS: Final = 1_200_000
_TABLES: Final = 3
_TABLE_PAGES: Final = 12_000
_CHANGED_PAGES: Final = 0.014
_FIRST_TIME: Final = 1_767_225_600
"""2026-01-01, in seconds: when the first night's file system is made."""
_DAY: Final = 86_400
_IDS: Final = ("6f1c5e0a-5d1b-4c8e-9f60-2f0c8a5f7a01", "6f1c5e0a-5d1b-4c8e-9f60-2f0c8a5f7a02")
"""Of the file system, and of its hashes of names; else mke2fs draws them."""


def make(root: Path, nights: int, scale: float) -> None:
    """Write the images of all nights.

    Cost: a minute, and 1.1 GB of disk for each night, at full scale.

    Raises:
        CommandError: e2fsprogs is missing, or the file system has no room or is damaged.
    """
    text, files = Text(SEED), root / "files"
    counts = _Counts(scale)
    _fill(files, random.Random(SEED + 2), text, counts)
    image = root / "night-1" / IMAGE
    image.parent.mkdir()
    _format(image, files, max(32 << 20, int(_SIZE * scale)))
    for night in range(2, nights + 1):
        before, image = image, root / f"night-{night}" / IMAGE
        image.parent.mkdir()
        output_of(Command(arguments=("cp", "--sparse=always", str(before), str(image))))
        changes = random.Random(SEED * 300 + night)
        _change_files(image, files, changes, text, counts, night)
        _change_tables(image, changes, text, counts)
        output_of(Command(arguments=("e2fsck", "-fn", str(image))))
    shutil.rmtree(files)


class _Counts:
    """How many files and pages there are at a scale."""

    def __init__(self, scale: float) -> None:
        self.documents = max(60, round(_DOCUMENTS * scale))
        self.archives = max(1, round(_ARCHIVES * scale))
        self.logs = max(2, round(_LOGS * scale))
        self.pages = max(100, round(_TABLE_PAGES * scale))
        # Few files are shorter too, or a small scale would not be small.
        self.shrink = min(1.0, 10 * scale)


def _fill(files: Path, source: random.Random, text: Text, counts: _Counts) -> None:
    for number in range(counts.documents):
        _write(files / _document(number), _words(source, text, _DOCUMENT_WORDS))
    for number in range(counts.archives):
        body = source.randbytes(int(_ARCHIVE_LENGTH * counts.shrink))
        _write(files / "archives" / f"{number:03d}.zip", body)
    for number in range(counts.logs):
        _write(files / _log(number), _log_body(source, text, counts))
    for number in range(_TABLES):
        pages = (_page(source, text) for _ in range(counts.pages))
        _write(files / _table(number), *pages)


def _format(image: Path, files: Path, size: int) -> None:
    extended = f"hash_seed={_IDS[1]},lazy_itable_init=1,nodiscard"
    words = ("-q", "-F", "-t", "ext4", "-b", str(_BLOCK), "-m", "0", "-U", _IDS[0], "-E", extended)
    command = ("mke2fs", *words, "-d", str(files), str(image), f"{size // 1024}k")
    output_of(Command(arguments=command, environment=_at_night(1)))
    # It copies the times of the files that were just made, and of these a ctime cannot be set.
    names = sorted(str(path.relative_to(files)) for path in files.rglob("*"))
    _edit(image, (line for name in names for line in _at_first_time(name)), night=1)


def _at_first_time(name: str) -> Iterator[str]:
    """Yield commands of debugfs that set all times of a file."""
    for field in ("atime", "mtime", "ctime"):
        yield f"sif /{name} {field} @{_FIRST_TIME}"
        yield f"sif /{name} {field}_extra 0"


def _at_night(night: int) -> dict[str, str]:
    """Return the setting by which e2fsprogs take a time instead of the clock's."""
    return {"E2FSPROGS_FAKE_TIME": str(_FIRST_TIME + night * _DAY)}


def _change_files(
    image: Path,
    files: Path,
    source: random.Random,
    text: Text,
    counts: _Counts,
    night: int,
) -> None:
    """Replace 2 % of the documents, add 1 %, and turn a log over."""
    removed: list[str] = []
    written: list[str] = []
    for number in source.sample(range(counts.documents), counts.documents // 50):
        removed.append(_document(number))
        written.append(_document(number))
    first_new = counts.documents * night
    written.extend(_document(first_new + k) for k in range(counts.documents // 100))
    removed.append(_log(night - 2))
    written.append(_log(counts.logs + night))
    for name in written:
        is_log = name.startswith("log/")
        body = _log_body(source, text, counts) if is_log else _words(source, text, _DOCUMENT_WORDS)
        _write(files / name, body)
    _edit(image, _script(files, removed, written), night)


def _edit(image: Path, lines: Iterable[str], night: int) -> None:
    """Run commands of debugfs on an image."""
    script = image.with_name("commands")
    script.write_text("\n".join(lines) + "\n", encoding="ascii")
    command = ("debugfs", "-w", "-f", str(script), str(image))
    output_of(Command(arguments=command, environment=_at_night(night)))
    script.unlink()


def _script(files: Path, removed: Iterable[str], written: Iterable[str]) -> Iterator[str]:
    """Yield commands of debugfs; it writes into its working directory only."""
    for name in removed:
        yield f"rm /{name}"
    by_directory: dict[str, list[str]] = defaultdict(list)
    for name in written:
        by_directory[os.path.dirname(name)].append(name)
    made = {os.path.dirname(name) for name in removed}
    for directory, names in by_directory.items():
        if directory not in made:
            yield f"mkdir /{directory}"
        yield f"cd /{directory}"
        for name in names:
            yield f"write {files / name} {os.path.basename(name)}"


def _change_tables(image: Path, source: random.Random, text: Text, counts: _Counts) -> None:
    """Overwrite pages where they lie in the image."""
    with open(image, "r+b", buffering=0) as file:
        for number in range(_TABLES):
            blocks = _blocks(image, _table(number))
            for page in source.sample(
                range(counts.pages), max(1, int(counts.pages * _CHANGED_PAGES))
            ):
                body = _page(source, text)
                for half in range(_PAGE // _BLOCK):
                    file.seek(blocks[page * 2 + half] * _BLOCK)
                    file.write(body[half * _BLOCK : (half + 1) * _BLOCK])


def _blocks(image: Path, name: str) -> list[int]:
    """Return where the blocks of a file lie, in blocks from the image's begin."""
    command = ("debugfs", "-R", f"blocks /{name}", str(image))
    return [int(word) for word in output_of(Command(arguments=command)).split()]


def _write(path: Path, *pieces: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.writelines(pieces)


def _document(number: int) -> str:
    return f"documents-{number % 48:02d}/{number:06d}.txt"


def _log(number: int) -> str:
    return f"log/{number:03d}.log"


def _table(number: int) -> str:
    return f"tables/{number}"


def _words(source: random.Random, text: Text, bounds: tuple[int, int]) -> bytes:
    return text.words(source, source.randint(*bounds)).encode("ascii")


def _log_body(source: random.Random, text: Text, counts: _Counts) -> bytes:
    return text.words(source, int(_LOG_WORDS * counts.shrink)).encode("ascii")


def _page(source: random.Random, text: Text) -> bytes:
    """Return a page of a table: a head that is never the same, rows, and free space."""
    rows = text.words(source, source.randint(600, 1000)).encode("ascii")
    return (source.randbytes(24) + rows)[:_PAGE].ljust(_PAGE, b"\0")
