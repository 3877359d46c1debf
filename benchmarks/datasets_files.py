"""Trees of files on several nights: many small ones, and media that cannot be compressed.

A night begins as hard links to the one before; what changes is written anew under its name, so
that unchanged files take no second place on the disk. Everything follows from fixed seeds.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from corpus import SEED, Text
from measure import Command, output_of

_SMALL_COUNT: Final = 100_000
_SMALL_IN_DIRECTORY: Final = 250
_SMALL_LENGTH: Final = (6.6, 1.2)
"""Mean and deviation of the logarithm: half are below 735 bytes, the mean is 1.5 kB."""
_MOST_SMALL: Final = 100_000
_WORD_LENGTH: Final = 6.5

_PHOTOS: Final = 170
_PHOTO_LENGTH: Final = (2_000_000, 6_000_000)
_VIDEOS: Final = 8
_VIDEO_LENGTH: Final = (30_000_000, 90_000_000)
_ALBUM: Final = 40
"""Photos in a directory."""
_HEADER: Final = 4096
_PIECE: Final = 1 << 20


def make_small(root: Path, nights: int, scale: float) -> None:
    """Write trees of 100,000 text files (times the scale).

    Cost: about 30 s and 0.6 GB of disk at full scale.
    """
    text, source = Text(SEED), random.Random(SEED)
    count = max(500, round(_SMALL_COUNT * scale))
    for number in range(count):
        _write(root / "night-1" / _small_name(number), _small_body(source, text))
    for night in range(2, nights + 1):
        tree = _linked(root, night)
        _change_small(tree, random.Random(SEED * 100 + night), text, count, night)


def make_media(root: Path, nights: int, scale: float) -> None:
    """Write photos of 2 to 6 MB and videos of 30 to 90 MB, 1.2 GB together (times the scale).

    Cost: about 10 s at full scale.
    """
    source = random.Random(SEED + 1)
    # Small scales make fewer files, very small ones shorter files too.
    shrink = min(1.0, 10 * scale)
    photos, videos = max(8, round(_PHOTOS * scale)), max(2, round(_VIDEOS * scale))
    first = root / "night-1"
    for number in range(photos):
        _add_photo(first, number, source, shrink)
    for number in range(videos):
        _add_video(first, number, source, shrink)
    for night in range(2, nights + 1):
        changes = random.Random(SEED * 200 + night)
        _change_media(_linked(root, night), changes, shrink, night)


def _linked(root: Path, night: int) -> Path:
    """Return a new night that holds everything of the one before by hard links."""
    tree = root / f"night-{night}"
    output_of(Command(arguments=("cp", "-al", str(root / f"night-{night - 1}"), str(tree))))
    return tree


def _write(path: Path, *pieces: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Never into the file that an earlier night has under the same inode.
    path.unlink(missing_ok=True)
    with open(path, "wb") as file:
        file.writelines(pieces)


def _small_name(number: int) -> str:
    group = number // _SMALL_IN_DIRECTORY
    return f"{group // 64:02d}/{group % 64:02d}/{number:07d}.txt"


def _small_body(source: random.Random, text: Text) -> bytes:
    length = min(_MOST_SMALL, int(source.lognormvariate(*_SMALL_LENGTH)))
    return f"{text.words(source, 1 + int(length / _WORD_LENGTH))}\n".encode("ascii")


def _change_small(tree: Path, source: random.Random, text: Text, count: int, night: int) -> None:
    """Change, move or remove 1.5 % of the first night's files, and add 0.5 %."""
    for number in range(count):
        fate = source.random()
        path = tree / _small_name(number)
        if fate >= 0.015 or not path.exists():
            continue
        if fate < 0.010:
            _write(path, path.read_bytes(), f"edited in night {night}\n".encode("ascii"))
        elif fate < 0.012:
            path.rename(path.with_name(f"moved-{night}-{path.name}"))
        else:
            path.unlink()
    for number in range(count // 200):
        _write(tree / f"new-{night}" / f"{number:05d}.txt", _small_body(source, text))


def _header(kind: str, date: int, source: random.Random, length: int = _HEADER) -> bytes:
    """Return what tells a file's kind and date, filled up with random bytes like a thumbnail."""
    words = f"{kind}; taken on day {date}; camera 7\n".encode("ascii")
    return words + source.randbytes(length - len(words))


def _random(source: random.Random, length: int) -> Iterator[bytes]:
    for begin in range(0, length, _PIECE):
        yield source.randbytes(min(_PIECE, length - begin))


def _length(source: random.Random, bounds: tuple[int, int], shrink: float) -> int:
    return int(source.randint(*bounds) * shrink)


def _add_photo(tree: Path, number: int, source: random.Random, shrink: float) -> None:
    path = tree / "photos" / f"album-{number // _ALBUM:03d}" / f"{number:05d}.jpg"
    body = _random(source, _length(source, _PHOTO_LENGTH, shrink))
    _write(path, _header("photo", number, source), *body)


def _add_video(tree: Path, number: int, source: random.Random, shrink: float) -> None:
    path = tree / "videos" / f"{number:04d}.mp4"
    body = _random(source, _length(source, _VIDEO_LENGTH, shrink))
    _write(path, _header("video", number, source), *body)


def _change_media(tree: Path, source: random.Random, shrink: float, night: int) -> None:
    """Rename 3 % of the photos, give 4 % and a video a new header, add 6 % and a video."""
    photos = sorted((tree / "photos").rglob("*.jpg"))
    for path in source.sample(photos, max(1, len(photos) * 3 // 100)):
        target = tree / "photos" / f"chosen-{night}" / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    photos = sorted((tree / "photos").rglob("*.jpg"))
    for number, path in enumerate(source.sample(photos, max(2, len(photos) * 4 // 100))):
        # Every other header grows, which moves all that follows.
        _replace_header(path, "photo", source, night, grown=number % 2 * 1234)
    _replace_header(source.choice(sorted((tree / "videos").iterdir())), "video", source, night, 777)
    for number in range(max(1, len(photos) * 6 // 100)):
        _add_photo(tree, night * 10_000 + number, source, shrink)
    _add_video(tree, night * 1000, source, shrink)


def _replace_header(path: Path, kind: str, source: random.Random, night: int, grown: int) -> None:
    body = path.read_bytes()[_HEADER:]
    _write(path, _header(kind, night, source, _HEADER + grown), body)
    os.utime(path)
