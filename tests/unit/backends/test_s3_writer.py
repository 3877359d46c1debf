"""Objects on their way: at once or in parts, whatever goes wrong."""

from __future__ import annotations

import base64
import errno
import hashlib
import io
import os
import secrets
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.backends import durable, s3_writer
from holdfast.backends.location import parse_location
from holdfast.backends.meter import Meter, RequestKind
from holdfast.backends.options import StorageOptions
from holdfast.backends.retry import Retrier, RetryPolicy
from holdfast.backends.s3 import S3Backend
from holdfast.backends.s3_client import S3Client
from holdfast.backends.s3_writer import ScratchBody
from holdfast.errors import AlreadyExistsError, ConfigurationError, TransientBackendError
from holdfast.storage_errors import CredentialsError, RequestLimitError, ScratchFullError
from support.broken_server import Break, BrokenServer, Fault, Seen, broken_server
from support.moto_server import MotoServer, set_credentials

NAME = "packs/aa/1"
PART = 5 << 20
"""The smallest part that servers take."""
LARGE = os.urandom(2 * PART + 1234)


@pytest.fixture
def server(moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[BrokenServer]:
    set_credentials(monkeypatch)
    with broken_server(moto.endpoint) as server:
        yield server


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is larger than a part is uploaded in parts."""
    monkeypatch.setattr(s3_writer, "PART_SIZE", PART)
    monkeypatch.setattr(s3_writer, "MOST_AT_ONCE", PART)


def backend_at(
    server: BrokenServer, scratch: Path, *, attempts: int = 4, meter: Meter | None = None
) -> S3Backend:
    text = f"s3://bucket/{secrets.token_hex(8)}?endpoint={server.endpoint}"
    client = S3Client(parse_location(text), StorageOptions(meter=meter))
    retrier = Retrier(RetryPolicy(attempts=attempts, first_wait_s=0.01))
    return S3Backend(client, scratch_directory=str(scratch), retrier=retrier)


def store(backend: S3Backend, data: bytes, piece: int = 1 << 20) -> None:
    writer = backend.open_writer(NAME)
    for begin in range(0, len(data), piece):
        writer.write(data[begin : begin + piece])
    writer.commit()


def uploads(moto: MotoServer, backend: S3Backend) -> list[str]:
    """Keys of uploads that are neither complete nor aborted."""
    prefix = parse_location(backend.location).path
    found = moto.client().list_multipart_uploads(Bucket="bucket", Prefix=prefix)
    return [one["Key"] for one in found.get("Uploads", ())]


# -- at once ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
def test_one_request(server: BrokenServer, tmp_path: Path, size: int) -> None:
    backend = backend_at(server, tmp_path)
    store(backend, LARGE[:size])
    assert [seen.method for seen in server.seen] == ["PUT"]
    assert server.seen[0].size == size
    assert backend.read(NAME) == LARGE[:size]


AMBIGUOUS = [
    Fault("PUT", Break.ANSWER_LOST),
    Fault("PUT", Break.ANSWER_AFTER),
    Fault("PUT", Break.ANSWER_AFTER, status=409, code="ConditionalRequestConflict"),
    Fault("PUT", Break.ANSWER, status=503, code="SlowDown"),
    Fault("PUT", Break.RESET),
]


@pytest.mark.parametrize("fault", AMBIGUOUS, ids=lambda fault: f"{fault.how.name}-{fault.status}")
def test_commit_ends_well_whatever_was_lost(
    server: BrokenServer, tmp_path: Path, fault: Fault
) -> None:
    backend = backend_at(server, tmp_path)
    server.faults.append(fault)
    store(backend, LARGE[:300_000])
    assert server.faults == []
    assert backend.read(NAME) == LARGE[:300_000]
    assert server.count("GET") == 1, "an MD5 says whose object it is, nobody reads it back"


def test_where_the_etag_says_nothing_the_object_is_read_back(
    server: BrokenServer, tmp_path: Path
) -> None:
    """As with encryption by the customer's key."""
    backend = backend_at(server, tmp_path)
    size = {"Content-Length": "300000", "Last-Modified": "Sat, 21 Nov 2026 08:00:00 GMT"}
    head = Fault("HEAD", Break.ANSWER, status=200, code="", headers={**size, "ETag": '"of box"'})
    server.faults += [Fault("PUT", Break.ANSWER_LOST), head]
    store(backend, LARGE[:300_000])
    assert server.count("GET") == 1


@pytest.mark.parametrize("other", [b"other", LARGE[1:300_001]], ids=["length", "bytes"])
def test_anothers_object_stays_and_is_not_taken_for_ours(
    moto: MotoServer, server: BrokenServer, tmp_path: Path, other: bytes
) -> None:
    backend = backend_at(server, tmp_path)

    def be_faster(seen: Seen) -> None:
        if server.count("PUT") == 1:
            key = seen.path.removeprefix("/bucket/")
            moto.client().put_object(Bucket="bucket", Key=key, Body=other)

    server.on_request = be_faster
    server.faults.append(Fault("PUT", Break.RESET))
    with pytest.raises(AlreadyExistsError):
        store(backend, LARGE[:300_000])
    assert backend.read(NAME) == other


def test_equal_bytes_without_a_failure_are_anothers(server: BrokenServer, tmp_path: Path) -> None:
    backend = backend_at(server, tmp_path)
    store(backend, b"data")
    with pytest.raises(AlreadyExistsError):
        store(backend, b"data")
    assert server.count("HEAD") == 0


def test_attempts_end(server: BrokenServer, tmp_path: Path) -> None:
    server.faults += [Fault("PUT", Break.RESET)] * 5
    with pytest.raises(TransientBackendError):
        store(backend_at(server, tmp_path), b"data")
    assert server.count("PUT") == 4


def test_what_will_not_pass_is_not_repeated(server: BrokenServer, tmp_path: Path) -> None:
    server.faults.append(Fault("PUT", Break.ANSWER, status=403, code="SignatureDoesNotMatch"))
    with pytest.raises(CredentialsError):
        store(backend_at(server, tmp_path), b"data")
    assert server.count("PUT") == 1


# -- in parts -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("size", [PART, PART + 1, 2 * PART, 2 * PART + 1234])
@pytest.mark.parametrize("piece", [1 << 20, 777_777, 3 * PART])
def test_parts_make_the_whole(
    moto: MotoServer, server: BrokenServer, tmp_path: Path, size: int, piece: int
) -> None:
    meter = Meter()
    backend = backend_at(server, tmp_path, meter=meter)
    store(backend, LARGE[:size], piece)
    assert backend.read(NAME) == LARGE[:size]
    parts = -(-size // PART)
    assert meter.counts()[RequestKind.PUT].requests == (parts + 2 if parts > 1 else 1)
    assert meter.counts()[RequestKind.PUT].bytes_sent >= size
    assert uploads(moto, backend) == []


@pytest.mark.usefixtures("small_parts")
def test_each_part_carries_its_md5(server: BrokenServer, tmp_path: Path) -> None:
    store(backend_at(server, tmp_path), LARGE, 333_333)
    sent = [seen.headers["content-md5"] for seen in server.seen if "partNumber" in seen.path]
    digests = [hashlib.md5(LARGE[begin : begin + PART]) for begin in range(0, len(LARGE), PART)]
    assert sent == [base64.b64encode(digest.digest()).decode() for digest in digests]


LOST_ON_THE_WAY = [
    Fault("POST", Break.RESET, containing="?uploads"),
    Fault("PUT", Break.RESET, containing="partNumber=2"),
    Fault("PUT", Break.ANSWER_LOST, containing="partNumber=1"),
    Fault("PUT", Break.ANSWER, status=400, code="BadDigest", containing="partNumber=3"),
    Fault("POST", Break.RESET, containing="?uploadId"),
    Fault("POST", Break.ANSWER_LOST, containing="?uploadId"),
    Fault("POST", Break.ANSWER_AFTER, containing="?uploadId"),
    Fault("POST", Break.ANSWER, status=200, containing="?uploadId"),
]
"""The last: Complete answers 200, with an error in the body."""


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("fault", LOST_ON_THE_WAY, ids=range(len(LOST_ON_THE_WAY)))
def test_parts_are_repeated_alone(
    moto: MotoServer, server: BrokenServer, tmp_path: Path, fault: Fault
) -> None:
    backend = backend_at(server, tmp_path)
    server.faults.append(fault)
    store(backend, LARGE)
    assert server.faults == []
    assert server.count("PUT") <= 4, "no more than one part was sent again"
    assert backend.read(NAME) == LARGE
    assert uploads(moto, backend) == []


@pytest.mark.usefixtures("small_parts")
def test_an_upload_that_fails_is_aborted(
    moto: MotoServer, server: BrokenServer, tmp_path: Path
) -> None:
    fault = Fault("PUT", Break.RESET, containing="partNumber=2")
    server.faults += [fault] * 4
    backend = backend_at(server, tmp_path)
    with pytest.raises(TransientBackendError):
        store(backend, LARGE)
    assert server.count("DELETE", "uploadId") == 1
    assert uploads(moto, backend) == []
    assert list(backend.list("")) == []


@pytest.mark.usefixtures("small_parts")
def test_an_upload_that_is_interrupted_is_aborted(
    moto: MotoServer, server: BrokenServer, tmp_path: Path
) -> None:
    """Ctrl-C between two parts."""

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    client = S3Client(parse_location(f"s3://bucket/interrupted?endpoint={server.endpoint}"))
    retrier = Retrier(sleep=interrupt)
    backend = S3Backend(client, scratch_directory=str(tmp_path), retrier=retrier)
    server.faults.append(Fault("PUT", Break.RESET, containing="partNumber=2"))
    with pytest.raises(KeyboardInterrupt):
        store(backend, LARGE)
    assert uploads(moto, backend) == []


@pytest.mark.usefixtures("small_parts")
def test_an_abort_that_is_not_allowed_does_not_hide_why(
    server: BrokenServer, tmp_path: Path
) -> None:
    backend = backend_at(server, tmp_path, meter=Meter(2))
    with pytest.raises(RequestLimitError):
        store(backend, LARGE)
    assert len(server.seen) == 2


@pytest.mark.usefixtures("small_parts")
def test_a_taken_name_is_not_overwritten_by_parts(
    moto: MotoServer, server: BrokenServer, tmp_path: Path
) -> None:
    backend = backend_at(server, tmp_path)
    backend.create(NAME, b"early")
    with pytest.raises(AlreadyExistsError):
        store(backend, LARGE)
    assert backend.read(NAME) == b"early"
    assert uploads(moto, backend) == []


# -- the scratch file ---------------------------------------------------------------------------


def test_the_scratch_file_has_no_name_and_is_gone_afterwards(
    server: BrokenServer, tmp_path: Path
) -> None:
    def open_files() -> int:
        links = (os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
        return sum(str(tmp_path) in link for link in links)

    backend = backend_at(server, tmp_path)
    for end in ("commit", "abort"):
        writer = backend.open_writer(f"packs/aa/{end}")
        writer.write(b"data")
        assert list(tmp_path.iterdir()) == []
        assert open_files() == 1
        getattr(writer, end)()
        assert open_files() == 0


def test_a_full_disk_is_named(
    server: BrokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_all(descriptor: int, data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer = backend_at(server, tmp_path).open_writer(NAME)
    monkeypatch.setattr(durable, "write_all", write_all)
    with pytest.raises(ScratchFullError) as caught:
        writer.write(b"data")
    assert f"the scratch directory {tmp_path} is full" in str(caught.value)
    with pytest.raises(ValueError, match="closed"):
        writer.commit()
    assert server.seen == []


def test_no_scratch_directory(server: BrokenServer, tmp_path: Path) -> None:
    backend = backend_at(server, tmp_path / "gone")
    with pytest.raises(ConfigurationError, match="no scratch directory"):
        backend.open_writer(NAME)


@pytest.mark.usefixtures("small_parts")
def test_memory_stays_flat(moto: MotoServer, tmp_path: Path, server: BrokenServer) -> None:
    text = f"s3://bucket/flat?endpoint={moto.endpoint}"
    backend = S3Backend(S3Client(parse_location(text)), scratch_directory=str(tmp_path))
    backend.create("warm", b"up")
    tracemalloc.start()
    try:
        store(backend, LARGE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize(("begin", "length"), [(0, 100), (7, 50), (90, 10), (100, 0)])
def test_a_body_is_like_a_file(tmp_path: Path, begin: int, length: int) -> None:
    data = bytes(range(100))
    path = tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb", buffering=0) as file:
        body, expected = ScratchBody(file, begin, length), io.BytesIO(data[begin : begin + length])
        for size in (3, 10, 0, -1, 5):
            assert body.read(size) == expected.read(size)
            assert body.tell() == expected.tell()
        for offset, whence in ((0, 2), (-length, 1), (length // 2, 0)):
            assert body.seek(offset, whence) == expected.seek(offset, whence)
            assert body.read() == expected.read()
