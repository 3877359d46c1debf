"""The directories above snapshots: by time, host, tag, path and id. Pure.

    latest -> snapshots/2026-11-14T03-00-00
    snapshots/2026-11-14T03-00-00/home/anna/…
    hosts/pc/2026-11-14T03-00-00 -> ../../snapshots/2026-11-14T03-00-00
    tags/nightly/2026-11-14T03-00-00 -> ../../snapshots/2026-11-14T03-00-00
    paths/home/anna/2026-11-14T03-00-00 -> ../../../snapshots/2026-11-14T03-00-00/home/anna
    ids/3f2a91c07b1e -> ../snapshots/2026-11-14T03-00-00

Each snapshot is a directory in one place and a symbolic link in all others, so that `find` and
`du` meet it once and the kernel keeps one copy of what it knows. Beside the links of a host, a
tag or a path there is one called `latest`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Final

from holdfast.format.snapshot import Snapshot
from holdfast.vfs.directory import Directory, VirtualDirectory, virtual_link, virtual_node
from holdfast.vfs.names import NamesKept, file_name, short_names, time_names

LATEST: Final = b"latest"

MakeDirectory = Callable[[Snapshot, bytes, bytes], Directory]
"""Makes the directory of a snapshot from its name and its path in the view."""


def build_layout(
    snapshots: Sequence[Snapshot],
    make_directory: MakeDirectory,
    *,
    owner: tuple[int, int],
    zone: tzinfo | None,
    kept: NamesKept | None = None,
) -> VirtualDirectory:
    """Return the root of the view.

    Args:
        snapshots: ascending by time.
        make_directory: makes the directory of a snapshot.
        owner: user and group of what is virtual.
        zone: whose clocks the names of snapshots show; None for this machine's.
        kept: names of earlier views, which stay; gets the new ones.

    Cost: 10 us a snapshot and each of its paths and tags.
    """
    return _Builder(make_directory, owner).build(snapshots, time_names(snapshots, zone, kept))


class _Builder:
    def __init__(self, make_directory: MakeDirectory, owner: tuple[int, int]) -> None:
        self._make_directory = make_directory
        self._owner = owner
        self._linked: dict[VirtualDirectory, list[tuple[Snapshot, bytes]]] = {}
        """Directories with links to snapshots, and where these lead; newest first."""

    def build(self, snapshots: Sequence[Snapshot], names: Sequence[bytes]) -> VirtualDirectory:
        newest = max((snapshot.time_ns for snapshot in snapshots), default=0)
        root = VirtualDirectory(virtual_node(b"", newest, self._owner), b"")
        by_time, by_host, by_tag, by_path, by_id = (
            self._below(root, name, newest)
            for name in (b"snapshots", b"hosts", b"tags", b"paths", b"ids")
        )
        ids = short_names(snapshot.id for snapshot in snapshots)
        # Newest first: directories get the time of the newest snapshot in them.
        for snapshot, name in reversed(list(zip(snapshots, names, strict=True))):
            directory = self._make_directory(snapshot, name, by_time.path + b"/" + name)
            by_time.add(directory.node, directory)
            self._linked.setdefault(root, []).append((snapshot, b"snapshots/" + name))
            self._add(by_id, ids[snapshot.id], snapshot, b"../snapshots/" + name)
            target = b"../../snapshots/" + name
            host = self._below(by_host, file_name(snapshot.host), snapshot.time_ns)
            self._link(host, name, snapshot, target)
            for tag in snapshot.tags:
                below = self._below(by_tag, file_name(tag), snapshot.time_ns)
                self._link(below, name, snapshot, target)
            for source in snapshot.raw_paths:
                self._link_path(by_path, name, snapshot, source)
        for directory, links in self._linked.items():
            snapshot, target = next((one for one in links if not one[0].partial), links[0])
            self._add(directory, LATEST, snapshot, target)
        return root

    def _link_path(
        self, by_path: VirtualDirectory, name: bytes, snapshot: Snapshot, source: bytes
    ) -> None:
        parts = [part for part in source.split(b"/") if part and part not in (b".", b"..")]
        directory = by_path
        for part in parts:
            directory = self._below(directory, part, snapshot.time_ns)
        up = b"../" * (1 + len(parts))
        self._link(directory, name, snapshot, b"/".join([up + b"snapshots", name, *parts]))

    def _link(
        self, directory: VirtualDirectory, name: bytes, snapshot: Snapshot, target: bytes
    ) -> None:
        """Add a link to a snapshot where there will be one called `latest` too."""
        self._linked.setdefault(directory, []).append((snapshot, target))
        self._add(directory, name, snapshot, target)

    def _add(
        self, directory: VirtualDirectory, name: bytes, snapshot: Snapshot, target: bytes
    ) -> None:
        directory.add(virtual_link(name, target, snapshot.time_ns, self._owner))

    def _below(self, parent: VirtualDirectory, name: bytes, time_ns: int) -> VirtualDirectory:
        """Return the virtual directory of that name, made if it is not there."""
        found = parent.children.get(name)
        if found is not None and isinstance(found[1], VirtualDirectory):
            return found[1]
        made = VirtualDirectory(virtual_node(name, time_ns, self._owner), parent.path + b"/" + name)
        parent.add(made.node, made)
        return made
