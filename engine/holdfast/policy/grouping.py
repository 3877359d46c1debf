"""Which snapshots belong together: a rule of retention counts in each group by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.errors import ConfigurationError
from holdfast.format.snapshot import Snapshot

_WORDS = {
    word: f"{word.rstrip('s')}s" for word in ("host", "hosts", "path", "paths", "tag", "tags")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """What the snapshots of a group have in common; without any field set, nothing."""

    hosts: bool = False
    paths: bool = False
    tags: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotGroup:
    """Snapshots that have something in common, ascending by time. None: it does not count."""

    host: str | None
    raw_paths: tuple[bytes, ...] | None
    """In order, each once."""
    tags: tuple[str, ...] | None
    """In order, each once."""
    snapshots: tuple[Snapshot, ...]

    def __str__(self) -> str:
        parts = []
        if self.host is not None:
            parts.append(f"host {self.host}")
        if self.raw_paths is not None:
            shown = (path.decode("utf-8", "backslashreplace") for path in self.raw_paths)
            parts.append(("path " if len(self.raw_paths) == 1 else "paths ") + ", ".join(shown))
        if self.tags is not None:
            named = ("tag " if len(self.tags) == 1 else "tags ") + ", ".join(self.tags)
            parts.append(named if self.tags else "no tags")
        return "; ".join(parts) or "all snapshots"


def parse_grouping(text: str) -> Grouping:
    """Return the grouping meant by "host,paths,tags", parts of it, or "".

    Raises:
        ConfigurationError: another word.
    """
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    if not set(words) <= set(_WORDS):
        raise ConfigurationError(
            f"{text!r} is not a way to group snapshots",
            "write host, paths, tags or several of them with commas, or '' for one group of all",
        )
    return Grouping(**{_WORDS[word]: True for word in words})


def group_snapshots(snapshots: Sequence[Snapshot], grouping: Grouping) -> list[SnapshotGroup]:
    """Split snapshots into groups, in the order of hosts, paths and tags.

    The order in which a snapshot names its paths and tags means nothing.
    """
    members: dict[tuple[str, tuple[bytes, ...], tuple[str, ...]], list[Snapshot]] = {}
    for snapshot in snapshots:
        key = (
            snapshot.host if grouping.hosts else "",
            tuple(sorted(set(snapshot.raw_paths))) if grouping.paths else (),
            tuple(sorted(set(snapshot.tags))) if grouping.tags else (),
        )
        members.setdefault(key, []).append(snapshot)
    return [
        SnapshotGroup(
            host=host if grouping.hosts else None,
            raw_paths=paths if grouping.paths else None,
            tags=tags if grouping.tags else None,
            snapshots=tuple(sorted(group, key=lambda each: (each.time_ns, each.id))),
        )
        for (host, paths, tags), group in sorted(members.items(), key=lambda item: item[0])
    ]
