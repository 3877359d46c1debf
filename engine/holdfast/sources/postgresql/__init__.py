"""PostgreSQL: as statements by pg_dump, or as the server's own files by pg_basebackup.

Modules for a method are imported when it is asked for.
"""

from __future__ import annotations

from holdfast.sources.base import (
    DatabaseOptions,
    DatabaseSource,
    DatabaseTarget,
    Method,
    RestoreTo,
    ScratchServer,
)


def open_source(options: DatabaseOptions) -> DatabaseSource:
    """Return a server that can be saved; see `Kind`."""
    if options.method is Method.PHYSICAL:
        from holdfast.sources.postgresql.physical import open_physical_source

        return open_physical_source(options)
    from holdfast.sources.postgresql.logical import LogicalSource

    return LogicalSource(options)


def open_target(to: RestoreTo, method: Method) -> DatabaseTarget:
    """Return where to restore to; see `Kind`."""
    if method is Method.PHYSICAL:
        from holdfast.sources.postgresql.physical import open_physical_target

        return open_physical_target(to)
    from holdfast.sources.postgresql.restore import LogicalTarget

    return LogicalTarget(to)


def open_scratch(options: DatabaseOptions, method: Method, directory: str) -> ScratchServer:
    """Return a server to look whether a backup can be restored; see `Kind`."""
    from holdfast.sources.postgresql.scratch import PostgresScratch

    return PostgresScratch(options, method, directory)
