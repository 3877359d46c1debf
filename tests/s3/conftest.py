"""Fixtures of the tests that run the command line on a real S3 server."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.backends import retry
from support.buckets import Bucket
from support.ceph import Cluster, Gateway
from support.command_line import Runner
from support.repos import random_files, write_tree

SIZES = [0, 1, 700, 5_000, 30_000, 120_000, 400_000, 1_500_000]


@pytest.fixture
def base(bucket: Bucket, tmp_path: Path) -> list[str]:
    """Global options of a repository in a bucket of its own."""
    return options(bucket.location(), tmp_path)


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes]) -> Runner:
    """Runs command lines without any options in front."""
    return Runner(capsysbinary)


@pytest.fixture
def hold(run: Runner, base: list[str]) -> Runner:
    """Runs command lines on a fresh repository of small packs."""
    runner = run.with_base(*base)
    runner("init", "--pack-size", "1M", "--slice-size", "64K")
    return runner


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree of 2 MB."""
    root = write_tree(tmp_path / "source", random_files(1, SIZES))
    (root / "link").symlink_to("d1/f1-1")
    return root


@pytest.fixture
def gateway(cluster: Cluster) -> Iterator[Gateway]:
    """A gateway to the same buckets that nobody else uses, so that it may be killed."""
    with cluster.gateway() as gateway:
        yield gateway


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations are tried three times within half a second, not for half a minute."""
    policy = functools.partial(retry.RetryPolicy, attempts=3, first_wait_s=0.2)
    monkeypatch.setattr(retry, "RetryPolicy", policy)


def options(location: str, directory: Path, cache: str = "cache") -> list[str]:
    """Return the global options for a repository whose key and cache lie in a directory."""
    key = str(directory / "key")
    return ["-r", location, "--key-file", key, "--cache-dir", str(directory / cache)]
