"""MariaDB and MySQL: dumps, physical backups, and the binary logs between them."""

from __future__ import annotations

from holdfast.sources.base import (
    DatabaseOptions,
    DatabaseSource,
    DatabaseTarget,
    Method,
    RestoreTo,
    ScratchServer,
)
from holdfast.sources.mariadb.logical import LogicalSource
from holdfast.sources.mariadb.logical_target import LogicalTarget
from holdfast.sources.mariadb.physical import PhysicalSource
from holdfast.sources.mariadb.physical_target import PhysicalTarget
from holdfast.sources.mariadb.scratch import MariaScratch


def open_source(options: DatabaseOptions) -> DatabaseSource:
    """Return what can be saved; dumps unless told otherwise."""
    if options.method is Method.PHYSICAL:
        return PhysicalSource(options)
    return LogicalSource(options)


def open_target(to: RestoreTo, method: Method) -> DatabaseTarget:
    """Return where to restore a snapshot that was made by `method`."""
    return PhysicalTarget(to) if method is Method.PHYSICAL else LogicalTarget(to)


def open_scratch(options: DatabaseOptions, method: Method, directory: str) -> ScratchServer:
    """Return a server to be started in `directory`."""
    return MariaScratch(options, method, directory)
