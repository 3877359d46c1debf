"""Servers for the tests of storage in S3."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.moto_server import MotoServer, running_moto


@pytest.fixture(scope="session")
def moto() -> Iterator[MotoServer]:
    """A server in memory with a bucket that is called "bucket", one per worker."""
    with running_moto() as server:
        server.client().create_bucket(Bucket="bucket")
        yield server
