"""Restoring a snapshot, a directory or a file of it.

The walk decides (`restore_plan`), a sink carries out (`restore_apply`), content comes in windows
(`restore_content`). Files get their modification time after their content and directories after
everything in them, so that an interrupted restore is continued with `Overwrite.IF_CHANGED`.

Only what differs is written, in place where nobody else can notice: a file with further names, a
program, or one that others may read who shall not is replaced by a new one. Each name has either
the old entry or the new one at any moment, except for files that are rewritten in place.

A file whose content the repository cannot deliver is left out, or removed if it was begun, and
reported: under its final name a file is never silently wrong.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Final

from holdfast.clock import Clock
from holdfast.errors import ConfigurationError, TargetError, TargetNotEmptyError
from holdfast.format.node import Node, NodeType
from holdfast.fs.source import display
from holdfast.fs.target_problems import TargetProblems
from holdfast.fs.target_tree import TargetTree
from holdfast.hashing import KeyedHash
from holdfast.operations.restore_apply import ApplySink, DryRunSink, finish_parents
from holdfast.operations.restore_content import ContentWindow
from holdfast.operations.restore_plan import RestoreWalk
from holdfast.operations.restore_types import (
    ActionKind,
    RestoreAction,
    RestoreCounts,
    RestoreOptions,
    RestoreResult,
)
from holdfast.policy.overwrite import Overwrite
from holdfast.progress import Progress
from holdfast.repository.reader import BlobSource

__all__ = [
    "ActionKind",
    "Overwrite",
    "RestoreAction",
    "RestoreOptions",
    "RestoreResult",
    "restore",
]

_UPDATE_INTERVAL_S: Final = 0.2


def restore(
    source: BlobSource,
    node: Node,
    options: RestoreOptions,
    *,
    path: bytes = b"/",
    hash_data: KeyedHash,
    clock: Clock,
    progress: Progress,
) -> RestoreResult:
    """Restore one node of a snapshot into the target directory.

    Of a directory the contents go into the target and the metadata to the target itself; the
    nameless node of a whole snapshot gives the target no metadata. Any other entry goes into the
    target under its own name. Owners are restored by number.

    Args:
        source: where pages and blobs come from.
        node: what to restore, from `tree_walk.find_node`.
        options: where to and how.
        path: the node's absolute path in the snapshot; filters and `sources` refer to it.
        hash_data: gives the id of a data blob, to compare existing files with the snapshot.
        clock: measures the duration.
        progress: watches.

    Returns:
        What was done, and a finding for each entry that could not be restored exactly;
        `damaged` tells how many of them are the repository's fault.

    Raises:
        ConfigurationError: no target was named, or options contradict each other.
        TargetNotEmptyError: the target has entries and `overwrite` is None.
        TargetError: the target cannot be made or read, or its file system is full. What was
            unfinished is removed then, unless much would be lost with it; a finding tells.
        BackendError: the storage failed; likewise.
    """
    _check(options)
    started = clock.monotonic_s()
    counts = RestoreCounts()
    problems = TargetProblems(options.target, progress.finding, owners_matter=options.owners_matter)
    progress.begin("restore")
    try:
        with TargetTree(options.target, problems) as tree:
            tree.protect(options.protected)
            _look_at_target(tree, node, options)
            if options.dry_run:
                preview = DryRunSink(tree, source, hash_data, counts)
                _walk(RestoreWalk(tree, source, preview, options, counts), node, path)
            else:
                made = tree.prepare()
                ticker = _Ticker(counts, clock, progress)
                window = ContentWindow(
                    tree, source, hash_data, counts, verify=options.verify, on_tick=ticker.tick
                )
                sink = ApplySink(tree, window, options, counts)
                try:
                    _walk(RestoreWalk(tree, source, sink, options, counts), node, path)
                    sink.finish()
                except BaseException:
                    window.abandon()
                    raise
                finally:
                    window.close()
                finish_parents(made, options.parents, problems)
                ticker.tick(final=True)
        problems.report_tallies()
    finally:
        progress.end()
    seconds = clock.monotonic_s() - started
    return RestoreResult(**asdict(counts), findings=problems.findings, seconds=seconds)


def _check(options: RestoreOptions) -> None:
    if not options.target:
        raise ConfigurationError("no directory to restore to was named")
    if options.delete and options.overwrite in (Overwrite.NEVER, Overwrite.IF_NEWER):
        raise ConfigurationError(
            f"--delete would remove what --overwrite {options.overwrite} promises to leave alone",
            "delete with --overwrite always or if-changed",
        )


def _look_at_target(tree: TargetTree, node: Node, options: RestoreOptions) -> None:
    if not tree.look() or options.overwrite is not None:
        return
    names = tree.names(tree.root)
    if node.type == NodeType.DIRECTORY:
        if names:
            raise TargetNotEmptyError(display(options.target), "it is not empty")
    elif node.name in names:
        raise TargetError(
            display(os.path.join(options.target, node.name)),
            "it exists; say with --overwrite always, if-changed, if-newer or never "
            "what may happen to it, or choose another target",
        )


def _walk(walk: RestoreWalk, node: Node, path: bytes) -> None:
    base = path.rstrip(b"/")
    if node.type == NodeType.DIRECTORY:
        walk.restore_directory(node, base)
    else:
        walk.restore_entry(node, base.rpartition(b"/")[0])


class _Ticker:
    """Passes the counters on, a few times a second at the most."""

    def __init__(self, counts: RestoreCounts, clock: Clock, progress: Progress) -> None:
        self._counts = counts
        self._clock = clock
        self._progress = progress
        self._next_s = 0.0

    def tick(self, *, final: bool = False) -> None:
        """Tell the watcher how far the restore is, if it is time."""
        now_s = self._clock.monotonic_s()
        if final or now_s >= self._next_s:
            self._next_s = now_s + _UPDATE_INTERVAL_S
            counts = self._counts
            items = counts.files + counts.others + counts.links + counts.unchanged
            self._progress.update(items, counts.bytes_written)
