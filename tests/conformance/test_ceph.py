"""The S3 backend keeps the contract on a real server, a Ceph gateway, bare and with repetitions.

A client takes 0.1 s to make, so that the tests of a class share one and empty its bucket.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conformance.s3_contract import S3Contract
from holdfast.backends.base import Backend
from holdfast.backends.location import parse_location
from holdfast.backends.retry import RetryBackend
from holdfast.backends.s3 import S3Backend
from holdfast.backends.s3_client import S3Client, open_s3_client
from support.buckets import new_bucket, set_credentials
from support.ceph import Cluster

NOT_OURS = ("deep/repository-2/a", "deep/repositor", "deep", "other")


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[S3Client]:
    """A client whose location is a whole bucket."""
    client = open_s3_client(parse_location(new_bucket(cluster).location(prefix="")))
    yield client
    client.close()


@pytest.fixture(scope="module")
def inner_client(cluster: Cluster) -> Iterator[S3Client]:
    """A client whose location is a prefix beside other keys."""
    bucket = new_bucket(cluster)
    for key in NOT_OURS:
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"not ours")
    client = open_s3_client(parse_location(bucket.location("deep/repository")))
    yield client
    client.close()
    assert bucket.keys().keys() == {*NOT_OURS}


def empty(client: S3Client) -> None:
    """Delete what is below the client's location."""
    token = ""
    while True:
        page = client.list_page("", token)
        keys = [{"Key": client.key(info.name)} for info in page.objects]
        if keys:
            client.call("delete_objects", "", Delete={"Objects": keys, "Quiet": True})
        token = page.next_token
        if not token:
            return


class TestS3BackendOnCeph(S3Contract):
    @pytest.fixture
    def backend(self, client: S3Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
        set_credentials(monkeypatch)
        backend = S3Backend(client)
        backend.initialize()
        yield backend
        empty(client)


class TestS3BackendWithRepetitionsOnCeph(S3Contract):
    @pytest.fixture
    def backend(self, inner_client: S3Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
        set_credentials(monkeypatch)
        backend = RetryBackend(S3Backend(inner_client))
        backend.initialize()
        yield backend
        empty(inner_client)
