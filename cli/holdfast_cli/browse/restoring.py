"""A restore in a thread of its own: what it does, how far it is, how it ended. No terminal."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from holdfast.errors import HoldfastError
from holdfast.findings import Finding
from holdfast.format.node import NodeType
from holdfast.operations.restore import (
    Overwrite,
    RestoreAction,
    RestoreOptions,
    RestoreResult,
    restore,
)
from holdfast.operations.tree_walk import find_node, iter_tree, root_node
from holdfast.policy.filters import IncludeFilter
from holdfast.progress import NullProgress
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast_cli.browse.library import Library
from holdfast_cli.browse.marks import ExactPaths, RestorePart

_COUNTING_S: Final = 3.0
"""How long sizes are added up before the restore begins; a large tree is restored without a total."""
_MOST_PROBLEMS: Final = 20


class StoppedError(Exception):
    """The person does not want the restore any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreState:
    """How far a restore is; a new object each time."""

    phase: str = "preparing"
    current: bytes = b""
    items: int = 0
    bytes_written: int = 0
    total_bytes: int | None = None
    """None if nobody knows."""
    seconds: float = 0.0
    problems: tuple[str, ...] = ()
    """The first ones, as clauses for people."""
    problem_count: int = 0
    results: tuple[RestoreResult, ...] = ()
    error: str = ""
    """Why it ended early; a sentence."""
    stopped: bool = False
    done: bool = False

    @property
    def damaged(self) -> int:
        """Entries that the repository could not deliver."""
        return sum(result.damaged for result in self.results)

    @property
    def files(self) -> int:
        """Files that were written."""
        return sum(result.files for result in self.results)

    @property
    def kept(self) -> int:
        """Entries that were there and stayed as they are."""
        return sum(result.unchanged + result.skipped for result in self.results)


class RestoreJob(NullProgress):
    """Restores what was planned; watched by looking at `state`.

    Args:
        library: names the repository.
        parts: what to restore.
        overwrite: what may happen to what is there; None: the targets must be empty.
    """

    def __init__(
        self, library: Library, parts: Sequence[RestorePart], overwrite: Overwrite | None
    ) -> None:
        self.parts = tuple(parts)
        self.overwrite = overwrite
        self.state = RestoreState()
        self._library = library
        self._stop = threading.Event()
        self._begun_s = time.monotonic()
        self._before = (0, 0)
        self._thread = threading.Thread(target=self._run, name="restore")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it after the entry that is being written; what is complete stays."""
        self._stop.set()

    def wait(self) -> None:
        """Return when it has ended."""
        self._thread.join()

    # -- in the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with self._library.second_repository() as repository:
                repository.load_view()
                with BlobReader(repository) as reader:
                    self._change(total_bytes=self._count(reader), phase="restoring")
                    for part in self.parts:
                        self._restore(repository, reader, part)
        except StoppedError:
            self._change(stopped=True)
        except HoldfastError as error:
            self._change(error=str(error))
        except Exception as error:  # noqa: BLE001 - the thread's edge; the program goes on
            self._change(error=f"this is a defect of holdfast, please report it: {error!r}")
        finally:
            self._change(done=True, current=b"", phase="done")

    def _restore(self, repository: Repository, reader: BlobReader, part: RestorePart) -> None:
        snapshot = part.snapshot
        base = find_node(reader, snapshot.root, part.base, snapshot=snapshot.id)
        result = restore(
            reader,
            # Nameless: the target is the user's own directory and keeps its mode and owner.
            root_node(base.content),
            RestoreOptions(
                target=part.target,
                overwrite=self.overwrite,
                sources=snapshot.raw_paths,
                include=include_of(part),
                on_action=self._on_action,
            ),
            path=part.base,
            hash_data=repository.keys.data_hash(),
            clock=repository.clock,
            progress=self,
        )
        self._before = (self.state.items, self.state.bytes_written)
        self._change(results=(*self.state.results, result))

    def _count(self, reader: BlobReader) -> int | None:
        """Add up the sizes of what will be restored; None if that takes too long."""
        limit = time.monotonic() + _COUNTING_S
        total = 0
        for part in self.parts:
            for path in part.paths:
                node = find_node(reader, part.snapshot.root, path, snapshot=part.snapshot.id)
                total += node.size
                if node.type == NodeType.DIRECTORY:
                    for _, inner in iter_tree(reader, node.content, on_damage=lambda *_: None):
                        total += inner.size
                        self._check()
                        if time.monotonic() > limit:
                            return None
        return total

    def _check(self) -> None:
        if self._stop.is_set():
            raise StoppedError

    def _change(self, **fields: object) -> None:
        seconds = time.monotonic() - self._begun_s
        self.state = replace(self.state, seconds=seconds, **fields)  # type: ignore[arg-type]

    def _on_action(self, action: RestoreAction) -> None:
        self._check()
        self._change(current=action.path)

    def update(self, items: int, size: int, current: str = "") -> None:  # noqa: ARG002
        """Note how far it is; called by the restore."""
        self._check()
        self._change(items=self._before[0] + items, bytes_written=self._before[1] + size)

    def finding(self, finding: Finding) -> None:
        """Note a problem; called by the restore."""
        problems = self.state.problems
        if len(problems) < _MOST_PROBLEMS:
            problems = (*problems, f"{finding.path}: {finding.problem}")
        self._change(problems=problems, problem_count=self.state.problem_count + 1)


def include_of(part: RestorePart) -> IncludeFilter:
    """Return the filter that lets pass what is marked."""
    return IncludeFilter() if b"/" in part.paths else ExactPaths(part.paths)


def is_occupied(target: bytes) -> bool:
    """Tell whether there is something at the target that a restore could meet."""
    try:
        with os.scandir(target) as entries:
            return next(entries, None) is not None
    except FileNotFoundError:
        return False
    except OSError:
        return True  # the restore itself says why it cannot be used
