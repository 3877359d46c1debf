"""Check a repository: is its structure whole, and are its bytes what they should be?

Nothing cached is believed: the blob index is rebuilt from the repository's own index objects.
Structure means that every snapshot, index object and key slot opens, that every pack is there
with its size, and that every blob any snapshot refers to is listed. `read_data` reads packs and
verifies each byte. Damage is reported as what it costs: files and snapshots.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Lock
from typing import Final

from holdfast.errors import IntegrityError
from holdfast.findings import Finding
from holdfast.format.index import PackEntry
from holdfast.format.node import Node, NodeType
from holdfast.format.pack import BlobKind
from holdfast.format.snapshot import Snapshot
from holdfast.fs.source import display
from holdfast.ids import BlobId, ObjectId
from holdfast.operations.check_data import PackVerifier
from holdfast.operations.check_logs import check_logs
from holdfast.operations.copy_names import check_copy_lists
from holdfast.operations.file_content import content_ids
from holdfast.operations.live_blobs import LiveBlobs
from holdfast.operations.references import roots_of
from holdfast.operations.tree_walk import iter_tree
from holdfast.policy.subset import ALL_DATA, DataSubset, choose_packs
from holdfast.progress import NullProgress, Progress
from holdfast.repository import layout
from holdfast.repository.keyring import read_slots
from holdfast.repository.listing import list_objects
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.repository.view import View
from holdfast.threads import working_threads

_PROGRESS_S: Final = 0.2
_PACKS_AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """How thorough a check is."""

    read_data: DataSubset | None = None
    """Which packs are read whole; None for structure only."""
    random_seed: int | None = None
    """For subsets chosen at random; None for a new choice each time."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One damaged or missing thing."""

    kind: str
    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class AffectedFile:
    """A file that cannot be restored as it was."""

    snapshot: str
    path: str
    problem: str


@dataclass(slots=True)
class CheckResult:
    """What a check found."""

    snapshots: int = 0
    index_objects: int = 0
    packs: int = 0
    blobs: int = 0
    packs_read: int = 0
    bytes_read: int = 0
    unused_packs: int = 0
    """Packs no index object lists: left by interrupted runs, harmless."""
    damage: list[Damage] = field(default_factory=list)
    files: list[AffectedFile] = field(default_factory=list)
    log_segments: int = 0
    """Archived segments of databases' logs."""
    log_segments_read: int = 0
    findings: list[Finding] = field(default_factory=list)
    """What is missing without being damage: gaps in logs."""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether everything checked is whole."""
        return not self.damage and not self.files


def check(
    repository: Repository, options: CheckOptions | None = None, *, progress: Progress | None = None
) -> CheckResult:
    """Check a repository.

    Args:
        repository: opened.
        options: structure only if None.
        progress: watches.

    Returns:
        The result; damage is in there and raises nothing.

    Raises:
        BackendError, CacheError: the check itself could not be carried out.
    """
    options, progress = options or CheckOptions(), progress or NullProgress()
    while True:
        before = repository.take_view().log.last
        result = _Check(repository, options, progress).run()
        # What prune removes while a check is running looks like damage: look again.
        if result.ok or repository.take_view().log.last == before:
            return result


class _Check:
    """One run of `check`."""

    def __init__(self, repository: Repository, options: CheckOptions, progress: Progress) -> None:
        self._repository = repository
        self._options = options
        self._progress = progress
        self._result = CheckResult()
        self._reported: set[Damage] = set()
        self._bad_blobs: dict[BlobId, str] = {}
        self._bad_pages: dict[BlobId, str] = {}
        self._stopped = False
        self._lock = Lock()
        """Of what the threads that read packs find."""

    def run(self) -> CheckResult:
        clock = self._repository.clock
        started_s = clock.monotonic_s()
        result = self._result
        _, slot_problems = read_slots(self._repository.backend, self._repository.repository_id)
        for problem in (*slot_problems, *check_copy_lists(self._repository)):
            self._damage(problem)
        self._repository.problems.clear()
        view = self._repository.take_view(believe_cache=False)
        snapshots = view.snapshots
        result.snapshots = len(snapshots)
        index_ids = sorted(self._repository.index_ids(view))
        result.index_objects = len(index_ids)
        objects = list_objects(self._repository.backend, layout.PACKS)
        present = {pack_id: info.size for pack_id, info in objects.items()}
        if self._options.read_data is None:
            self._check_structure(index_ids, view, present)
        else:
            self._check_all(index_ids, view, present, self._options.read_data)
        with BlobReader(self._repository, believe_cache=False) as reader:
            if self._options.read_data is not None:
                self._forgive(reader)
            if not result.ok or self._bad_blobs or self._bad_pages:
                self._find_files(reader, snapshots)
        result.seconds = clock.monotonic_s() - started_s
        return result

    def _check_structure(
        self, index_ids: list[str], view: View, present: dict[ObjectId, int]
    ) -> None:
        """Look through everything but the content of packs."""
        self._check_packs(index_ids, view, present)
        self._check_logs(view.snapshots)
        for problem in self._repository.problems:
            self._damage(problem)
        with BlobReader(self._repository, believe_cache=False) as reader:
            self._check_trees(reader, view.snapshots)

    def _check_packs(self, index_ids: list[str], view: View, present: dict[ObjectId, int]) -> None:
        """Rebuild the index, and compare it with the packs that are there."""
        self._progress.begin("check", total_items=None)
        repository = self._repository
        index = repository.index
        for problem in index.rebuild(index_ids, repository.read_index):
            self._damage(problem)
        doomed = view.log.doomed
        listed = 0
        for _, table in index.packs():
            if table.pack_id in doomed:
                continue
            listed += 1
            size = present.get(table.pack_id)
            if size is None:
                self._damage(IntegrityError("pack", table.pack_id, "it is missing"))
            elif size != table.stored_size:
                reason = f"it has {size} bytes instead of {table.stored_size}"
                self._damage(IntegrityError("pack", table.pack_id, reason))
            self._result.blobs += table.blob_count
        self._result.packs = listed
        self._result.unused_packs = max(0, len(present) - listed)
        index.avoid(doomed)
        index.set_present(present)
        self._progress.end()

    def _check_logs(self, snapshots: list[Snapshot]) -> None:
        """Look through the archived logs of databases, and read those that are to be read."""
        result = self._result
        chance = random.Random(self._options.random_seed)  # noqa: S311  # a sample, no secret
        self._progress.begin("logs")
        found = check_logs(
            self._repository, snapshots, self._options.read_data, chance, self._progress.update
        )
        self._progress.end()
        result.log_segments, result.log_segments_read = found.segments, found.segments_read
        with self._lock:
            result.bytes_read += found.bytes_read
        result.findings += found.findings
        for problem in found.damage:
            self._damage(problem)

    def _check_all(
        self,
        index_ids: list[str],
        view: View,
        present: dict[ObjectId, int],
        subset: DataSubset,
    ) -> None:
        """Read packs in threads while this one looks through everything else.

        Packs cost zstd, index and trees cost Python, so together they take little longer than
        either.
        """
        result = self._result
        chosen = self._choose(index_ids, present.keys() - view.log.doomed, subset)
        with ThreadPoolExecutor(1, "holdfast-read") as driver:
            reading = driver.submit(self._read_packs, index_ids, chosen)
            try:
                self._check_structure(index_ids, view, present)
                sizes = [
                    table.stored_size
                    for _, table in self._repository.index.packs()
                    if table.pack_id in chosen
                ]
                self._progress.begin("read data", total_items=len(sizes), total_bytes=sum(sizes))
                while not wait((reading,), timeout=_PROGRESS_S).done:
                    self._progress.update(result.packs_read, result.bytes_read)
                self._progress.update(result.packs_read, result.bytes_read)
                reading.result()
            finally:
                self._stopped = True
                self._progress.end()

    def _choose(
        self, index_ids: list[str], packs: AbstractSet[ObjectId], subset: DataSubset
    ) -> AbstractSet[ObjectId]:
        """Return which packs are read; with all data also those that no index object lists.

        Only a part needs to know what is listed before it is chosen: index objects are large.
        """
        if subset == ALL_DATA:
            return packs
        listed = {
            entry.pack_id: entry.stored_size
            for index_id in index_ids
            for entry in self._entries(index_id)
            if entry.pack_id in packs
        }
        chance = random.Random(self._options.random_seed)  # noqa: S311  # a sample, no secret
        return choose_packs(list(listed.items()), subset, chance)

    def _read_packs(self, index_ids: list[str], chosen: AbstractSet[ObjectId]) -> None:
        """Read the chosen packs whole; runs in a thread of its own.

        Two at once: else the cores would wait at the end of each pack for its last run.
        """
        repository = self._repository
        threads = working_threads()
        is_remote = repository.backend.is_remote
        with (
            ThreadPoolExecutor(threads, "holdfast-verify") as pool,
            ThreadPoolExecutor(repository.backend.parallelism, "holdfast-read") as readers,
            ThreadPoolExecutor(_PACKS_AT_ONCE, "holdfast-pack") as drivers,
        ):
            verifiers: SimpleQueue[PackVerifier] = SimpleQueue()
            for _ in range(_PACKS_AT_ONCE):
                runs = 1 + threads // _PACKS_AT_ONCE
                verifiers.put(PackVerifier(repository, pool, runs, readers if is_remote else None))
            waiting: deque[Future[None]] = deque()
            begun: set[ObjectId] = set()
            for index_id in index_ids:
                for entry in self._entries(index_id):
                    if self._stopped:
                        return
                    if entry.pack_id not in chosen or entry.pack_id in begun:
                        continue
                    begun.add(entry.pack_id)
                    waiting.append(drivers.submit(self._read_pack, verifiers, entry))
                    if len(waiting) > _PACKS_AT_ONCE:
                        waiting.popleft().result()
            while waiting:
                waiting.popleft().result()

    def _entries(self, index_id: str) -> list[PackEntry]:
        try:
            return self._repository.read_index(index_id)
        except IntegrityError:
            return []  # reported when the index was rebuilt

    def _read_pack(self, verifiers: SimpleQueue[PackVerifier], entry: PackEntry) -> None:
        if self._stopped:
            return
        verifier = verifiers.get()
        try:
            report = verifier.verify(entry)
        finally:
            verifiers.put(verifier)
        for problem in report.problems:
            self._damage(problem)
        with self._lock:
            self._result.packs_read += 1
            self._result.bytes_read += entry.stored_size
            bad = self._bad_blobs if entry.kind == BlobKind.DATA else self._bad_pages
            for blob_id in report.bad_blobs:
                bad[blob_id] = f"pack {entry.pack_id} is damaged"

    def _forgive(self, reader: BlobReader) -> None:
        """Forget about bad blobs of which another pack has a sound copy."""
        for blob_id in [*self._bad_blobs]:
            if len(self._repository.index.places(blob_id)) > 1:
                try:
                    reader.read(blob_id)
                except IntegrityError:
                    continue
                del self._bad_blobs[blob_id]

    def _check_trees(self, reader: BlobReader, snapshots: list[Snapshot]) -> None:
        """Read every distinct page once, level by level, and look for every blob it names.

        The ids are sorted and joined with the index: looked up one by one, each of millions of
        random ids would touch another page of a large index.
        """
        repository = self._repository
        index = repository.index

        def on_damage(page_id: BlobId, error: IntegrityError) -> None:
            self._bad_pages[page_id] = error.reason or "it is missing"

        self._progress.begin("trees")
        with LiveBlobs(reader, repository.cache.directory) as live:
            for number, _ in enumerate(live.iter_new(roots_of(snapshots), on_damage)):
                self._progress.update(number + 1, 0)
            for blob_id, places in live.join(index):
                if not any(index.is_usable(pack) for pack, _ in places):
                    self._bad_blobs[blob_id] = "a part of it is missing"
        self._progress.end()

    def _find_files(self, reader: BlobReader, snapshots: list[Snapshot]) -> None:
        """Say which files the bad blobs and pages cost."""
        affected = self._result.files
        bad = self._bad_blobs
        for snapshot in snapshots:

            def on_damage(
                path: bytes, error: IntegrityError, snapshot_id: str = snapshot.id
            ) -> None:
                problem = f"the directory cannot be read whole: {error.reason or error.kind + ' is missing'}"
                affected.append(AffectedFile(snapshot_id, display(path), problem))

            for path, node in iter_tree(reader, snapshot.root, on_damage=on_damage):
                if node.type != NodeType.FILE:
                    continue
                problem = _file_problem(reader, node, bad)
                if problem:
                    affected.append(AffectedFile(snapshot.id, display(path), problem))

    def _damage(self, error: IntegrityError) -> None:
        damage = Damage(error.kind, error.name, error.reason or str(error))
        with self._lock:
            if damage not in self._reported:
                self._reported.add(damage)
                self._result.damage.append(damage)


def _file_problem(reader: BlobReader, node: Node, bad: dict[BlobId, str]) -> str:
    """Return why a file cannot be restored, or an empty string."""
    try:
        for blob_id in content_ids(reader, node):
            if blob_id in bad:
                return bad[blob_id]
    except IntegrityError as error:
        return f"the list of its parts cannot be read: {error.reason or 'it is missing'}"
    return ""
