"""What damage to a small repository costs, worked out from where its parts lie.

A separate and simple way to know what reading, check and restore must say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path

from holdfast.format.index import PackEntry
from holdfast.format.node import Node, NodeType
from holdfast.format.pack import PACK_HEADER_LENGTH
from holdfast.format.snapshot import Snapshot
from holdfast.ids import BlobId
from holdfast.repository import layout

Objects = Mapping[str, bytes]
"""Name -> stored bytes."""


@dataclass
class Sound:
    """A sound repository and everything about where its parts lie."""

    source: Path
    objects: dict[str, bytes]
    cache: Path
    snapshots: list[Snapshot] = field(default_factory=list)
    index: dict[str, list[PackEntry]] = field(default_factory=dict)
    """Name of an index object -> packs."""
    pages: dict[BlobId, list[Node]] = field(default_factory=dict)
    trees: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    """Id of a snapshot -> its files, by absolute path."""

    def named(self, prefix: str) -> list[str]:
        return [name for name in self.objects if name.startswith(prefix)]

    def pack(self, name: str) -> PackEntry:
        entries = [entry for entries in self.index.values() for entry in entries]
        return next(entry for entry in entries if layout.pack_name(entry.pack_id) == name)


def ids_of(entry: PackEntry) -> list[BlobId]:
    return [BlobId(entry.ids[at : at + 32]) for at in range(0, len(entry.ids), 32)]


def lost_blobs(sound: Sound, objects: Objects) -> set[BlobId]:
    """Return the blobs of which a slice, or the index object that lists them, has changed."""
    lost: set[BlobId] = set()
    for name, entries in sound.index.items():
        for entry in entries:
            if objects.get(name) != sound.objects[name]:
                lost.update(ids_of(entry))
            lost |= lost_of_pack(sound, entry, objects)
    return lost


def lost_of_pack(sound: Sound, entry: PackEntry, objects: Objects) -> set[BlobId]:
    name = layout.pack_name(entry.pack_id)
    old, new = sound.objects[name], objects.get(name)
    if new is None:
        return set(ids_of(entry))
    starts = list(accumulate(entry.slice_sizes, initial=PACK_HEADER_LENGTH))
    bad = {
        number
        for number, (start, end) in enumerate(pairwise(starts))
        if new[start:end] != old[start:end]
    }
    lost = set()
    at = 0
    for blob_id, length in zip(ids_of(entry), entry.lengths, strict=True):
        end = at + length
        if bad & set(range(at // entry.slice_size, (end - 1) // entry.slice_size + 1)):
            lost.add(blob_id)
        at = end
    return lost


def expected_damage(sound: Sound, snapshot: Snapshot, lost: set[BlobId]) -> set[bytes]:
    """Return the files and directories that cannot be read whole, by walking from the root."""
    affected: set[bytes] = set()
    pending: list[tuple[bytes, list[BlobId]]] = [(b"", snapshot.root_pages)]
    while pending:
        path, page_ids = pending.pop()
        for page_id in page_ids:
            if page_id in lost:
                affected.add(path or b"/")
                continue
            for node in sound.pages[page_id]:
                inner = path + b"/" + node.name
                if node.type == NodeType.DIRECTORY:
                    pending.append((inner, node.blob_ids))
                elif lost & set(node.blob_ids):
                    affected.add(inner)
    return affected


def expected_files(tree: Mapping[bytes, bytes], affected: set[bytes]) -> dict[bytes, bytes]:
    """Return the files of a snapshot that neither are affected nor lie below what is."""
    roots = tuple(b"/" if path == b"/" else path + b"/" for path in affected)
    return {
        path: data
        for path, data in tree.items()
        if path not in affected and not path.startswith(roots)
    }
