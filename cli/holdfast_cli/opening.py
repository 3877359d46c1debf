"""Opens what the global options name: the backend and the repository on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from holdfast.backends.base import Backend
from holdfast.backends.dryrun import DiscardingBackend
from holdfast.backends.location import parse_location
from holdfast.backends.options import StorageOptions
from holdfast.backends.registry import open_backend
from holdfast.clock import SystemClock
from holdfast.crypto.secrets import Secret
from holdfast.errors import (
    CacheError,
    ConfigurationError,
    KeyFileError,
    NotFoundError,
    RepositoryNotFoundError,
)
from holdfast.format.config import CONFIG_NAME
from holdfast.repository.repository import Repository
from holdfast_cli.options import Settings
from holdfast_cli.secret_sources import read_secret

_SCRATCH: Final = "scratch"


@contextmanager
def open_storage(settings: Settings, *, location: str | None = None) -> Iterator[Backend]:
    """Open the backend and close it at the end.

    Args:
        settings: how to use it, and where it is if `location` is None.
        location: of another repository than the one that the global options name; its requests
            count together with those of the others.

    Raises:
        ConfigurationError: no location was given, or it is none.
    """
    location = location or settings.repository
    if location is None:
        raise ConfigurationError(
            "no repository was named", "give one with -r LOCATION or in HOLDFAST_REPOSITORY"
        )
    backend = open_backend(location, storage_options(settings, location))
    try:
        yield backend
    finally:
        backend.close()


@contextmanager
def open_repository(
    settings: Settings,
    *,
    location: str | None = None,
    secret: Secret | None = None,
    dry_run: bool = False,
) -> Iterator[Repository]:
    """Open the repository and close it at the end.

    Args:
        settings: where it is if `location` is None, and its secret if `secret` is None.
        location: as for `open_storage`.
        secret: opens it.
        dry_run: let every write to the repository vanish.

    Raises:
        ConfigurationError: no location, no source of a password, or no place for the cache.
        RepositoryNotFoundError, WrongKeyError, UnsupportedVersionError: it cannot be opened.
    """
    if settings.cache_dir is None:
        raise ConfigurationError(
            "there is no home directory to keep the cache in",
            "name a directory with --cache-dir or in HOLDFAST_CACHE_DIR",
        )
    with open_storage(settings, location=location) as storage:
        backend = DiscardingBackend(storage) if dry_run else storage
        if secret is None:
            secret = _read_secret(settings, backend)
        with Repository.open(
            backend, secret, cache_dir=settings.cache_dir, clock=SystemClock()
        ) as repository:
            yield repository


def storage_options(settings: Settings, location: str) -> StorageOptions:
    """Return how to use the storage at `location`; makes the directory for scratch files.

    Raises:
        ConfigurationError: not a location.
        CacheError: the directory cannot be made.
    """
    scratch = None
    if settings.cache_dir is not None and parse_location(location).scheme != "file":
        scratch = os.path.join(settings.cache_dir, _SCRATCH)
        try:
            os.makedirs(settings.cache_dir, mode=0o700, exist_ok=True)
            os.makedirs(scratch, mode=0o700, exist_ok=True)
        except OSError as error:
            raise CacheError(scratch, (error.strerror or "unknown error").lower()) from error
    return StorageOptions(
        scratch_directory=scratch,
        upload_bytes_per_s=settings.limit_upload,
        download_bytes_per_s=settings.limit_download,
        meter=settings.counter,
    )


def read_repository_secret(settings: Settings) -> Secret:
    """Read the secret of a repository that is opened later, perhaps by another process.

    Raises:
        As `open_repository`, as far as that is known without opening it.
    """
    with open_storage(settings) as storage:
        return _read_secret(settings, storage)


def _read_secret(settings: Settings, backend: Backend) -> Secret:
    """Read the secret; where there is no repository that is what people are told first.

    Looking costs a request, so it is done only before a person is asked for a password, or when
    there is bad news anyway.
    """
    if settings.secret is None:
        _check_present(backend)
        return read_secret(None)
    try:
        return read_secret(settings.secret)
    except (ConfigurationError, KeyFileError):
        _check_present(backend)
        raise


def _check_present(backend: Backend) -> None:
    """Look whether there is a repository.

    Raises:
        RepositoryNotFoundError: there is none.
    """
    try:
        backend.size(CONFIG_NAME)
    except NotFoundError as error:
        raise RepositoryNotFoundError(backend.location) from error
