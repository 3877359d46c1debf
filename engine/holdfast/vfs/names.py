"""What the directories above snapshots are called. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final

from holdfast.format.snapshot import Snapshot

_NS: Final = 1_000_000_000
_MOST_BYTES: Final = 255
_TIME: Final = "%Y-%m-%dT%H-%M-%S"
"""No colons: rsync and scp take what stands before one for a host."""


NamesKept = dict[tuple[str, int, bytes, str, int], bytes]
"""What a snapshot shows -> its name. No name leads to another tree later: kernels and
programs remember what they saw below it."""


def time_names(
    snapshots: Sequence[Snapshot], zone: tzinfo | None = UTC, kept: NamesKept | None = None
) -> list[bytes]:
    """Return a name for each snapshot, the time when it was made.

    Partial ones end in "-partial"; of several in one second the later ones end in "-2" and so on.

    Args:
        snapshots: ascending by time.
        zone: whose clocks the names show.
        kept: names that were given before and stay; gets the new ones.
    """
    kept = {} if kept is None else kept
    names: list[bytes] = []
    given, ever = set[bytes](), set(kept.values())
    numbers: dict[str, int] = {}
    alike: dict[tuple[str, int, bytes, str], int] = {}
    for snapshot in snapshots:
        base = _moment(snapshot.time_ns, zone) + ("-partial" if snapshot.partial else "")
        shown = (base, snapshot.time_ns, snapshot.root, snapshot.host)
        count = alike[shown] = alike.get(shown, 0) + 1
        key = (*shown, count)
        name = kept.get(key)
        while name is None or name in given:
            number = numbers[base] = numbers.get(base, 0) + 1
            name = (f"{base}-{number}" if number > 1 else base).encode()
            if name in ever:
                name = None
        kept[key] = name
        given.add(name)
        ever.add(name)
        names.append(name)
    return names


def file_name(text: str) -> bytes:
    """Return a host, a tag and the like as the name of a directory entry.

    "/" becomes "_", as do names that no entry may have.
    """
    name = text.encode("utf-8", "surrogateescape").replace(b"/", b"_").replace(b"\0", b"_")
    if name in (b"", b".", b".."):
        return name.replace(b".", b"_") or b"_"
    return name[:_MOST_BYTES]


def short_names(ids: Iterable[str], length: int = 12) -> dict[str, bytes]:
    """Return the first digits of each id, more where those of several are alike."""
    wanted = sorted(ids)
    while len({one[:length] for one in wanted}) < len(wanted):
        length += 1
    return {one: one[:length].encode() for one in wanted}


def _moment(time_ns: int, zone: tzinfo | None) -> str:
    try:
        return datetime.fromtimestamp(time_ns // _NS, zone).strftime(_TIME)
    except (ValueError, OverflowError, OSError):
        return f"@{time_ns // _NS}"  # a year that calendars do not know
