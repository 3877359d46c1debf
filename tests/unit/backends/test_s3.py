"""Storage in S3 beyond the contract: what is sent, what is verified, what is counted."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

import holdfast.backends.s3
from holdfast.backends.local import LocalBackend
from holdfast.backends.location import parse_location
from holdfast.backends.memory import MemoryBackend
from holdfast.backends.meter import Meter, RequestKind
from holdfast.backends.options import StorageOptions
from holdfast.backends.registry import open_backend
from holdfast.backends.retry import Retrier, RetryBackend, RetryPolicy
from holdfast.backends.s3 import S3Backend
from holdfast.backends.s3_client import S3Client
from holdfast.clock import SystemClock
from holdfast.errors import (
    AlreadyExistsError,
    ConfigurationError,
    NotFoundError,
    RepositoryExistsError,
    TransientBackendError,
)
from holdfast.storage_errors import LockedError, RequestLimitError
from support.broken_server import Break, BrokenServer, Fault, Seen, broken_server
from support.moto_server import MotoServer, set_credentials

PUT, GET, HEAD = RequestKind.PUT, RequestKind.GET, RequestKind.HEAD
LIST, DELETE = RequestKind.LIST, RequestKind.DELETE
Opener = Callable[..., S3Backend]


@pytest.fixture
def server(moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[BrokenServer]:
    """What stands between the backend and moto."""
    set_credentials(monkeypatch)
    with broken_server(moto.endpoint) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    return secrets.token_hex(8)


@pytest.fixture
def opened(server: BrokenServer, prefix: str) -> Iterator[Opener]:
    """Open a backend at the server; options of the location as text, of the storage as words."""
    backends = []

    def open_it(options: str = "", bucket: str = "bucket", **storage: object) -> S3Backend:
        text = f"s3://{bucket}/{prefix}?endpoint={server.endpoint}{options}"
        client = S3Client(parse_location(text), StorageOptions(**storage))  # type: ignore[arg-type]
        backend = S3Backend(client)
        backends.append(backend)
        return backend

    yield open_it
    for backend in backends:
        backend.close()


def counts(meter: Meter) -> dict[RequestKind, tuple[int, int, int]]:
    """Return (requests, bytes sent, bytes received) of the kinds that there were."""
    return {
        kind: (one.requests, one.bytes_sent, one.bytes_received)
        for kind, one in meter.counts().items()
        if one.requests
    }


# -- what is sent -------------------------------------------------------------------------------


def test_uploads_carry_their_md5_and_a_condition(server: BrokenServer, opened: Opener) -> None:
    backend = opened()
    backend.create("config", b"data")
    writer = backend.open_writer("packs/aa/1")
    writer.write(b"pack")
    writer.commit()
    for seen, data in zip(server.seen, (b"data", b"pack"), strict=True):
        expected = base64.b64encode(hashlib.md5(data).digest()).decode()
        assert seen.headers["content-md5"] == expected
        assert seen.headers["if-none-match"] == "*"
        assert "holdfast/" in seen.headers["user-agent"]
        assert not any("checksum" in name for name in seen.headers)


def test_keys_are_prefix_and_name(server: BrokenServer, opened: Opener, prefix: str) -> None:
    opened().create("packs/aa/1", b"data")
    assert server.seen[0].path == f"/bucket/{prefix}/packs/aa/1"


def test_virtual_addressing_and_proxies(
    server: BrokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy sees the whole URL, whose host nobody looks up."""
    monkeypatch.setenv("HTTP_PROXY", server.endpoint)
    etag = {"ETag": '"etag"'}
    server.faults.append(Fault("PUT", Break.ANSWER, status=200, code="", headers=etag))
    text = "s3://bucket/prefix?endpoint=http://s3.example.org&addressing=virtual"
    backend = S3Backend(S3Client(parse_location(text)))
    backend.create("a", b"data")
    backend.close()
    assert server.seen[0].path == "http://bucket.s3.example.org/prefix/a"


def test_the_class_is_that_of_packs_that_are_not_hot(server: BrokenServer, opened: Opener) -> None:
    backend = opened("&class=STANDARD_IA")
    backend.create("config", b"data")
    for name, is_hot in (("packs/aa/1", False), ("packs/aa/2", True)):
        writer = backend.open_writer(name, is_hot=is_hot)
        writer.write(b"data")
        writer.commit()
    classes = [seen.headers.get("x-amz-storage-class") for seen in server.seen]
    assert classes == [None, "STANDARD_IA", None]


def test_encryption_tags_and_payer(server: BrokenServer, opened: Opener) -> None:
    backend = opened("&sse=aws:kms&kms-key=key-1&tags=team:web,cost:a%2Bb&payer=requester")
    backend.create("config", b"data")
    assert backend.read("config") == b"data"
    put, get = server.seen
    assert put.headers["x-amz-server-side-encryption"] == "aws:kms"
    assert put.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"
    assert put.headers["x-amz-tagging"] == "team=web&cost=a%2Bb"
    assert put.headers["x-amz-request-payer"] == get.headers["x-amz-request-payer"] == "requester"
    assert "x-amz-server-side-encryption" not in get.headers


@pytest.mark.parametrize("is_text", [False, True])
def test_the_customers_key_goes_with_every_request(
    server: BrokenServer, opened: Opener, tmp_path: Path, is_text: bool
) -> None:
    key = os.urandom(32)
    file = tmp_path / "key"
    file.write_bytes(base64.b64encode(key) + b"\n" if is_text else key)
    backend = opened(f"&sse-c-key-file={file}")
    backend.create("config", b"data")
    backend.read("config")
    backend.size("config")
    for seen in server.seen:
        sent = seen.headers["x-amz-server-side-encryption-customer-key"]
        assert base64.b64decode(sent) == key


@pytest.mark.parametrize("content", [None, b"", b"x" * 31, base64.b64encode(b"y" * 33)])
def test_a_file_without_a_customers_key(
    opened: Opener, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="sse-c-key-file"):
        opened(f"&sse-c-key-file={file}")


# -- what is verified ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 100_000])
def test_a_body_that_breaks_off_may_come_whole_next_time(
    server: BrokenServer, opened: Opener, size: int
) -> None:
    backend = opened()
    data = os.urandom(size)
    backend.create("a", data)
    for read in (partial(backend.read, "a"), partial(backend.read_range, "a", 0, size)):
        server.faults.append(Fault("GET", Break.TRUNCATED))
        with pytest.raises(TransientBackendError, match="broke"):
            read()
        assert read() == data


@pytest.mark.parametrize("content_range", ["", "bytes 1-3/10", "bytes 0-3/*", "0-3/10"])
def test_other_bytes_than_those_asked_for(
    server: BrokenServer, opened: Opener, content_range: str
) -> None:
    headers = {"Content-Range": content_range} if content_range else {}
    fault = Fault("GET", Break.ANSWER, status=206, code="", headers=headers)
    server.faults.append(fault)
    with pytest.raises(TransientBackendError, match="others came"):
        opened().read_range("a", 0, 4)


def test_fewer_bytes_than_the_range_must_have(server: BrokenServer, opened: Opener) -> None:
    headers = {"Content-Range": "bytes 0-3/10"}
    server.faults.append(Fault("GET", Break.ANSWER, status=206, code="", headers=headers))
    with pytest.raises(TransientBackendError, match="0 bytes came instead of 4"):
        opened().read_range("a", 0, 4)


HTML = "<html><body><h1>Please accept the terms</h1></body></html>"
LISTING = "<ListBucketResult><Name>bucket</Name>{}</ListBucketResult>"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no IsTruncated"),
        (HTML, "no IsTruncated"),
        ("<html><br>", "answer 500"),
        ("Welcome!", "answer 500"),
        (LISTING.format(""), "no IsTruncated"),
        (LISTING.format("<IsTruncated>true</IsTruncated>"), "no NextContinuationToken"),
    ],
)
def test_an_answer_that_is_no_listing_is_no_empty_listing(
    server: BrokenServer, opened: Opener, text: str, part: str
) -> None:
    """As of a hotel's proxy, or of a server that knows the first version of listings alone."""
    server.faults.append(Fault("GET", Break.ANSWER, status=200, code="", text=text))
    with pytest.raises(TransientBackendError, match=part):
        list(opened().list("packs/"))


@pytest.mark.parametrize("modified", ["", "yesterday"])
def test_a_head_that_is_not_s3s(server: BrokenServer, opened: Opener, modified: str) -> None:
    headers = {"Last-Modified": modified} if modified else {}
    server.faults.append(Fault("HEAD", Break.ANSWER, status=200, code="", headers=headers))
    with pytest.raises(TransientBackendError, match=r"check the endpoint|no LastModified"):
        opened().size("a")


def test_a_200_that_is_not_s3s_stores_nothing(server: BrokenServer, opened: Opener) -> None:
    server.faults.append(Fault("PUT", Break.ANSWER, status=200, code="", text=HTML))
    with pytest.raises(TransientBackendError, match="no ETag"):
        opened().create("a", b"data")


def test_foreign_keys_are_no_objects(moto: MotoServer, opened: Opener, prefix: str) -> None:
    backend = opened()
    backend.create("packs/aa/1", b"data")
    for key in ("packs/", "packs/aa/", "packs/aa/UPPER", "packs/aa/a.part", "packs//b", "é"):
        moto.client().put_object(Bucket="bucket", Key=f"{prefix}/{key}", Body=b"foreign")
    moto.client().put_object(Bucket="bucket", Key=f"{prefix}-other/config", Body=b"foreign")
    assert [info.name for info in backend.list("")] == ["packs/aa/1"]
    assert [info.name for info in backend.list("packs/aa/")] == ["packs/aa/1"]


def test_initialize_takes_no_prefix_that_holds_anything(
    moto: MotoServer, opened: Opener, prefix: str
) -> None:
    backend = opened()
    backend.create("probe/left-by-a-doctor", b"")
    backend.create("probe/left-by-another", b"")
    backend.initialize()
    key = f"{prefix}/somebody's file"
    moto.client().put_object(Bucket="bucket", Key=key, Body=b"foreign")
    with pytest.raises(RepositoryExistsError, match=r"the prefix is not empty.*somebody's file"):
        backend.initialize()


# -- what is counted ----------------------------------------------------------------------------


def test_every_request_is_counted_with_its_bytes(server: BrokenServer, opened: Opener) -> None:
    meter = Meter()
    backend = opened(meter=meter)
    backend.create("a", b"12345")
    writer = backend.open_writer("b")
    writer.write(b"1234567")
    writer.commit()
    assert backend.read("a") == b"12345"
    assert backend.read_range("b", 2, 3) == b"345"
    assert backend.read_range("b", 100, 3) == b""
    assert backend.size("a") == 5
    backend.delete("a")
    with pytest.raises(NotFoundError):
        backend.size("a")
    found = counts(meter)
    assert found[PUT] == (2, 12, 0)
    requests, sent, received = found[GET]
    assert (requests, sent) == (3, 0)
    assert received > 8, "the error for the range behind the end counts too"
    assert found[HEAD] == (2, 0, 0)
    assert found[DELETE] == (1, 0, 0)
    assert len(server.seen) == 8


def test_pages_are_requests_that_are_sent_when_they_are_needed(
    server: BrokenServer, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.backends.s3_client.PAGE_LENGTH", 7)
    meter = Meter()
    backend = opened(meter=meter)
    for number in range(20):
        backend.create(f"index/{number:04d}", b"")
    listing = backend.list("index/")
    assert LIST not in counts(meter)
    next(listing)
    assert counts(meter)[LIST][0] == 1
    assert len(list(listing)) == 19
    assert counts(meter)[LIST][0] == server.count("GET") == 3
    assert counts(meter)[LIST][2] > 20 * 100
    assert "max-keys=7" in server.seen[-1].path


def test_one_request_too_many_is_not_sent_and_not_repeated(
    server: BrokenServer, opened: Opener
) -> None:
    backend = RetryBackend(opened(meter=Meter(2)))
    backend.create("a", b"data")
    backend.read("a")
    begin_s = time.monotonic()
    with pytest.raises(RequestLimitError) as caught:
        backend.read("a")
    assert time.monotonic() - begin_s < 0.2
    assert caught.value.reason == "2"
    assert len(server.seen) == 2


# -- limits -------------------------------------------------------------------------------------


def test_uploads_and_downloads_keep_their_limits(server: BrokenServer, opened: Opener) -> None:
    data = os.urandom(300_000)
    backend = opened(upload_bytes_per_s=1_000_000, download_bytes_per_s=1_500_000)
    begin_s = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        writers = [backend.open_writer(f"packs/{number}") for number in range(2)]
        for writer in writers:
            writer.write(data)
        list(pool.map(lambda writer: writer.commit(), writers))
        sent_s = time.monotonic() - begin_s
        begin_s = time.monotonic()
        assert list(pool.map(backend.read, ["packs/0", "packs/1"])) == [data, data]
        received_s = time.monotonic() - begin_s
    assert 0.45 < sent_s < 3
    assert 0.3 < received_s < 3


def test_only_what_is_sent_counts_and_waits(server: BrokenServer, opened: Opener) -> None:
    """The library reads a body once to sign it, and once to send it."""
    meter = Meter()
    writer = opened(meter=meter, upload_bytes_per_s=5_000_000).open_writer("packs/1")
    writer.write(bytes(400_000))
    writer.commit()
    assert counts(meter)[PUT] == (1, 400_000, 0)


# -- requests that may have been carried out ----------------------------------------------------


AMBIGUOUS = [
    Fault("PUT", Break.ANSWER_LOST),
    Fault("PUT", Break.ANSWER_AFTER),
    Fault("PUT", Break.ANSWER_AFTER, status=409, code="ConditionalRequestConflict"),
    Fault("PUT", Break.ANSWER, status=409, code="OperationAborted"),
    Fault("PUT", Break.RESET),
]


def with_retries(backend: S3Backend) -> RetryBackend:
    return RetryBackend(backend, Retrier(RetryPolicy(first_wait_s=0.01)))


@pytest.mark.parametrize("fault", AMBIGUOUS, ids=lambda fault: f"{fault.how.name}-{fault.status}")
def test_create_ends_well_whatever_was_lost(
    server: BrokenServer, opened: Opener, fault: Fault
) -> None:
    backend = with_retries(opened())
    server.faults.append(fault)
    backend.create("gc/0", b"mine")
    assert backend.read("gc/0") == b"mine"
    assert server.faults == []


def test_create_does_not_take_anothers_object_for_its_own(
    moto: MotoServer, server: BrokenServer, opened: Opener, prefix: str
) -> None:
    """Another is faster, and our first answer is lost."""

    def be_faster(seen: Seen) -> None:
        if server.count("PUT") == 1:
            key = f"{prefix}/gc/0"
            moto.client().put_object(Bucket="bucket", Key=key, Body=b"ours")

    backend = with_retries(opened())
    server.on_request = be_faster
    server.faults.append(Fault("PUT", Break.RESET))
    with pytest.raises(AlreadyExistsError):
        backend.create("gc/0", b"mine")
    assert backend.read("gc/0") == b"ours"


# -- Object Lock --------------------------------------------------------------------------------


@pytest.fixture
def lock_bucket(moto: MotoServer) -> str:
    bucket = f"locked-{secrets.token_hex(8)}"
    moto.client().create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    return bucket


@pytest.mark.parametrize("mode", ["", "governance"])
def test_what_is_protected_and_what_is_free(
    moto: MotoServer, opened: Opener, lock_bucket: str, prefix: str, mode: str
) -> None:
    backend = opened(f"&lock-mode={mode}" if mode else "", lock_bucket)
    backend.protect(30)
    protected = ["config", "gc/0", "keys/a", "index/a", "snapshots/a", "packs/aa/1"]
    free = ["forgets/a", "sessions/a", "probe/a"]
    for name in protected[:-1] + free:
        backend.create(name, b"data")
    writer = backend.open_writer("packs/aa/1")
    writer.write(b"data")
    writer.commit()
    client = moto.client()
    for name in protected:
        head = client.head_object(Bucket=lock_bucket, Key=f"{prefix}/{name}")
        assert head["ObjectLockMode"] == (mode or "compliance").upper()
        left_s = head["ObjectLockRetainUntilDate"].timestamp() - SystemClock().now_ns() / 1e9
        assert 29.99 * 86400 < left_s <= 30 * 86400
        with pytest.raises(LockedError, match="until 20") as caught:
            backend.delete(name)
        assert caught.value.name == name
    assert {info.name for info in backend.list("")} == {*protected, *free}
    for name in free:
        assert "ObjectLockMode" not in client.head_object(
            Bucket=lock_bucket, Key=f"{prefix}/{name}"
        )
        backend.delete(name)
    assert {info.name for info in backend.list("")} == set(protected)


def test_a_deletion_leaves_no_version_behind(
    moto: MotoServer, opened: Opener, lock_bucket: str, prefix: str
) -> None:
    backend = opened("", lock_bucket)
    backend.create("packs/aa/1", b"stored when nothing was protected yet")
    backend.protect(30)
    backend.delete("packs/aa/1")
    found = moto.client().list_object_versions(Bucket=lock_bucket, Prefix=prefix)
    assert "Versions" not in found
    assert "DeleteMarkers" not in found
    with pytest.raises(NotFoundError):
        backend.delete("packs/aa/1")


def test_the_prune_of_an_unprotected_repository_asks_nothing_first(
    server: BrokenServer, opened: Opener
) -> None:
    backend = opened()
    backend.create("packs/aa/1", b"data")
    backend.delete("packs/aa/1")
    assert [seen.method for seen in server.seen] == ["PUT", "DELETE"]


def test_other_stores_say_that_they_have_no_object_lock(tmp_path: Path) -> None:
    for backend in (MemoryBackend(), LocalBackend(str(tmp_path)), RetryBackend(MemoryBackend())):
        backend.protect(0)
        with pytest.raises(ConfigurationError, match="no Object Lock"):
            backend.protect(1)


# -- the program --------------------------------------------------------------------------------


def test_it_says_where_it_is_and_how_parallel(opened: Opener, server: BrokenServer) -> None:
    backend = opened("&connections=5")
    assert backend.location.endswith(f"?endpoint={server.endpoint}&connections=5")
    assert backend.is_remote
    assert backend.parallelism == 5
    assert server.seen == [], "nothing is sent before it is needed"


def test_a_closed_backend_can_be_closed_again_and_opens_anew(opened: Opener) -> None:
    backend = opened()
    backend.create("a", b"data")
    backend.close()
    backend.close()
    assert backend.read("a") == b"data"


def test_many_threads_share_the_connections(server: BrokenServer, opened: Opener) -> None:
    backend = opened("&connections=4")
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: backend.create(f"index/{number}", b"%d" % number), range(64)))
        read = list(pool.map(lambda number: backend.read(f"index/{number}"), range(64)))
    assert read == [b"%d" % number for number in range(64)]


def run_python(program: str) -> str:
    source = str(Path(holdfast.backends.s3.__file__).parents[2])
    start = f"import sys; sys.path.insert(0, {source!r})\n"
    ran = subprocess.run(
        [sys.executable, "-c", start + program], capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def test_the_library_is_imported_by_the_first_request() -> None:
    loaded = run_python(
        "from holdfast.backends.registry import open_backend\n"
        "open_backend('s3://bucket/prefix').close()\n"
        "print([name for name in ('boto3', 'botocore', 'urllib3') if name in sys.modules])"
    )
    assert loaded == "[]"


def test_without_the_library_one_learns_what_to_install() -> None:
    said = run_python(
        "sys.modules['botocore'] = None\n"
        "from holdfast.backends.registry import open_backend\n"
        "from holdfast.errors import MissingExtraError\n"
        "try:\n"
        "    open_backend('s3://bucket/prefix').read('config')\n"
        "except MissingExtraError as error:\n"
        "    print(error)"
    )
    assert "pip install 'holdfast[s3]'" in said


def test_open_backend_repeats(server: BrokenServer, prefix: str) -> None:
    backend = open_backend(f"s3://bucket/{prefix}?endpoint={server.endpoint}")
    server.faults.append(Fault("PUT", Break.ANSWER_LOST))
    backend.create("a", b"data")
    assert backend.read("a") == b"data"
    backend.close()
