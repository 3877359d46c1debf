"""Collects the blob ids of one file; long lists become a tree of id pages.

A node holds up to 1024 ids (128 MiB of an ordinary file, 4 MiB of a dump). Beyond that, lists
are cut into pages (`format.node.split_ids`), stored as tree blobs, and the node holds the ids of
the pages, or of pages of pages. Memory: a few thousand ids for a file of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from holdfast.format.node import MAX_CONTENT_IDS, split_ids

_SPILL: Final = 8192
"""Ids held of one level: more than two pages of the largest size."""


class ContentBuilder:
    """Takes ids in order and gives the content of a node.

    Args:
        add_ids: stores an id page (concatenated ids) and returns its id.
    """

    def __init__(self, add_ids: Callable[[bytes], bytes]) -> None:
        self._add_ids = add_ids
        self._levels: list[list[bytes]] = [[]]

    def add(self, blob_id: bytes) -> None:
        """Take the id of the next blob."""
        ids = self._levels[0]
        ids.append(blob_id)
        if len(ids) >= _SPILL:
            self._spill(0, final=False)

    def extend(self, blob_ids: Sequence[bytes]) -> None:
        """Take the ids of the next blobs; at most a few thousand, which are held at once."""
        ids = self._levels[0]
        ids += blob_ids
        if len(ids) >= _SPILL:
            self._spill(0, final=False)

    def finish(self) -> tuple[bytes, int]:
        """Return the content and its depth."""
        depth = 0
        while len(self._levels) > depth + 1 or len(self._levels[depth]) > MAX_CONTENT_IDS:
            self._spill(depth, final=True)
            depth += 1
        return b"".join(self._levels[depth]), depth

    def _spill(self, level: int, *, final: bool) -> None:
        """Store the decided pages of a level and note them in the one above."""
        ids = self._levels[level]
        if level + 1 == len(self._levels):
            self._levels.append([])
        above = self._levels[level + 1]
        used = 0
        for page in split_ids(ids, final=final):
            above.append(self._add_ids(b"".join(page)))
            used += len(page)
        del ids[:used]
        if len(above) >= _SPILL:
            self._spill(level + 1, final=False)
