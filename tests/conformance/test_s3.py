"""The S3 backend keeps the contract on moto, a server in memory; on Ceph: test_ceph.py."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.s3_contract import S3Contract
from holdfast.backends.base import Backend
from holdfast.backends.location import parse_location
from holdfast.backends.s3 import S3Backend
from holdfast.backends.s3_client import open_s3_client
from holdfast.database_errors import LogConflictError, LogSegmentNotFoundError
from holdfast.errors import RepositoryExistsError
from holdfast.repository.log_archive import LogArchive, list_archives
from support.moto_server import MotoServer, running_moto, set_credentials
from support.repos import init_store, open_repository


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoServer]:
    with running_moto() as server:
        server.client().create_bucket(Bucket="contract")
        yield server


@pytest.fixture
def location(moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix that nothing else uses."""
    set_credentials(monkeypatch)
    return moto.location("contract", secrets.token_hex(8))


class TestS3BackendOnMoto(S3Contract):
    """Without repetitions, which could hide something; test_ceph.py has both."""

    @pytest.fixture
    def backend(self, location: str) -> Iterator[Backend]:
        backend = S3Backend(open_s3_client(parse_location(location)))
        backend.initialize()
        yield backend
        backend.close()


def test_a_whole_bucket(moto: MotoServer, location: str) -> None:
    bucket = f"bucket-{secrets.token_hex(8)}"
    moto.client().create_bucket(Bucket=bucket)
    backend = S3Backend(open_s3_client(parse_location(moto.location(bucket))))
    backend.initialize()
    backend.create("packs/aa/1", b"data")
    assert backend.read("packs/aa/1") == b"data"
    assert [info.name for info in backend.list("")] == ["packs/aa/1"]
    assert [info.name for info in backend.list("packs/")] == ["packs/aa/1"]
    assert moto.client().list_objects_v2(Bucket=bucket)["Contents"][0]["Key"] == "packs/aa/1"
    with pytest.raises(RepositoryExistsError, match="the bucket is not empty"):
        backend.initialize()
    backend.close()


def test_log_segments_of_any_name(moto: MotoServer, location: str, tmp_path: Path) -> None:
    """Their names come from servers; a second one of a name is refused by the storage itself."""
    backend = S3Backend(open_s3_client(parse_location(location)))
    init_store(backend)
    with open_repository(backend, tmp_path) as repository:
        archive = LogArchive(repository, "wal", "7300000000000000001")
        names = ["0000000100000000000000AB", "00000002.history", "mysql bin/ä.000001", "a" * 217]
        for name in names:
            data = name.encode() * 100_000
            assert archive.push(name, io.BytesIO(data), len(data)) is True
            assert archive.push(name, io.BytesIO(data), len(data)) is False
            with pytest.raises(LogConflictError):
                archive.push(name, io.BytesIO(data[:-1]), len(data) - 1)
            pieces: list[bytes] = []
            archive.fetch(name, pieces.append)
            assert b"".join(pieces) == data
        assert [segment.name for segment in archive.segments()] == sorted(names)
        assert [one.identity for one in list_archives(repository)] == [archive.identity]
        assert archive.remove(names) == len(names)
        with pytest.raises(LogSegmentNotFoundError):
            archive.fetch(names[0], pieces.append)
