"""A repository in a bucket: every object is one of S3's, its key the prefix and the name.

    s3://bucket/prefix  ->  prefix/packs/3f/3f9a…

Objects appear by a single request that carries `If-None-Match: *`, so they are whole or absent,
and of several creations one succeeds; `holdfast doctor` finds out whether a server keeps that.
Deletions of nothing succeed. Keys that cannot be names of ours are ignored, whoever put them
there.

With Object Lock each object is created with its protection. Buckets that have it keep versions:
there, a deletion names the version, or the bytes would stay behind a delete marker for good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from holdfast.backends import names
from holdfast.backends.base import Backend, ObjectInfo
from holdfast.backends.location import Location
from holdfast.backends.options import StorageOptions
from holdfast.backends.retry import Retrier, RetryBackend
from holdfast.backends.s3_client import ObjectHead, S3Client, open_s3_client
from holdfast.backends.s3_parameters import PutOptions
from holdfast.backends.s3_writer import S3Writer
from holdfast.errors import AccessDeniedError, RepositoryExistsError
from holdfast.hashing import Bytes
from holdfast.storage_errors import LockedError

FREE_PREFIXES: Final = ("forgets/", "sessions/", "probe/")
"""Objects that a repository takes back itself, and that are never protected."""
_PROBES: Final = "probe/"
_BEHIND_PROBES: Final = "probe0"
"""The smallest text behind every name below probe/: "0" follows "/"."""
_LARGEST_SIZE: Final = 1 << 53
"""No server stores larger objects; some misread larger numbers."""


def open_s3(location: Location, options: StorageOptions) -> Backend:
    """Return the backend of an `s3` location, which repeats what fails for a moment."""
    client = open_s3_client(location, options)
    retrier = Retrier()
    backend = S3Backend(client, scratch_directory=options.scratch_directory, retrier=retrier)
    return RetryBackend(backend, retrier)


class S3Backend:
    """Objects below the prefix of a bucket. Safe for many threads and processes.

    It repeats no request, except for its writers; wrap it in `RetryBackend`.

    Args:
        client: of the location; `close` closes it.
        scratch_directory: where writers keep their bytes; None for the system's.
        retrier: repeats the requests of writers.
    """

    def __init__(
        self,
        client: S3Client,
        *,
        scratch_directory: str | None = None,
        retrier: Retrier | None = None,
    ) -> None:
        self._client = client
        self._scratch_directory = scratch_directory
        self._retrier = retrier or Retrier()
        self._lock_days = 0

    @property
    def location(self) -> str:
        """The location as it was given."""
        return self._client.text

    @property
    def is_remote(self) -> bool:
        """True."""
        return True

    @property
    def parallelism(self) -> int:
        """The connections of the location."""
        return self._client.location.connections

    def protect(self, days: int) -> None:
        """Have objects created from now on locked for `days` days; the server must have it on."""
        self._lock_days = days

    def create(self, name: str, data: Bytes) -> None:
        """Create an object by one request."""
        names.check_name(name)
        body = bytes(data)
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        self._client.put(name, body, digest, self._put_options(name, is_hot=True))

    def open_writer(self, name: str, *, is_hot: bool = False) -> S3Writer:
        """Begin an object in a scratch file; `commit` sends it, and repeats what fails."""
        names.check_name(name)
        how = self._put_options(name, is_hot=is_hot)
        return S3Writer(self._client, name, how, self._retrier, self._scratch_directory)

    def read(self, name: str) -> bytes:
        """Return a whole object."""
        names.check_name(name)
        return self._client.get(name)[0]

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Return part of an object; of no bytes only whether it is there is asked."""
        names.check_name(name)
        names.check_range(offset, length)
        if length == 0 or offset >= _LARGEST_SIZE:
            self._client.head(name)
            return b""
        return self._client.get(name, offset, min(length, _LARGEST_SIZE - offset))[0]

    def size(self, name: str) -> int:
        """Return an object's size in bytes."""
        names.check_name(name)
        return self._client.head(name).size

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects below `prefix`; each 1000 are a request, sent when it is needed."""
        names.check_prefix(prefix)
        return self._pages(prefix)

    def delete(self, name: str) -> None:
        """Delete an object; its version, if objects are protected."""
        names.check_name(name)
        if not self._lock_days or name.startswith(FREE_PREFIXES):
            self._client.delete(name)
            return
        head = self._client.head(name)
        try:
            self._client.delete(name, head.version_id)
        except LockedError as error:
            raise LockedError(self.location, name, _end_of(head)) from error
        except AccessDeniedError as error:
            if not self._is_locked(head):
                raise
            raise LockedError(self.location, name, _end_of(head)) from error

    def initialize(self) -> None:
        """Check that nothing is below the prefix but what a probe may have left."""
        found = self._client.list_page("", most=1).objects
        if found and found[0].name.startswith(_PROBES):
            found = self._client.list_page("", most=1, after=_BEHIND_PROBES).objects
        if found:
            where = "prefix" if self._client.location.path else "bucket"
            reason = f"the {where} is not empty (it holds {found[0].name})"
            raise RepositoryExistsError(self.location, reason)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _put_options(self, name: str, *, is_hot: bool) -> PutOptions:
        storage_class = "" if is_hot else self._client.location.storage_class
        if not self._lock_days or name.startswith(FREE_PREFIXES):
            return PutOptions(storage_class=storage_class)
        return PutOptions(
            storage_class=storage_class,
            lock_mode=self._client.location.lock_mode.upper(),
            locked_until=self._now() + timedelta(days=self._lock_days),
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._client.clock.now_ns() // 10**9, UTC)

    def _is_locked(self, head: ObjectHead) -> bool:
        return head.locked_until is not None and head.locked_until > self._now()

    def _pages(self, prefix: str) -> Iterator[ObjectInfo]:
        token = ""
        while True:
            page = self._client.list_page(prefix, token)
            for info in page.objects:
                if names.is_name(info.name):
                    yield info
            token = page.next_token
            if not token:
                return


def _end_of(head: ObjectHead) -> str:
    """Say until when an object is protected, if that is known."""
    until = head.locked_until
    return "" if until is None else f"until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
