"""Doctor: what is made of what the probes see, on lying stores, on moto and on Ceph."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.location import parse_location
from holdfast.backends.memory import MemoryBackend
from holdfast.backends.names import PROBE
from holdfast.backends.options import DEFAULT_OPTIONS
from holdfast.backends.registry import open_backend
from holdfast.errors import AccessDeniedError, RepositoryExistsError, TransientBackendError
from holdfast.hashing import Bytes
from holdfast.operations.doctor import Diagnosis, Row, Verdict, diagnose, diagnose_bucket
from support.buckets import Bucket, new_bucket
from support.liars import (
    AppendOnly,
    Ghosts,
    LateListing,
    LateReads,
    Overwriting,
    Racy,
    WrongRanges,
)
from support.moto_server import MotoServer, running_moto, set_credentials
from support.repos import contents, new_store
from support.sessions import FakeClock


def rows(found: Diagnosis) -> dict[str, Row]:
    return {row.property: row for row in found.rows}


def run(backend: Backend, clock: FakeClock | None = None) -> Diagnosis:
    return diagnose(backend, clock=clock or FakeClock())


def test_a_repository_is_left_as_it_was_and_needs_no_key() -> None:
    store = new_store()
    before = contents(store)
    found = run(store)
    assert found.has_repository
    assert (found.verdict, found.has_lied, found.left) == (Verdict.SAFE, False, [])
    assert contents(store) == before


def test_an_empty_place_stays_empty() -> None:
    store = MemoryBackend()
    found = run(store)
    assert not found.has_repository
    assert {row.verdict for row in found.rows} == {Verdict.SAFE, Verdict.GOOD}
    assert list(store.list("")) == []
    assert found.summary.startswith("safe: ")


def test_a_place_with_something_else_is_left_alone() -> None:
    store = MemoryBackend()
    store.create("mine", b"x")
    with pytest.raises(RepositoryExistsError):
        run(store)
    assert contents(store) == {"mine": b"x"}


@pytest.mark.parametrize(
    ("store", "verdict", "words"),
    [
        (Overwriting(), Verdict.ONE_MAINTAINER, "prune only from the host"),
        (Racy(), Verdict.ONE_MAINTAINER, "prune only from the host"),
        (WrongRanges(), Verdict.UNSAFE, "keep no repository here"),
        (LateListing(), Verdict.UNSAFE, "keep no repository here"),
        (LateReads(), Verdict.UNSAFE, "keep no repository here"),
        (Ghosts(), Verdict.NO_UNDO, "forget --undo"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_lie_means(store: Backend, verdict: Verdict, words: str) -> None:
    found = run(store)
    assert (found.verdict, found.has_lied) == (verdict, True)
    assert words in found.summary


def test_slow_storage_is_called_so() -> None:
    found = rows(run(MemoryBackend(), FakeClock(step_s=0.3)))
    assert found["latency"].verdict == Verdict.SLOW
    assert found["latency"].seen == "300 ms to write 1 KiB, 300 ms to read it"
    assert found["throughput"].verdict == Verdict.GOOD
    slower = run(MemoryBackend(), FakeClock(step_s=10))
    assert rows(slower)["throughput"].verdict == Verdict.SLOW
    assert slower.verdict == Verdict.SAFE
    assert slower.measures["small_write_s"] == 10


def test_without_the_right_to_delete_the_rest_is_found_out() -> None:
    found = run(AppendOnly())
    seen = rows(found)
    assert seen["list-after-delete"].verdict == Verdict.ABSENT
    assert "no right to delete" in seen["list-after-delete"].seen
    assert found.verdict == Verdict.SAFE
    assert found.left
    assert all(name.startswith(PROBE) for name in found.left)


class ReadOnly(MemoryBackend):
    """May not write."""

    def create(self, name: str, data: Bytes) -> None:
        raise AccessDeniedError(self.location, name)


def test_without_the_right_to_write_nothing_is() -> None:
    with pytest.raises(AccessDeniedError):
        run(ReadOnly())


class NoRanges(MemoryBackend):
    """Cannot read parts, whatever one tries."""

    is_down = False

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        raise TransientBackendError(self.location, name, "other bytes came")

    def size(self, name: str) -> int:
        if self.is_down and name.startswith(PROBE):
            raise TransientBackendError(self.location, name, "no answer")
        return super().size(name)


def test_what_fails_alone_is_a_finding_and_what_fails_altogether_an_error() -> None:
    found = run(NoRanges())
    assert rows(found)["ranges"].seen == "failed: other bytes came"
    assert found.verdict == Verdict.UNSAFE
    down = NoRanges()
    down.is_down = True
    with pytest.raises(TransientBackendError):
        run(down)


# -- S3 -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoServer]:
    with running_moto() as server:
        yield server


def run_on(text: str) -> Diagnosis:
    location = parse_location(text)
    backend = open_backend(text)
    try:
        return diagnose(
            backend,
            clock=FakeClock(step_s=0.001),
            more=lambda found: diagnose_bucket(location, DEFAULT_OPTIONS, found),
        )
    finally:
        backend.close()


def test_moto_verifies_no_checksum_and_is_told_so(
    moto: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_credentials(monkeypatch)
    bucket = f"b{secrets.token_hex(8)}"
    moto.client().create_bucket(Bucket=bucket)
    found = run_on(moto.location(bucket, "some/where", "class=STANDARD_IA"))
    seen = rows(found)
    assert (seen["upload-checksum"].seen, seen["upload-checksum"].verdict) == (
        "accepted",
        Verdict.ABSENT,
    )
    assert "check --read-data" in seen["upload-checksum"].means
    assert seen["object-lock"].verdict == Verdict.ABSENT
    assert (seen["versioning"].seen, seen["versioning"].verdict) == ("off", Verdict.ABSENT)
    assert seen["storage-class"].seen == "STANDARD_IA"
    good = ("clock", "listing-pages", "multipart", "storage-class")
    assert {seen[name].verdict for name in good} == {Verdict.GOOD}
    assert abs(found.measures["clock_difference_s"]) < 60
    assert found.verdict == Verdict.SAFE
    assert "Contents" not in moto.client().list_objects_v2(Bucket=bucket)


def test_a_bucket_with_versions_and_locks_is_left_without_a_trace(
    moto: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_credentials(monkeypatch)
    bucket = f"b{secrets.token_hex(8)}"
    moto.client().create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    found = run_on(moto.location(bucket))
    seen = rows(found)
    assert seen["versioning"].seen == "on"
    assert seen["object-lock"].seen == "locked for a minute: whole, and not deleted"
    versions = moto.client().list_object_versions(Bucket=bucket)
    assert not versions.get("Versions")
    assert not versions.get("DeleteMarkers")
    assert found.left == []


def test_ceph_is_safe_and_verifies_checksums(bucket: Bucket) -> None:
    found = run_on(bucket.location())
    seen = rows(found)
    assert (found.verdict, found.left) == (Verdict.SAFE, [])
    assert seen["create-raced"].seen == "of 16 at once one succeeds, 4 times"
    assert (seen["upload-checksum"].seen, seen["upload-checksum"].verdict) == (
        "refused",
        Verdict.GOOD,
    )
    assert seen["multipart"].verdict == Verdict.GOOD
    assert seen["listing-pages"].seen == "3 pages right"
    assert seen["object-lock"].verdict == Verdict.ABSENT
    assert bucket.keys() == {}
    assert bucket.uploads() == []


def test_ceph_keeps_locks(bucket: Bucket) -> None:
    locked = new_bucket(bucket.cluster, ObjectLockEnabledForBucket=True)
    found = run_on(locked.location())
    assert rows(found)["versioning"].seen == "on"
    assert rows(found)["object-lock"].verdict == Verdict.GOOD
    assert found.left == []
    versions = locked.client.list_object_versions(Bucket=locked.name)
    assert not versions.get("Versions")


def test_a_class_that_ceph_does_not_have_is_named(bucket: Bucket) -> None:
    row = rows(run_on(bucket.location(**{"class": f"NONE{os.getpid()}"})))["storage-class"]
    assert row.verdict == Verdict.ABSENT
    assert "remove class=NONE" in row.means
