"""What `wal-push` and `wal-fetch` share: the repository without its cache, and segments ahead."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from holdfast.clock import SystemClock
from holdfast.errors import ConfigurationError
from holdfast.operations.wal_ahead import SegmentsAhead
from holdfast_cli.options import Settings

if TYPE_CHECKING:
    from holdfast.repository.repository import Repository

_AHEAD: Final = "wal"


@contextmanager
def open_for_wal(settings: Settings) -> Iterator[Repository]:
    """Open the repository for its log archives and close it at the end.

    Raises:
        As `open_repository`.
    """
    # Imported here: a segment that was fetched ahead is handed out without all this, in a third
    # of the time.
    from holdfast.repository.absent_cache import AbsentCache
    from holdfast.repository.repository import Repository
    from holdfast_cli.opening import open_storage
    from holdfast_cli.secret_sources import read_secret

    secret = read_secret(settings.secret)
    with (
        open_storage(settings) as backend,
        Repository.open(
            backend,
            secret,
            cache_dir=_cache_dir(settings),
            clock=SystemClock(),
            open_cache=AbsentCache,
        ) as repository,
    ):
        yield repository


def segments_ahead(settings: Settings, system_id: str) -> SegmentsAhead:
    """Return where segments of a server lie that were fetched ahead from this repository.

    Raises:
        ConfigurationError: no location was given, or there is no place for the cache.
    """
    if settings.repository is None:
        raise ConfigurationError(
            "no repository was named", "give one with -r LOCATION or in HOLDFAST_REPOSITORY"
        )
    origin = hashlib.sha256(f"{settings.repository}\0{system_id}".encode(errors="surrogateescape"))
    directory = os.path.join(_cache_dir(settings), _AHEAD, origin.hexdigest()[:32])
    return SegmentsAhead(directory, SystemClock())


def _cache_dir(settings: Settings) -> str:
    if settings.cache_dir is None:
        raise ConfigurationError(
            "there is no home directory to keep the cache in",
            "name a directory with --cache-dir or in HOLDFAST_CACHE_DIR",
        )
    return settings.cache_dir
