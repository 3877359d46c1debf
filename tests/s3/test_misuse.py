"""Each misconfiguration gets its own sentence and exit code, from a real S3 server's answers."""

from __future__ import annotations

import datetime
import functools
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore import auth

from s3.conftest import options
from s3.test_round import restored
from support.buckets import Bucket, set_credentials
from support.ceph import KMS_KEY, OTHER, Gateway, User
from support.command_line import Runner, environment_for_processes, run_process
from support.repos import write_tree


@pytest.mark.parametrize(
    ("user", "says"),
    [
        (User("x", "NOBODY", "SECRETSECRET"), "does not accept the credentials"),
        (User("x", "KEY", "WRONGWRONG"), "does not accept the credentials"),
    ],
    ids=["key", "secret"],
)
def test_wrong_credentials(
    hold: Runner, monkeypatch: pytest.MonkeyPatch, user: User, says: str
) -> None:
    set_credentials(monkeypatch, user)
    for command in (["snapshots"], ["backup", "/etc/hostname"], ["prune"]):
        err = hold(*command, code=21).err
        assert says in err
        assert user.secret_key not in err


def test_no_credentials(hold: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in hold("snapshots", code=21).err


def test_somebody_elses_bucket(hold: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    set_credentials(monkeypatch, OTHER)
    hold("snapshots", code=20)


def test_a_missing_bucket(run: Runner, bucket: Bucket, tmp_path: Path) -> None:
    location = bucket.location().replace(bucket.name, "no-such-bucket")
    hold = run.with_base(*options(location, tmp_path))
    for command in ("init", "snapshots"):
        assert "the bucket no-such-bucket does not exist" in hold(command, code=22).err


def test_no_repository_there(run: Runner, bucket: Bucket, base: list[str]) -> None:
    assert bucket.name in run(*base, "snapshots", code=10).err
    assert bucket.keys() == {}


def test_a_clock_that_is_wrong(hold: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """By half an hour, more than any server accepts."""
    moved = datetime.timedelta(minutes=30)
    now = auth.get_current_datetime

    def later(*values: object, **words: object) -> datetime.datetime:
        moment: datetime.datetime = now(*values, **words)
        return moment + moved

    monkeypatch.setattr(auth, "get_current_datetime", later)
    assert "set the clock right" in hold("snapshots", code=24).err


def test_a_gateway_that_is_not_there(
    run: Runner, bucket: Bucket, gateway: Gateway, tmp_path: Path, impatient: None
) -> None:
    hold = run.with_base(*options(bucket.location(endpoint=gateway.endpoint), tmp_path))
    hold("init")
    gateway.kill()
    begin_s = time.monotonic()
    error = hold("--json", "snapshots", code=26).error
    assert error["error"] == "TransientBackendError"
    assert f"connection refused by 127.0.0.1:{gateway.port}" in error["message"]
    assert time.monotonic() - begin_s < 20


def test_a_storage_class_that_the_server_lacks(
    run: Runner, bucket: Bucket, source: Path, tmp_path: Path
) -> None:
    hold = run.with_base(*options(bucket.location(**{"class": "STANDARD_IA"}), tmp_path))
    hold("init", "--pack-size", "1M", "--slice-size", "64K")
    err = hold("backup", source, code=1).err
    assert "storage class STANDARD_IA" in err
    assert hold("snapshots", "--json").document == []


# -- encryption by the server -------------------------------------------------------------------


WRONG_SSE_C = 1


@pytest.fixture
def locked(run: Runner, bucket: Bucket, tmp_path: Path) -> Callable[[str], Runner]:
    """Returns a runner whose requests carry the customer's key that a file holds."""

    def with_key(content: str) -> Runner:
        path = tmp_path / f"key-{content}"
        path.write_bytes(content.encode() * 32)
        location = bucket.location(**{"sse-c-key-file": str(path)})
        return run.with_base(*options(location, tmp_path))

    return with_key


def test_a_key_of_the_customer(
    locked: Callable[[str], Runner],
    hold_without_key: Runner,
    bucket: Bucket,
    source: Path,
    tmp_path: Path,
) -> None:
    hold = locked("a")
    hold("init", "--pack-size", "1M", "--slice-size", "64K")
    hold("backup", source)
    restored(hold, "latest", source, tmp_path / "target")
    hold("check", "--read-data")
    for key in bucket.keys():  # noqa: SIM118 - a method
        head = functools.partial(bucket.client.head_object, Bucket=bucket.name, Key=key)
        with pytest.raises(bucket.client.exceptions.ClientError):
            head()
        assert head(SSECustomerAlgorithm="AES256", SSECustomerKey=b"a" * 32)["ContentLength"]
    for wrong in (locked("b"), hold_without_key):
        assert "sse-c-key-file" in wrong("snapshots", code=WRONG_SSE_C).err


@pytest.fixture
def hold_without_key(run: Runner, bucket: Bucket, tmp_path: Path) -> Runner:
    return run.with_base(*options(bucket.location(), tmp_path))


def test_a_key_of_the_servers_key_store(
    run: Runner, bucket: Bucket, source: Path, tmp_path: Path
) -> None:
    location = bucket.location(sse="aws:kms", **{"kms-key": KMS_KEY})
    hold = run.with_base(*options(location, tmp_path))
    hold("init", "--pack-size", "1M", "--slice-size", "64K")
    hold("backup", source)
    for key in bucket.keys():  # noqa: SIM118 - a method
        head = bucket.client.head_object(Bucket=bucket.name, Key=key)
        assert head["ServerSideEncryption"] == "aws:kms"
    restored(hold, "latest", source, tmp_path / "target")


# -- limits -------------------------------------------------------------------------------------


def test_bandwidths_are_kept_below_their_limits(
    hold: Runner, base: list[str], tmp_path: Path
) -> None:
    """As processes of their own, so that nothing else is measured."""
    size = 3_000_000
    source = write_tree(tmp_path / "large", {b"large": os.urandom(size)})
    environment = environment_for_processes()

    def seconds(*words: str) -> float:
        begin_s = time.monotonic()
        run_process(*base, *words, env=environment).check()
        return time.monotonic() - begin_s

    assert seconds("--limit-upload", "2M", "backup", str(source)) > size / (2 << 20) - 0.5
    target = ["restore", f"latest:{source}", "--target"]
    free_s = seconds(*target, str(tmp_path / "free"))
    limited_s = seconds("--limit-download", "2M", *target, str(tmp_path / "limited"))
    assert limited_s > size / (2 << 20) - 0.5
    assert free_s < limited_s
    assert (tmp_path / "limited" / "large").stat().st_size == size


def test_requests_are_limited(hold: Runner, source: Path) -> None:
    err = hold("--max-requests", "5", "backup", source, code=27).err
    assert "after 5 requests" in err
    hold("backup", source)
    hold("check", "--read-data")
