"""Who may prune: anybody, or one host where the storage cannot keep two pruners apart.

The log of prune is one sequence for all because each entry is created only if it is absent. On
storage without that, one pruner at a time is enough: whoever is alone overwrites nothing. So the
config of such a repository names a maintainer; on that host a file lock admits one process.

A storage that could do it at `init` may have been replaced since, by a gateway or another mount.
So it is tried again before each prune, with ten small requests.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from holdfast.errors import CacheError, NotMaintainerError, PruneBusyError, UnsafeStorageError
from holdfast.operations.probe import probe_exclusive_create
from holdfast.repository.repository import Repository

LOCK_NAME: Final = "prune.lock"
_MOST_TRIES: Final = 10


@contextmanager
def sole_pruner(
    repository: Repository, *, host: str, as_maintainer: bool = False
) -> Iterator[None]:
    """Make sure that writing to the log of prune is safe, as long as the context lasts.

    Args:
        repository: opened.
        host: where this runs.
        as_maintainer: take the place of the maintainer; the caller knows that it is gone.

    Raises:
        UnsafeStorageError: the config says that creations are exclusive, and they are not.
        NotMaintainerError: another host maintains the repository.
        PruneBusyError: another process of this host prunes it.
        CacheError: the lock cannot be made.
        BackendError: the storage failed.
    """
    config, backend = repository.config, repository.backend
    if config.exclusive_create:
        if not probe_exclusive_create(backend, quick=True):
            raise UnsafeStorageError(backend.location, "prune")
        yield
        return
    if host != config.maintainer and not as_maintainer:
        raise NotMaintainerError(backend.location, config.maintainer, host)
    path = os.path.join(repository.cache.directory, LOCK_NAME)
    descriptor = _lock(path, backend.location)
    try:
        yield
    finally:
        os.close(descriptor)  # which ends the lock; so does the death of the process


def _lock(path: str, location: str) -> int:
    """Return the descriptor of a locked file.

    The cache may be deleted at any moment, so a lock counts only if it is that of the file that
    has the name.
    """
    try:
        for _ in range(_MOST_TRIES):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    return descriptor
            except FileNotFoundError:
                pass
            except BlockingIOError as error:
                os.close(descriptor)
                raise PruneBusyError(location) from error
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
    except OSError as error:
        raise CacheError(path, error.strerror or str(error)) from error
    raise CacheError(path, "it is deleted again and again")
