"""Keep what snapshots need protected by Object Lock, however old it is.

The promise: at any time each object that a kept snapshot needs is protected for at least D - M
more days, D being the days that `init --object-lock` was given and M the longest time between two
prunes that ended well. For what the newest snapshot of a source needs, M is the longest time
between two backups of it, if that is shorter.

The arithmetic: objects are created with protection for S = 1.5 D days. A run at time t looks at
what is needed and extends, to t + S, what ends before t + D. So after each run D days are left, and
an object that was created or extended at t is due at t + S - D = t + D/2 at the earliest: once in
half of D, not at each run. What nobody needs any more is never extended, and prune can delete it
1.5 D days after it was last needed, at the latest.

The clock is this machine's; a server refuses requests signed by one that is 15 minutes wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, Protocol

from holdfast.backends.location import Location
from holdfast.backends.options import StorageOptions
from holdfast.errors import BackendError, ConfigurationError, HoldfastError, NotFoundError
from holdfast.format.config import CONFIG_NAME
from holdfast.format.snapshot import Snapshot
from holdfast.operations.live_blobs import LiveBlobs
from holdfast.operations.log_expiry import needed_objects
from holdfast.operations.references import roots_of
from holdfast.progress import NullProgress, Progress
from holdfast.repository import layout
from holdfast.repository.lock_ledger import LockLedger
from holdfast.repository.log_state import LogState
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository

MOST_DAYS: Final = 24_000
"""Half as long again is what servers take at the most: 100 years."""
_MOST_FAILURES: Final = 20
"""After so many the rest is not tried: most likely every request would fail alike."""
_MAY_BE_GONE: Final = (layout.KEYS, layout.GC)
"""Below these others may have deleted an object since it was listed."""
_SILENT: Final = "the storage does not say until when it is protected; nothing was extended"


class LockStore(Protocol):
    """A storage that protects objects. Safe for many threads."""

    @property
    def parallelism(self) -> int:
        """How many requests at once make sense."""

    def end_of(self, name: str) -> int | None:
        """Return when an object's protection ends, in seconds since 1970 UTC; None if unknown."""

    def extend(self, name: str, until_s: int) -> None:
        """Protect an object until a later moment, in seconds since 1970 UTC."""

    def close(self) -> None:
        """Release connections."""


@dataclass(frozen=True, slots=True)
class LockFailure:
    """An object whose protection could not be extended."""

    name: str
    reason: str


@dataclass(slots=True)
class LockReport:
    """What was done, or would be."""

    objects: int = 0
    """That are needed."""
    looked_at: int = 0
    """Whose protection was asked for, one request each."""
    extended: int = 0
    """Whose protection was extended, one request each; in a dry run those that would be."""
    failures: list[LockFailure] = field(default_factory=list)
    not_tried: int = 0
    """Left out after too many failures."""
    ends_s: int | None = None
    """The first moment, in seconds since 1970 UTC, at which one of the objects is not protected
    any more; None if that is not known of all."""

    @property
    def failed(self) -> int:
        """How many objects may be protected for too short a time."""
        return len(self.failures) + self.not_tried


def keep_locked(
    repository: Repository,
    store: LockStore,
    *,
    snapshots: Sequence[Snapshot] | None = None,
    index_ids: Iterable[str] = (),
    dry_run: bool = False,
    progress: Progress | None = None,
) -> LockReport:
    """Extend the protection of what snapshots need, where it ends too early.

    Args:
        repository: opened, of a config with `object_lock_days`.
        store: its storage.
        snapshots: that were just committed or built upon, with the index loaded; None for all
            that are kept, as the storage has them now.
        index_ids: index objects that the commit of the snapshots brought.
        dry_run: count, and extend nothing.
        progress: watches.

    Raises:
        IntegrityError: a directory cannot be read, so nobody knows what is needed.
        BackendError: listing or reading failed; no lock was shortened.

    Cost: reading the directories of the snapshots. For each object that this machine does not
    know to be protected long enough one HEAD, and if it is not another request.
    """
    ledger = repository.locks
    if ledger is None:
        raise ValueError("the repository is not protected")
    watch = progress or NullProgress()
    watch.begin("find what must stay locked")
    try:
        names = _needed(repository, ledger, snapshots, index_ids)
    finally:
        watch.end()
    run = _Run(store, ledger, dry_run=dry_run)
    try:
        run.extend_all(names, watch)
    finally:
        ledger.save()
    return run.report


def _needed(
    repository: Repository,
    ledger: LockLedger,
    snapshots: Sequence[Snapshot] | None,
    index_ids: Iterable[str],
) -> list[str]:
    """Return the names of all objects that snapshots need, the config first."""
    is_all = snapshots is None
    view = repository.load_view() if is_all or repository.view is None else repository.view
    chosen = view.snapshots if snapshots is None else snapshots
    trusted = repository.index_ids(view) | set(index_ids)
    packs = _packs_of(repository, chosen)
    listed = repository.index.listed_packs()
    slots = {layout.key_name(repository.slot_id), *ledger.names(layout.KEYS)}
    copy_lists: list[str] = []
    if is_all or ledger.is_due(CONFIG_NAME):  # as often as the config, which is often enough
        slots.update(info.name for info in repository.backend.list(layout.KEYS))
        copy_lists = sorted(info.name for info in repository.backend.list(layout.COPIES))
    return [
        CONFIG_NAME,
        *sorted(slots),
        *copy_lists,
        *_log_names(view.log),
        *(layout.snapshot_name(one.id) for one in chosen),
        *sorted(layout.index_name(one) for one in trusted if packs & set(listed.get(one, ()))),
        *sorted(_pack_names(repository, packs)),
        *needed_objects(repository, chosen),
    ]


def _packs_of(repository: Repository, snapshots: Sequence[Snapshot]) -> set[int]:
    """Return the numbers of the packs that snapshots need, one place for each blob."""
    index = repository.index
    needed: set[int] = set()
    with (
        BlobReader(repository) as reader,
        LiveBlobs(reader, repository.cache.directory) as live,
    ):
        live.add(roots_of(snapshots))
        for _, places in live.join(index):
            usable = [pack for pack, _ in places if index.is_usable(pack)]
            # Of several places the one that is needed anyway; a lost blob is check's business.
            if usable and needed.isdisjoint(usable):
                needed.add(usable[0])
    return needed


def _pack_names(repository: Repository, packs: set[int]) -> Iterator[str]:
    for number, pack_id in repository.index.pack_ids():
        if number in packs:
            yield layout.pack_name(pack_id)


def _log_names(log: LogState) -> list[str]:
    """Return the entries that say what counts: the last SEAL and what came after it."""
    return [layout.gc_name(number) for number in range(max(0, log.seal_number), log.last + 1)]


class _Run:
    """One run over the objects that are needed."""

    def __init__(self, store: LockStore, ledger: LockLedger, *, dry_run: bool) -> None:
        self._store = store
        self._ledger = ledger
        self._dry_run = dry_run
        self._lock = Lock()
        self.report = LockReport()

    def extend_all(self, names: list[str], progress: Progress) -> None:
        """Look at what is due, and extend it."""
        ledger, report = self._ledger, self.report
        due = [name for name in names if ledger.is_due(name)]
        report.objects = len(names)
        if due:
            # A server that does not tell that the config is locked, which was locked at its
            # creation, is not the one that was tried out then: it might overwrite objects.
            report.looked_at += 1
            if self._store.end_of(CONFIG_NAME) is None:
                report.failures.append(LockFailure(CONFIG_NAME, _SILENT))
                report.not_tried = len(due) - (CONFIG_NAME in due)
                return
            progress.begin("extend locks", total_items=len(due))
            try:
                with ThreadPoolExecutor(self._store.parallelism, "holdfast-lock") as pool:
                    for number, _ in enumerate(pool.map(self._extend, due)):
                        progress.update(number, 0)
            finally:
                progress.end()
        ends = [ledger.end_of(name) for name in names if not self._has_gone(name)]
        known = [end_s for end_s in ends if end_s is not None]
        report.ends_s = min(known) if len(known) == len(ends) else None

    def _extend(self, name: str) -> None:
        with self._lock:
            if len(self.report.failures) >= _MOST_FAILURES:
                self.report.not_tried += 1
                return
        try:
            self._extend_one(name)
        except NotFoundError:
            self._ledger.drop(name)
            if not name.startswith(_MAY_BE_GONE):
                self._fail(name, "it is missing")
        except BackendError as error:
            self._fail(name, error.reason or "the storage does not allow it")
        except HoldfastError as error:
            self._fail(name, str(error))

    def _extend_one(self, name: str) -> None:
        ledger, report = self._ledger, self.report
        with self._lock:
            report.looked_at += 1
        end_s = self._store.end_of(name)
        if end_s is not None:
            ledger.note(name, end_s)
            if end_s >= ledger.due_s:
                return
        if not self._dry_run:
            new_end_s = ledger.new_end_s
            self._store.extend(name, new_end_s)
            ledger.note(name, new_end_s)
        with self._lock:
            report.extended += 1

    def _fail(self, name: str, reason: str) -> None:
        with self._lock:
            self.report.failures.append(LockFailure(name, reason))

    def _has_gone(self, name: str) -> bool:
        return name.startswith(_MAY_BE_GONE) and self._ledger.end_of(name) is None


def require_object_lock(location: Location, options: StorageOptions, days: int) -> None:
    """Try out on a scratch object whether a storage protects objects.

    Raises:
        ConfigurationError: it does not, or not for so long.
        BackendError: nothing could be found out.
    """
    if not 1 <= days <= MOST_DAYS:
        raise ConfigurationError(f"Object Lock for {days} days", f"choose 1 to {MOST_DAYS}")
    if location.scheme != "s3":
        hint = "give a location in S3 whose bucket has it, or leave --object-lock out"
        raise ConfigurationError("only storage in S3 has Object Lock", hint)
    from holdfast.backends.s3_bucket import BucketProbe, State
    from holdfast.backends.s3_client import open_s3_client
    from holdfast.backends.s3_lock import has_object_lock

    client = open_s3_client(location, options)
    probe = BucketProbe(client)
    try:
        if not has_object_lock(client):
            raise ConfigurationError(
                f"the bucket {location.bucket} has no Object Lock",
                "create a bucket with Object Lock enabled, or leave --object-lock out",
            )
        fact = probe.object_lock()
    finally:
        probe.clear()
        client.close()
    if fact.state is not State.GOOD:
        raise ConfigurationError(
            f"Object Lock does not hold on this storage: {fact.seen}",
            "leave --object-lock out, or choose another provider; `holdfast doctor` shows more",
        )
