"""What a bucket and its server do beyond storing objects, found out on scratch objects.

Nothing is believed for being answered. Some servers take a request for retention or legal hold
for an upload: they answer success and replace the object by the XML of the request. So a lock is
tried on a scratch object that is read back, and only then by a deletion that must fail.

What a lock leaves behind is protected for a minute, in governance mode.
"""

from __future__ import annotations

import email.utils
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, Final, TypeVar

from holdfast.backends.names import PROBE
from holdfast.backends.retry import Retrier
from holdfast.backends.s3_client import Page, S3Client
from holdfast.backends.s3_parameters import PutOptions
from holdfast.errors import (
    AccessDeniedError,
    BackendError,
    HoldfastError,
    NotFoundError,
    TransientBackendError,
)

_Result = TypeVar("_Result")

_LOCK_S: Final = 60
"""Longer than the tries on a locked object take; it cannot be deleted without a special right."""
_CLOCK_S: Final = 60.0
"""A difference of clocks that deserves a word; servers refuse requests from 15 minutes on."""
_PAGE: Final = 2
_PAGED: Final = 5


class State(Enum):
    """What a fact means."""

    GOOD = auto()
    POOR = auto()
    """It works, but somebody should look at it."""
    ABSENT = auto()
    BROKEN = auto()
    """A repository cannot be kept there."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What was found out about one property."""

    property: str
    """Stable name."""
    expected: str
    seen: str
    state: State
    means: str = ""
    """For people; empty for the state's own words."""


class BucketProbe:
    """Tries what a bucket does; scratch objects are made below probe/ and deleted by `clear`.

    Args:
        client: of the location; whoever made it closes it.
        retrier: repeats what fails for a moment.
    """

    def __init__(self, client: S3Client, *, retrier: Retrier | None = None) -> None:
        self._client = client
        self._retrier = retrier or Retrier()
        self._made: list[str] = []
        self.left: list[str] = []
        """What could not be deleted, and until when it is protected."""
        self.clock_difference_s = 0.0
        """By how much the server's clock is ahead of ours; known after `facts`."""

    def facts(self) -> Iterator[Fact]:
        """Yield what is found out, one fact after another.

        Raises:
            BackendError: nothing can be found out, since the server does not answer or denies all.
        """
        yield self.clock()
        probes: tuple[tuple[str, Callable[[], Fact]], ...] = (
            ("listing-pages", self.listing_pages),
            ("upload-checksum", self.upload_checksum),
            ("multipart", self.multipart),
            ("versioning", self.versioning),
            ("object-lock", self.object_lock),
            ("storage-class", self.storage_class),
        )
        for name, probe in probes:
            if name == "storage-class" and not self._client.location.storage_class:
                continue
            try:
                yield probe()
            except AccessDeniedError:
                yield Fact(name, "", "no permission to look", State.ABSENT, "not known")
            except TransientBackendError:
                raise
            except BackendError as error:
                yield Fact(name, "", f"failed{_because(error)}", State.ABSENT)

    def clock(self) -> Fact:
        """Compare the server's clock with ours, by the date of an answer. Exact to a second."""
        before_s = self._client.clock.now_ns() / 1e9
        answer = self._run(
            lambda: self._client.call(
                "list_objects_v2", PROBE, Prefix=self._client.key(PROBE), MaxKeys=1
            )
        )
        after_s = self._client.clock.now_ns() / 1e9
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
        expected = "the same as ours"
        try:
            server_s = email.utils.parsedate_to_datetime(date).timestamp() + 0.5
        except (TypeError, ValueError):
            return Fact("clock", expected, "the server does not tell its time", State.ABSENT)
        self.clock_difference_s = server_s - (before_s + after_s) / 2
        apart_s = abs(self.clock_difference_s)
        if apart_s <= 1.5:
            return Fact("clock", expected, "the same within a second", State.GOOD)
        ahead = "ahead of" if self.clock_difference_s > 0 else "behind"
        seen = f"{apart_s:.0f} s {ahead} ours"
        if apart_s < _CLOCK_S:
            return Fact("clock", expected, seen, State.GOOD)
        means = "set the clock: from 15 minutes on servers refuse requests"
        return Fact("clock", expected, seen, State.POOR, means)

    def listing_pages(self) -> Fact:
        """List a few objects in pages of two."""
        root = self._name()
        names = [f"{root}/{number}" for number in range(_PAGED)]
        self._made.remove(root)
        for name in reversed(names):
            self._made.append(name)
            self._put(name, b"x")
        pages: list[list[str]] = []
        token = ""
        while True:
            page = self._page(f"{root}/", token)
            pages.append([info.name for info in page.objects])
            token = page.next_token
            if not token or len(pages) > _PAGED + 1:
                break
        found = [name for page_names in pages for name in page_names]
        expected = "each object once, in order, no page too long"
        if found == names and all(len(one) <= _PAGE for one in pages):
            return Fact("listing-pages", expected, f"{len(pages)} pages right", State.GOOD)
        if sorted(set(found)) == names:
            seen = f"{len(pages)} pages complete, but not in order, or too long"
            return Fact("listing-pages", expected, seen, State.GOOD, "good enough")
        missing = len(set(names) - set(found))
        seen = f"{missing} of {_PAGED} missing" if missing else "objects that are not there"
        return Fact("listing-pages", expected, seen, State.BROKEN)

    def upload_checksum(self) -> Fact:
        """Upload an object with the MD5 of another one."""
        name, data = self._name(), os.urandom(64)
        expected = "an upload with a wrong MD5 is refused"
        try:
            self._client.put(name, data, _md5(data + b"x"))
        except BackendError as error:
            if "digest" not in error.reason.lower() and "md5" not in error.reason.lower():
                raise
            if self._read(name) is None:
                return Fact("upload-checksum", expected, "refused", State.GOOD)
            return Fact("upload-checksum", expected, "refused, but stored", State.ABSENT)
        means = "not available: only `check --read-data` finds uploads that were damaged on the way"
        return Fact("upload-checksum", expected, "accepted", State.ABSENT, means)

    def multipart(self) -> Fact:
        """Upload a part, look whether it can be seen already, and give up; then complete one."""
        expected = "nothing is seen until an upload is complete"
        name, data = self._name(), os.urandom(1024)
        early = self._upload_part(name, data)
        is_early = self._read(name) is not None
        self._run(lambda: self._client.abort_upload(name, early[0]))
        if is_early or self._read(name) is not None:
            return Fact("multipart", expected, "half an upload can be seen", State.BROKEN)
        upload_id, etag = self._upload_part(name, data)
        self._run(lambda: self._client.complete_upload(name, upload_id, [etag]))
        if self._read(name) != data:
            return Fact("multipart", expected, "other bytes came back", State.BROKEN)
        seen = "invisible until complete, and aborted"
        return Fact("multipart", expected, seen, State.GOOD)

    def versioning(self) -> Fact:
        """Ask whether the bucket keeps old versions, and look whether it does."""
        answer = self._run(lambda: self._client.call("get_bucket_versioning", ""))
        status = str(answer.get("Status", ""))
        if status != "Enabled":
            seen = "suspended" if status else "off"
            return Fact("versioning", "", seen, State.ABSENT, "deleted objects are gone at once")
        name = self._name()
        self._put(name, b"first")
        old = self._run(lambda: self._client.head(name)).version_id
        self._put(name, b"second", if_absent=False)
        kept = old and self._read(name, old) == b"first" and self._read(name) == b"second"
        if not kept:
            return Fact("versioning", "", "said to be on, but no version is kept", State.ABSENT)
        means = "deleted objects are paid for until a lifecycle rule removes their versions"
        return Fact("versioning", "", "on", State.GOOD, means)

    def object_lock(self) -> Fact:
        """Lock a scratch object for a minute, see that it is whole, and try to delete it."""
        expected = "a locked object stays whole, and cannot be deleted"
        name, data = self._name(), os.urandom(64)
        until = self._until(_LOCK_S // 2)
        refused = ""
        try:
            how = PutOptions(lock_mode="GOVERNANCE", locked_until=until)
            self._run(lambda: self._client.put(name, data, _md5(data), how))
        except TransientBackendError:
            raise
        except HoldfastError as error:
            refused = f"refused with an upload{_because(error)}"
            self._put(name, data)
        try:
            self._run(lambda: self._extend(name))
        except TransientBackendError:
            raise
        except BackendError as error:
            if self._read(name) == data:
                seen = f"refused{_because(error)}"
                return Fact("object-lock", expected, seen, State.ABSENT)
        if self._read(name) != data:
            means = "not available: never ask this server for locks"
            seen = "acknowledged, and the object was overwritten"
            return Fact("object-lock", expected, seen, State.ABSENT, means)
        if refused:
            return Fact("object-lock", expected, refused, State.ABSENT)
        head = self._run(lambda: self._client.head(name))
        if not head.version_id:
            return Fact("object-lock", expected, "acknowledged, and ignored", State.ABSENT)
        try:
            self._client.delete(name, head.version_id)
        except TransientBackendError:
            raise
        except BackendError:
            seen = "locked for a minute: whole, and not deleted"
            return Fact("object-lock", expected, seen, State.GOOD)
        return Fact("object-lock", expected, "acknowledged, and not kept", State.ABSENT)

    def storage_class(self) -> Fact:
        """Store an object in the class that the location names."""
        wanted = self._client.location.storage_class
        name = self._name()
        how = PutOptions(storage_class=wanted)
        try:
            self._run(lambda: self._client.put(name, b"x", _md5(b"x"), how))
        except TransientBackendError:
            raise
        except BackendError as error:
            means = f"not available: remove class={wanted} from the location"
            seen = f"refused{_because(error)}"
            return Fact("storage-class", wanted, seen, State.ABSENT, means)
        found = self._run(lambda: self._client.head(name)).storage_class
        state = State.GOOD if found == wanted else State.POOR
        means = "" if found == wanted else "objects lie in another class than was asked for"
        return Fact("storage-class", wanted, found, state, means)

    def clear(self) -> None:
        """Delete all scratch objects with their versions, ours and those of other probes that ended.

        What is protected goes to `left`.
        """
        for name in self._made:
            try:
                self._delete(name)
            except BackendError:
                self.left.append(name)
        self._made.clear()
        try:
            self._purge()
        except BackendError:
            pass  # a server without versions, or no right to list them: there are none, or stay

    def _purge(self) -> None:
        """Delete the versions of scratch objects that are deleted already."""
        for key, version_id in self._dead_versions():
            name = key[len(self._client.key("")) :]
            try:
                self._delete(name, VersionId=version_id, BypassGovernanceRetention=True)
            except TransientBackendError:
                raise
            except BackendError:
                self.left.append(f"a version of {name}, locked for a minute")

    def _dead_versions(self) -> list[tuple[str, str]]:
        """Return (key, version) of scratch objects whose newest version says that they are gone."""
        versions: list[tuple[str, str]] = []
        markers: list[tuple[str, str]] = []
        gone: set[str] = set()
        wanted: dict[str, str] = {}
        while True:
            answer = self._versions_page(wanted)
            versions += [(one["Key"], one["VersionId"]) for one in answer.get("Versions", ())]
            for one in answer.get("DeleteMarkers", ()):
                markers.append((one["Key"], one["VersionId"]))
                if one.get("IsLatest"):
                    gone.add(one["Key"])
            if not answer.get("IsTruncated"):
                break
            wanted = {
                "KeyMarker": answer["NextKeyMarker"],
                "VersionIdMarker": answer["NextVersionIdMarker"],
            }
        # Markers last: without its marker a key would be there again.
        return [one for one in (*versions, *markers) if one[0] in gone]

    def _page(self, prefix: str, token: str) -> Page:
        return self._run(lambda: self._client.list_page(prefix, token, most=_PAGE))

    def _versions_page(self, wanted: dict[str, str]) -> dict[str, Any]:
        prefix = self._client.key(PROBE)
        return self._run(
            lambda: self._client.call("list_object_versions", PROBE, Prefix=prefix, **wanted)
        )

    def _delete(self, name: str, **how: Any) -> None:
        key = self._client.key(name)
        self._run(lambda: self._client.call("delete_object", name, Key=key, **how))

    def _name(self) -> str:
        name = PROBE + os.urandom(16).hex()
        self._made.append(name)
        return name

    def _run(self, attempt: Callable[[], _Result]) -> _Result:
        return self._retrier.run(attempt)

    def _put(self, name: str, data: bytes, *, if_absent: bool = True) -> None:
        how = PutOptions(if_absent=if_absent)
        self._run(lambda: self._client.put(name, data, _md5(data), how))

    def _read(self, name: str, version_id: str = "") -> bytes | None:
        """Return an object's bytes, or those of one of its versions; None if there are none."""
        try:
            if not version_id:
                return self._run(lambda: self._client.get(name))[0]
            answer = self._run(
                lambda: self._client.call(
                    "get_object", name, Key=self._client.key(name), VersionId=version_id
                )
            )
        except NotFoundError:
            return None
        data: bytes = answer["Body"].read()
        return data

    def _upload_part(self, name: str, data: bytes) -> tuple[str, str]:
        """Begin an upload with one part; return its id and the part's ETag."""
        upload_id = self._run(lambda: self._client.begin_upload(name))
        etag = self._run(
            lambda: self._client.put_part(name, upload_id, 1, io.BytesIO(data), _md5(data))
        )
        return upload_id, etag

    def _extend(self, name: str) -> None:
        self._client.call(
            "put_object_retention",
            name,
            Key=self._client.key(name),
            Retention={"Mode": "GOVERNANCE", "RetainUntilDate": self._until(_LOCK_S)},
        )

    def _until(self, seconds: int) -> datetime:
        """Return a time so far ahead by the server's clock."""
        now_s = self._client.clock.now_ns() / 1e9 + self.clock_difference_s
        return datetime.fromtimestamp(int(now_s), UTC) + timedelta(seconds=seconds)


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _because(error: HoldfastError) -> str:
    """Return ": reason", or nothing if none is known."""
    reason = error.reason if isinstance(error, BackendError) else str(error)
    return f": {reason}" if reason else ""
