"""Snapshot records without a repository, for what only looks at them."""

from __future__ import annotations

from typing import Any

from holdfast.format.snapshot import Snapshot

NS = 1_000_000_000


def snapshot_at(time_s: int, number: int = 0, **fields: Any) -> Snapshot:
    """Return a snapshot of some second since 1970."""
    values: dict[str, Any] = {
        "id": f"{number or time_s:032x}",
        "time_ns": time_s * NS,
        "host": "pc",
        "user": "ann",
        "raw_paths": (b"/home/ann",),
        "root": bytes(32),
    }
    return Snapshot(**{**values, **fields})
