"""Buckets on the real server, as tests see them beside holdfast."""

from __future__ import annotations

import functools
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from support.ceph import OWNER, Cluster, User


def set_credentials(monkeypatch: pytest.MonkeyPatch, user: User = OWNER) -> None:
    """Put an account's credentials into the environment, as people do."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", user.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", user.secret_key)


@functools.cache
def s3_client(endpoint: str, user: User = OWNER) -> Any:
    """Return a boto3 client of an account, for what tests do behind holdfast's back."""
    import boto3
    from botocore.config import Config

    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=user.access_key,
        aws_secret_access_key=user.secret_key,
        config=Config(
            s3={"addressing_style": "path"},
            proxies={},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of a test of its own."""

    cluster: Cluster
    name: str
    client: Any
    """Of its owner."""

    def location(self, prefix: str = "repository", endpoint: str = "", **options: str) -> str:
        """Return a LOCATION in it, by the shared gateway unless another one is named."""
        words = urlencode({"endpoint": endpoint or self.cluster.endpoint, **options})
        return f"s3://{self.name}/{prefix}?{words}"

    def keys(self, prefix: str = "") -> dict[str, int]:
        """Return the size of each object."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix
        )
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", ())}

    def uploads(self) -> list[str]:
        """Return the keys of multipart uploads that are neither complete nor aborted."""
        found = self.client.list_multipart_uploads(Bucket=self.name)
        return [one["Key"] for one in found.get("Uploads", ())]


def new_bucket(cluster: Cluster, **options: Any) -> Bucket:
    """Create a bucket of its own name; options are those of boto3's `create_bucket`."""
    client = s3_client(cluster.endpoint)
    name = f"test-{secrets.token_hex(8)}"
    client.create_bucket(Bucket=name, **options)
    return Bucket(cluster, name, client)
