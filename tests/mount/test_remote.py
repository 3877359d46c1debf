"""A repository on a real S3 server, mounted."""

from __future__ import annotations

import json
import os
import random
from contextlib import suppress
from pathlib import Path

from s3.conftest import options
from support.buckets import Bucket
from support.command_line import run_process
from support.mounting import MountProcess, mounted_at, run_command, wait_until
from support.repos import write_tree


def test_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    noise = random.Random(1)
    files = {b"d%d/f%d" % (n % 3, n): noise.randbytes(n * 7_000) for n in range(20)}
    source = write_tree(tmp_path / "source", {**files, b"large": noise.randbytes(5_000_000)})
    base = options(bucket.location(), tmp_path)
    run_process(*base, "init", "--pack-size", "1M", "--slice-size", "64K").check()
    run_process(*base, "backup", source).check()
    with MountProcess(base, tmp_path / "mnt") as mounted:
        seen = mounted.at(source)
        assert run_command("diff", "-r", source, seen) == b""
        with open(seen / "large", "rb", buffering=0) as file:
            expected = (source / "large").read_bytes()
            for offset in (4_999_990, 1_234_567, 0, 3_000_000):
                assert os.pread(file.fileno(), 1000, offset) == expected[offset : offset + 1000]
        assert mounted.errors == ""
        for key in bucket.keys():  # noqa: SIM118 - a method
            bucket.client.delete_object(Bucket=bucket.name, Key=key)
        assert wait_until(is_over, mounted, seconds=15)
        outcome = mounted.wait()
        assert outcome.code == 10, outcome.err
        assert json.loads(outcome.err.splitlines()[-1])["error"] == "RepositoryVanishedError"
        assert not mounted_at(mounted.mountpoint)


def is_over(mounted: MountProcess) -> bool:
    """Whether the process has ended; looks into the mount, as nobody else asks the server."""
    with suppress(OSError):
        os.listdir(mounted.snapshots)
    return mounted.process.poll() is not None
