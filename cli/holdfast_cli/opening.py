"""Opens what the global options name: the backend and the repository on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.backends.base import Backend
from holdfast.backends.dryrun import DiscardingBackend
from holdfast.backends.registry import open_backend
from holdfast.clock import SystemClock
from holdfast.crypto.secrets import Secret
from holdfast.errors import ConfigurationError, NotFoundError, RepositoryNotFoundError
from holdfast.format.config import CONFIG_NAME
from holdfast.repository.repository import Repository
from holdfast_cli.options import Settings
from holdfast_cli.secret_sources import read_secret


@contextmanager
def open_storage(settings: Settings) -> Iterator[Backend]:
    """Open the backend and close it at the end.

    Raises:
        ConfigurationError: no location was given, or it is none.
    """
    if settings.repository is None:
        raise ConfigurationError(
            "no repository was named", "give one with -r LOCATION or in HOLDFAST_REPOSITORY"
        )
    backend = open_backend(settings.repository)
    try:
        yield backend
    finally:
        backend.close()


@contextmanager
def open_repository(
    settings: Settings, *, secret: Secret | None = None, dry_run: bool = False
) -> Iterator[Repository]:
    """Open the repository and close it at the end.

    Args:
        settings: where it is, and its secret if `secret` is None.
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
    with open_storage(settings) as storage:
        backend = DiscardingBackend(storage) if dry_run else storage
        if secret is None:
            _check_present(backend)
            secret = read_secret(settings.secret)
        with Repository.open(
            backend, secret, cache_dir=settings.cache_dir, clock=SystemClock()
        ) as repository:
            yield repository


def _check_present(backend: Backend) -> None:
    """Look before asking anybody for a password."""
    try:
        backend.size(CONFIG_NAME)
    except NotFoundError as error:
        raise RepositoryNotFoundError(backend.location) from error
