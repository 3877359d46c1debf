"""The keys of the commands' JSON, in the order in which they are written: an interface.

Tests of the commands compare what is written with these lists, and test_docs.py the documentation.
"""

from __future__ import annotations

from typing import Final

BACKUP_SUMMARY: Final = [
    "event", "snapshot", "parent", "files_new", "files_changed", "files_unmodified", "directories",
    "others", "logical_bytes", "bytes_read", "bytes_added", "bytes_stored", "blobs_added",
    "seconds", "findings", "dry_run",
]  # fmt: skip
SNAPSHOT: Final = [
    "id", "time", "host", "user", "paths", "tags", "parent", "partial", "stats",
]  # fmt: skip
SNAPSHOT_STATS: Final = [
    "files_new", "files_changed", "files_unmodified", "directories", "others", "logical_bytes",
    "bytes_read", "bytes_added", "bytes_stored", "blobs_added", "seconds",
]  # fmt: skip
LS_ENTRY: Final = [
    "path", "type", "mode", "uid", "gid", "user", "group", "size", "mtime", "links",
]  # fmt: skip
RESTORE_SUMMARY: Final = [
    "event", "snapshot", "target", "files", "directories", "others", "links", "unchanged",
    "skipped", "deleted", "verified", "damaged", "bytes_written", "bytes_total", "seconds",
    "findings", "dry_run",
]  # fmt: skip
CHECK_SUMMARY: Final = [
    "event", "ok", "damaged", "affected", "snapshots", "index_objects", "packs", "packs_read",
    "unused_packs", "blobs", "bytes_read", "seconds",
]  # fmt: skip
PRUNE: Final = [
    "outcome", "dry_run", "snapshots_kept", "snapshots_removed", "packs_before", "packs_removed",
    "packs_repacked", "packs_orphaned", "packs_needed_again", "packs_undeletable",
    "index_objects_removed", "bytes_before", "bytes_removed", "bytes_repacked", "bytes_written",
    "bytes_freed", "bytes_unused", "waits_for", "problems", "seconds",
]  # fmt: skip
PRUNE_SUMMARY: Final = ["event", *PRUNE]
STATS: Final = [
    "snapshots", "logical_bytes", "unique_bytes", "stored_bytes", "dedupe_ratio",
    "compression_ratio", "total_ratio", "packs", "blobs",
]  # fmt: skip
KEY_SLOT: Final = ["id", "kind", "label", "created", "opened"]
INIT: Final = ["repository", "location", "kind", "recovery_words", "dry_run"]
VERSION: Final = ["version", "python", "chunker", "format_version", "libraries"]

JSON_KEYS: Final = {
    "backup": BACKUP_SUMMARY,
    "snapshots": [*SNAPSHOT, *SNAPSHOT_STATS],
    "ls": [*LS_ENTRY, "target"],
    "restore": [*RESTORE_SUMMARY, "action", "path", "size"],
    "check": [*CHECK_SUMMARY, "kind", "name", "problem", "path", "snapshot"],
    "stats": STATS,
    "forget": ["keep", "id", "reasons", "forget", "dry_run", "prune", "undone", "forgotten"],
    "prune": [*PRUNE_SUMMARY, "host", "started", "kind", "name", "problem"],
    "tag": ["changed", "old", "new", "tags", "dry_run"],
    "key list": KEY_SLOT,
    "init": INIT,
    "version": VERSION,
    "completion": ["shell", "script"],
    "JSON": [
        "phase", "total_items", "total_bytes", "items", "bytes", "seconds", "current", "path",
        "problem", "message", "error", "exit_code",
    ],
}  # fmt: skip
"""Section of docs/cli.md -> keys that it must describe."""
