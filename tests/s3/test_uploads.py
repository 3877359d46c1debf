"""Packs that are uploaded in parts: whole or invisible, and aborted where there is time for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.backends import s3_writer
from holdfast.backends.location import parse_location
from holdfast.backends.s3 import S3Backend
from holdfast.backends.s3_client import open_s3_client
from s3.test_gateway_killed import wait_until
from s3.test_round import restored
from support.buckets import Bucket
from support.command_line import Runner, environment_for_processes
from support.repos import write_tree

MIB = 1 << 20


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of the smallest size that servers take, so that 20 MiB are several."""
    monkeypatch.setattr(s3_writer, "PART_SIZE", 5 * MIB)
    monkeypatch.setattr(s3_writer, "MOST_AT_ONCE", 10 * MIB)


def test_a_pack_in_parts(
    run: Runner, base: list[str], bucket: Bucket, tmp_path: Path, small_parts: None
) -> None:
    hold = run.with_base(*base)
    hold("init", "--pack-size", "24M")
    source = write_tree(tmp_path / "source", {b"large": os.urandom(18 * MIB)})
    hold("backup", source)
    (size,) = [size for size in bucket.keys("repository/packs/").values() if size > 10 * MIB]
    assert size > 18 * MIB
    key = next(key for key, found in bucket.keys().items() if found == size)
    etag = bucket.client.head_object(Bucket=bucket.name, Key=key)["ETag"]
    assert etag.strip('"').endswith("-4")
    assert bucket.uploads() == []
    restored(hold, "latest", source, tmp_path / "target")
    hold("check", "--read-data")


def test_a_writer_that_fails_between_its_parts_aborts(
    bucket: Bucket, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_s3_client(parse_location(bucket.location()))
    backend = S3Backend(client)
    put_part = client.put_part
    seen: list[dict[str, int]] = []

    def interrupted(*values: object) -> str:
        if bucket.uploads() and len(seen) == 1:
            raise KeyboardInterrupt
        seen.append(bucket.keys())
        return put_part(*values)  # type: ignore[arg-type]

    monkeypatch.setattr(client, "put_part", interrupted)
    writer = backend.open_writer("packs/aa/parts")
    writer.write(bytes(12 * MIB))
    with pytest.raises(KeyboardInterrupt):
        writer.commit()
    assert seen == [{}]
    assert (bucket.uploads(), bucket.keys()) == ([], {})
    backend.close()


SCRIPT = """
import sys
from holdfast.backends import s3_writer
from holdfast_cli.main import main
s3_writer.PART_SIZE, s3_writer.MOST_AT_ONCE = 5 << 20, 10 << 20
sys.exit(main(sys.argv[1:]))
"""


def test_half_an_upload_is_never_visible(
    run: Runner, base: list[str], bucket: Bucket, tmp_path: Path
) -> None:
    """The process is killed; a rule of the bucket aborts the upload when it is old."""
    hold = run.with_base(*base)
    hold("init", "--pack-size", "24M")
    source = write_tree(tmp_path / "source", {b"large": os.urandom(11 * MIB)})
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *base, "--limit-upload", "5M", "backup", str(source)],
        env=environment_for_processes(),
        stderr=subprocess.DEVNULL,
    )
    wait_until(bucket.uploads, process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert len(bucket.uploads()) == 1
    assert not [size for size in bucket.keys().values() if size > MIB]
    assert hold("snapshots", "--json").document == []
    hold("backup", source)
    hold("check", "--read-data")
    assert hold("stats", "--json").document["packs"] == len(bucket.keys("repository/packs/"))
