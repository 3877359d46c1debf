"""The keys of the commands' JSON, in the order in which they are written: an interface.

Tests of the commands compare what is written with these lists, and test_docs.py the documentation.
"""

from __future__ import annotations

from typing import Final

BACKUP_SUMMARY: Final = [
    "event", "snapshot", "parent", "files_new", "files_changed", "files_unmodified", "directories",
    "others", "logical_bytes", "bytes_read", "bytes_added", "bytes_stored", "blobs_added",
    "seconds", "findings", "dry_run", "locks",
]  # fmt: skip
LOCKS: Final = ["objects", "looked_at", "extended", "failures", "not_tried", "ends"]
SNAPSHOT: Final = [
    "id", "time", "host", "user", "paths", "tags", "parent", "partial", "stats", "database",
]  # fmt: skip
SNAPSHOT_STATS: Final = [
    "files_new", "files_changed", "files_unmodified", "directories", "others", "logical_bytes",
    "bytes_read", "bytes_added", "bytes_stored", "blobs_added", "seconds",
]  # fmt: skip
DATABASE: Final = ["kind", "method", "instance", "server_version", "streams", "properties"]
STREAM: Final = [
    "label", "files", "logical_bytes", "new_bytes", "stored_bytes", "saved_share", "seconds",
]  # fmt: skip
BACKUP_DB_PLAN: Final = [
    "event", "snapshot", "parent", "kind", "method", "instance", "server_version", "dry_run", "plan",
]  # fmt: skip
BACKUP_DB_SUMMARY: Final = [
    *BACKUP_DB_PLAN[:-1], "streams", "properties", "logical_bytes", "bytes_read", "bytes_added",
    "bytes_stored", "blobs_added", "seconds", "findings", "locks",
]  # fmt: skip
RESTORE_DB_SUMMARY: Final = [
    "event", "snapshot", "kind", "method", "instance", "databases", "target", "target_time",
    "dry_run", "plan", "steps", "bytes_restored", "seconds",
]  # fmt: skip
VERIFY_DB_SUMMARY: Final = [
    "event", "snapshot", "kind", "method", "instance", "ok", "databases", "problems", "assertions",
    "restore_seconds", "seconds",
]  # fmt: skip
ASSERTION: Final = ["database", "statement", "answer", "holds"]
LS_ENTRY: Final = [
    "path", "type", "mode", "uid", "gid", "user", "group", "size", "mtime", "links",
]  # fmt: skip
FIND: Final = ["host", "paths", "snapshots", "first", "last"]
FIND_HISTORY: Final = ["path", "host", "paths", "history"]
FIND_CHANGE: Final = ["change", "snapshot", "fields", "entry", "last"]
RESTORE_SUMMARY: Final = [
    "event", "snapshot", "target", "files", "directories", "others", "links", "unchanged",
    "skipped", "deleted", "verified", "damaged", "bytes_written", "bytes_total", "seconds",
    "findings", "dry_run",
]  # fmt: skip
DIFF_CHANGE: Final = [
    "event", "change", "path", "old_path", "type", "old_type", "size", "old_size", "fields",
]  # fmt: skip
DIFF_SUMMARY: Final = [
    "event", "old", "new", "old_path", "new_path", "added", "removed", "modified", "metadata",
    "type_changed", "renamed", "files_added", "files_removed", "bytes_added", "bytes_removed",
    "damaged", "findings",
]  # fmt: skip
DIFF_FIELDS: Final = ["content", "target", "device", "mode", "uid", "gid", "mtime", "xattrs"]
DUMP_SUMMARY: Final = [
    "event", "snapshot", "archive", "output", "files", "directories", "others", "links", "skipped",
    "damaged", "content_bytes", "bytes_written", "findings",
]  # fmt: skip
SERVE_FILES: Final = ["event", "url", "password"]
CHECK_SUMMARY: Final = [
    "event", "ok", "damaged", "affected", "snapshots", "index_objects", "packs", "packs_read",
    "unused_packs", "blobs", "bytes_read", "log_segments", "log_segments_read", "findings",
    "seconds",
]  # fmt: skip
PRUNE: Final = [
    "outcome", "dry_run", "snapshots_kept", "snapshots_removed", "packs_before", "packs_removed",
    "packs_repacked", "packs_orphaned", "packs_needed_again", "packs_undeletable",
    "packs_locked", "locked_until", "index_objects_removed", "log_segments_removed",
    "log_bytes_removed", "bytes_before", "bytes_removed",
    "bytes_repacked", "bytes_written", "bytes_freed", "bytes_unused", "waits_for", "problems",
    "seconds", "locks",
]  # fmt: skip
PRUNE_SUMMARY: Final = ["event", *PRUNE]
STATS: Final = [
    "snapshots", "logical_bytes", "unique_bytes", "stored_bytes", "dedupe_ratio",
    "compression_ratio", "total_ratio", "packs", "blobs", "log_segments", "log_bytes",
]  # fmt: skip
KEY_SLOT: Final = ["id", "kind", "label", "created", "opened"]
INIT: Final = [
    "repository", "location", "kind", "recovery_words", "maintainer", "mirror_of", "dry_run",
]  # fmt: skip
COPY_SUMMARY: Final = [
    "event", "mirror", "copied", "skipped", "vanished", "damaged", "blobs_read", "bytes_read",
    "packs_copied", "pack_bytes_copied", "bytes_stored", "log_segments", "log_bytes",
    "log_segments_expired", "log_problems", "seconds", "dry_run", "locks",
]  # fmt: skip
LOGS: Final = [
    "kind", "identity", "archive", "first", "last", "segments", "objects", "stored_bytes", "gaps",
    "bases",
]  # fmt: skip
LOG_GAP: Final = ["first_missing", "last_missing", "count"]
LOG_BASE: Final = ["snapshot", "time", "needs_from", "reaches", "until", "timeline", "gap"]
DOCTOR: Final = [
    "location", "repository", "verdict", "summary", "properties", "measures", "left",
]  # fmt: skip
DOCTOR_PROPERTY: Final = ["property", "expected", "seen", "verdict", "means"]
LIFECYCLE: Final = ["location", "rules", "other_rules", "dangers", "changed", "dry_run"]
LIFECYCLE_RULE: Final = ["id", "does"]
LIFECYCLE_DANGER: Final = ["rule", "problem"]
WAL_PUSH: Final = ["name", "system_id", "logical_bytes", "is_new"]
WAL_FETCH: Final = ["name", "system_id", "logical_bytes", "was_ahead"]
VERSION: Final = ["version", "python", "chunker", "format_version", "libraries"]
MOUNT: Final = ["event", "mountpoint", "pid", "log"]
METER_KIND: Final = ["requests", "bytes_sent", "bytes_received", "price"]
METER: Final = [
    "event", "requests", "bytes_sent", "bytes_received", "kinds", "price", "price_per_month",
    "currency", "provider", "prices_date",
]  # fmt: skip
BINLOG_PUSH: Final = ["identity", "pushed", "already", "logical_bytes", "missing", "active"]
DEDUPE: Final = [
    "versions", "is_series", "files", "logical_bytes", "sample_share", "seconds", "cuts",
    "settings", "recommendation", "forecast", "unreadable", "vanished", "currency", "prices_of",
]  # fmt: skip
DEDUPE_VERSION: Final = ["name", "files", "logical_bytes", "read_bytes"]
DEDUPE_CUT: Final = [
    "chunker", "chunk_bytes", "unique_bytes", "chunks", "references", "added_bytes",
    "decoded_per_byte", "decoded_last", "core_seconds_per_gib",
]  # fmt: skip
DEDUPE_SETTING: Final = [
    "chunker", "slice_size", "level", "stored_bytes", "added_bytes", "dedupe_ratio",
    "compression_ratio", "total_ratio", "index_bytes", "memory_bytes", "objects", "put_requests",
    "price_once", "price_month", "restore_decoded_per_byte", "mb_s",
]  # fmt: skip
DEDUPE_RECOMMENDATION: Final = ["chunker", "slice_size", "level", "options", "sentence"]
DEDUPE_FORECAST: Final = ["per_version", "after"]
SHARING: Final = [
    "snapshots", "hosts", "directories", "nights", "forecast", "needed", "unneeded",
    "saved_across_hosts", "repository", "damaged", "missing_blobs",
]  # fmt: skip
SHARING_SNAPSHOT: Final = [
    "id", "time", "host", "paths", "logical_bytes", "unique", "exclusive", "shared", "added",
]  # fmt: skip
SHARING_HOST: Final = ["host", "snapshots", "logical_bytes", "unique", "exclusive", "shared"]
SHARING_DIRECTORY: Final = [
    "host", "path", "added", "changed", "snapshots", "stored_per_snapshot",
]  # fmt: skip
SHARING_NIGHT: Final = ["day", "snapshots", "added"]
SHARING_FORECAST: Final = ["stored_per_day", "after"]
SPEED: Final = [
    "threads", "chunker", "data", "index_blobs", "storage", "connections", "measures", "new",
    "unchanged", "seconds", "left",
]  # fmt: skip
SPEED_DATA: Final = ["own", "size", "files", "mean_file_bytes", "unreadable"]
SPEED_MEASURE: Final = ["stage", "name", "unit", "single", "parallel", "ratio"]
SPEED_RATE: Final = ["median", "spread", "runs"]
SPEED_PREDICTION: Final = ["bytes_per_s", "slowest", "sentence", "stages"]
SPEED_STAGE: Final = ["name", "bytes_per_s", "share"]

JSON_KEYS: Final = {
    "backup": BACKUP_SUMMARY,
    "backup-db": [*BACKUP_DB_PLAN, *BACKUP_DB_SUMMARY, *STREAM, "previous_bytes"],
    "restore-db": RESTORE_DB_SUMMARY,
    "verify-db": [*VERIFY_DB_SUMMARY, *ASSERTION],
    "snapshots": [*SNAPSHOT, *SNAPSHOT_STATS, *DATABASE, *STREAM],
    "ls": [*LS_ENTRY, "target"],
    "find": [*FIND, *FIND_HISTORY, *FIND_CHANGE, "id", "time"],
    "restore": [*RESTORE_SUMMARY, "action", "path", "size"],
    "diff": [*DIFF_CHANGE, *DIFF_SUMMARY, *DIFF_FIELDS],
    "dump": DUMP_SUMMARY,
    "serve-files": SERVE_FILES,
    "copy": [*COPY_SUMMARY, "old", "new", "snapshot", "kind", "name", "problem"],
    "check": [*CHECK_SUMMARY, "kind", "name", "problem", "path", "snapshot"],
    "stats": STATS,
    "logs": [*LOGS, *LOG_GAP, *LOG_BASE],
    "forget": ["keep", "id", "reasons", "forget", "dry_run", "prune", "undone", "forgotten"],
    "prune": [*PRUNE_SUMMARY, *LOCKS, "host", "started", "kind", "name", "problem"],
    "tag": ["changed", "old", "new", "tags", "dry_run"],
    "key list": KEY_SLOT,
    "init": INIT,
    "doctor": [*DOCTOR, *DOCTOR_PROPERTY],
    "lifecycle": [*LIFECYCLE, *LIFECYCLE_RULE, *LIFECYCLE_DANGER],
    "mount": MOUNT,
    "wal-push": WAL_PUSH,
    "wal-fetch": WAL_FETCH,
    "binlog-push": BINLOG_PUSH,
    "benchmark dedupe": [
        *DEDUPE, *DEDUPE_VERSION, *DEDUPE_CUT, *DEDUPE_SETTING, *DEDUPE_RECOMMENDATION,
        *DEDUPE_FORECAST, "stored_bytes", "value", "error", *SHARING, *SHARING_SNAPSHOT,
        *SHARING_HOST, *SHARING_DIRECTORY, *SHARING_NIGHT, *SHARING_FORECAST, "plain_bytes", "days",
    ],
    "benchmark speed": [
        *SPEED, *SPEED_DATA, *SPEED_MEASURE, *SPEED_RATE, *SPEED_PREDICTION, *SPEED_STAGE,
    ],
    "version": VERSION,
    "completion": ["shell", "script"],
    "Requests and bandwidth": [*METER, *METER_KIND],
    "JSON": [
        "phase", "total_items", "total_bytes", "items", "bytes", "seconds", "current", "path",
        "problem", "message", "error", "exit_code",
    ],
}  # fmt: skip
"""Section of docs/cli.md -> keys that it must describe."""
