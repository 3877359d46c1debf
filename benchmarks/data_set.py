"""A data set that is there: its nights, and what its manifest says of them.

Apart from how sets are made, so that the process that measures programs stays small: the kernel
hands the peak memory of a process down to those it starts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a directory holds, and a digest of it."""

    files: int
    """Regular files."""
    size: int
    """Bytes in them; holes count."""
    blake3: str
    """64 hexadecimal digits; see `manifest`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """A series of versions of something that is backed up."""

    name: str
    title: str
    profile: str
    """The profile of holdfast that its documentation recommends for such data."""
    told: str
    """What it is, for the report."""
    nights: tuple[Path, ...]
    """Directories, oldest first."""
    extents: tuple[Extent, ...]
    """Of the nights."""


def load(root: Path) -> DataSet:
    """Return the data set of a directory by its manifest; the data is not read.

    Raises:
        OSError: there is none.
    """
    facts = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    nights = facts["nights"]
    return DataSet(
        name=root.name,
        title=facts["title"],
        profile=facts["profile"],
        told=facts["told"],
        nights=tuple(root / night["path"] for night in nights),
        extents=tuple(Extent(night["files"], night["size"], night["blake3"]) for night in nights),
    )
