"""What a base backup says of itself: the label it was begun with, and the manifest at its end.

The label names the segment of the log that recovery begins with. The manifest lists every file with
size and checksum, and the range of the log without which the files do not fit together.

Pure. Source: PostgreSQL 15, "Backup Manifest Format", and src/backend/access/transam/xlogbackup.c.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

_START: Final = re.compile(
    r"^START WAL LOCATION: (?P<lsn>[0-9A-F]+/[0-9A-F]+) \(file (?P<file>[0-9A-F]{24})\)$",
    re.MULTILINE,
)
_START_TIME: Final = re.compile(r"^START TIME: (.+)$", re.MULTILINE)
_LSN: Final = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_NOT_LISTED: Final = ("backup_manifest",)


@dataclass(frozen=True, slots=True)
class BackupLabel:
    """The file backup_label."""

    start_lsn: str
    start_segment: str
    start_time: str
    """As the server writes it, in its own time zone."""


class _Range(msgspec.Struct):
    timeline: int = msgspec.field(name="Timeline")
    start: str = msgspec.field(name="Start-LSN")
    end: str = msgspec.field(name="End-LSN")


class _File(msgspec.Struct):
    size: int = msgspec.field(name="Size")
    path: str | None = msgspec.field(name="Path", default=None)
    encoded: str | None = msgspec.field(name="Encoded-Path", default=None)

    @property
    def name(self) -> str:
        if self.path is not None:
            return self.path
        return bytes.fromhex(self.encoded or "").decode("utf-8", "surrogateescape")


class Manifest(msgspec.Struct):
    """The file backup_manifest, as far as it is needed."""

    files: list[_File] = msgspec.field(name="Files")
    ranges: list[_Range] = msgspec.field(name="WAL-Ranges")

    @property
    def stop_timeline(self) -> int:
        """The timeline that the backup ended on."""
        return self._last.timeline

    @property
    def stop_text(self) -> str:
        """The address in the log that recovery must reach, as PostgreSQL writes it."""
        return self._last.end

    @property
    def stop_lsn(self) -> int:
        """The same, in bytes."""
        return parse_lsn(self._last.end) or 0

    @property
    def _last(self) -> _Range:
        return max(self.ranges, key=lambda part: part.timeline)


def decode_label(content: bytes) -> BackupLabel:
    """Decode the file backup_label.

    Raises:
        ValueError: it is none.
    """
    text = content.decode("utf-8", "replace")
    start, time = _START.search(text), _START_TIME.search(text)
    if start is None or time is None:
        raise ValueError("a label with the start of the backup")
    return BackupLabel(start["lsn"], start["file"], time[1])


def decode_manifest(content: bytes) -> Manifest:
    """Decode the file backup_manifest.

    Raises:
        ValueError: it is none.
    """
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"a manifest ({error})") from error
    if not manifest.ranges or parse_lsn(manifest.stop_text) is None:
        raise ValueError("a manifest with a range of the log")
    return manifest


def missing_files(manifest: Manifest, sizes: Mapping[str, int]) -> list[str]:
    """Return the paths in which the manifest and the files that came differ, sorted.

    Args:
        manifest: of the backup.
        sizes: path -> bytes of each file that came.
    """
    listed = {file.name: file.size for file in manifest.files}
    wrong = {path for path, size in listed.items() if sizes.get(path) != size}
    # Segments of the log are not listed: the range of the log stands for them.
    unknown = {
        path
        for path in sizes.keys() - listed.keys()
        if path not in _NOT_LISTED and not path.startswith("pg_wal/")
    }
    return sorted(wrong | unknown)


def parse_lsn(text: str) -> int | None:
    """Return an address in the log like 0/17000100 in bytes; None if it is none."""
    found = _LSN.fullmatch(text)
    return (int(found[1], 16) << 32) + int(found[2], 16) if found else None
