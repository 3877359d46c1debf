"""After a backup or a prune: keep what is needed protected by Object Lock, and tell about it."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final

from holdfast.backends.location import parse_location
from holdfast.errors import HoldfastError
from holdfast.operations.backup_session import BackupResult
from holdfast.operations.object_lock import LockFailure, LockReport, LockStore, keep_locked
from holdfast.progress import Progress
from holdfast.repository.repository import Repository
from holdfast_cli.app import App
from holdfast_cli.opening import storage_options
from holdfast_cli.output.names import count
from holdfast_cli.times import format_local, format_rfc3339

_MOST_SHOWN: Final = 3
_NO_LOCK: Final = "this storage has no Object Lock, which the repository was created with"


def keep_locked_after(
    app: App, repository: Repository, result: BackupResult, progress: Progress
) -> LockReport | None:
    """Extend locks for the snapshot of a backup; None if there are none.

    The snapshot is safe by now: what fails here is told, and ends nothing.
    """
    if result.kept is None:
        return None
    return _keep(
        app,
        repository,
        progress,
        snapshots=[result.kept],
        index_ids=result.index_ids,
    )


def keep_locked_all(
    app: App, repository: Repository, progress: Progress, *, dry_run: bool
) -> LockReport | None:
    """Extend locks for all snapshots that are kept; None if there are none."""
    return _keep(app, repository, progress, dry_run=dry_run)


def _keep(app: App, repository: Repository, progress: Progress, **how: Any) -> LockReport | None:
    if not repository.config.object_lock_days:
        return None
    location = repository.backend.location
    if repository.locks is None:
        return LockReport(failures=[LockFailure(location, _NO_LOCK)])
    try:
        with closing(_open_store(app, location)) as store:
            return keep_locked(repository, store, progress=progress, **how)
    except HoldfastError as error:
        return LockReport(failures=[LockFailure(location, str(error))])


def _open_store(app: App, location: str) -> LockStore:
    from holdfast.backends.s3_client import open_s3_client
    from holdfast.backends.s3_lock import S3Locks

    options = storage_options(app.settings, location)
    return S3Locks(open_s3_client(parse_location(location), options))


def locks_json(report: LockReport) -> dict[str, Any]:
    """Return the stable keys of what was done about locks."""
    return {
        "objects": report.objects,
        "looked_at": report.looked_at,
        "extended": report.extended,
        "failures": [{"name": one.name, "problem": one.reason} for one in report.failures],
        "not_tried": report.not_tried,
        "ends": None if report.ends_s is None else format_rfc3339(report.ends_s * 10**9),
    }


def show_locks(app: App, report: LockReport | None) -> None:
    """Tell people until when all that is needed is protected, and what is not."""
    if report is None:
        return
    if report.extended or report.ends_s is not None:
        until = "" if report.ends_s is None else f" until {format_local(report.ends_s * 10**9)}"
        extended = f", {report.extended} of them extended" if report.extended else ""
        if not app.output.json:
            app.output.summary(
                f"Object Lock protects {count(report.objects, 'object')}{until}{extended}"
            )
    if not report.failed:
        return
    for one in report.failures[:_MOST_SHOWN]:
        app.output.warn(f"the protection of {one.name} could not be extended: {one.reason}")
    app.output.warn(
        f"{count(report.failed, 'object')} may be protected for too short a time; nothing is lost. "
        "Run `holdfast prune` once the storage allows it, which extends all locks that are due"
    )
