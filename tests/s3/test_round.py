"""Everything people do with a repository, on a real S3 server."""

from __future__ import annotations

import os
import random
from pathlib import Path

from s3.conftest import options
from support.buckets import Bucket
from support.command_line import Runner
from support.repos import random_files, write_tree
from support.trees import read_tree


def restored(hold: Runner, name: str, source: Path, target: Path) -> None:
    """Restore a snapshot and compare it with the source."""
    hold("restore", f"{name}:{source}", "--target", target)
    assert read_tree(os.fsencode(target)) == read_tree(os.fsencode(source))


def test_the_whole_round(hold: Runner, bucket: Bucket, source: Path, tmp_path: Path) -> None:
    first = hold("backup", source, "--json", "-q").events[-1]
    before = bucket.keys()
    second = hold("backup", source, "--json", "-q").events[-1]
    assert first["bytes_added"] > 2_000_000
    assert (second["files_unmodified"], second["files_new"], second["files_changed"]) == (8, 0, 0)
    assert second["bytes_added"] < 1000  # a directory above the source may have changed
    assert len(bucket.keys().keys() - before.keys()) <= 3
    ids = [first["snapshot"], second["snapshot"]]
    assert {one["id"] for one in hold("snapshots", "--json").document} == {*ids}
    listed = hold("ls", "-R", f"latest:{source}").out
    assert all(name in listed for name in ("d0/f1-0", "d1/f1-7", "link"))
    restored(hold, ids[0], source, tmp_path / "target")
    hold("check", "--read-data")
    assert hold("stats", "--json").document["snapshots"] == 2
    assert all(key.startswith("repository/") for key in bucket.keys())  # noqa: SIM118 - a method


def test_forget_undo_and_prune(hold: Runner, bucket: Bucket, source: Path, tmp_path: Path) -> None:
    ids = []
    for number in range(3):
        noise = random.Random(number).randbytes(700_000)
        write_tree(source, {**random_files(1, [10, 300_000]), b"noise": noise})
        ids.append(hold("backup", source, "--json", "-q").events[-1]["snapshot"])
    full = sum(bucket.keys("repository/packs/").values())
    hold("forget", *ids[:2])
    hold("forget", "--undo", ids[1])
    event = hold("prune", "--max-unused", "0", "--json", "-q").events[-1]
    assert (event["outcome"], event["snapshots_removed"]) == ("done", 1)
    kept = sum(bucket.keys("repository/packs/").values())
    assert full - 900_000 < kept < full - 600_000
    assert {one["id"] for one in hold("snapshots", "--json").document} == {*ids[1:]}
    restored(hold, ids[2], source, tmp_path / "target")
    hold("check", "--read-data")


def test_another_host_with_another_key(
    hold: Runner, run: Runner, bucket: Bucket, source: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    hold("key", "add", "--new-key-file", other / "key")
    hold("backup", source, "--host", "one")
    elsewhere = run.with_base(*options(bucket.location(), other))
    event = elsewhere("backup", source, "--host", "two", "--json", "-q").events[-1]
    assert event["bytes_added"] < 20_000  # the other host's data is found
    assert len(elsewhere("key", "list", "--json").document) == 2
    hosts = {one["host"] for one in hold("snapshots", "--json").document}
    assert hosts == {"one", "two"}
    restored(elsewhere, event["snapshot"], source, tmp_path / "target")


def test_two_repositories_in_one_bucket(
    hold: Runner, run: Runner, bucket: Bucket, source: Path, tmp_path: Path
) -> None:
    """And a third one whose prefix begins like that of the first."""
    others = [run.with_base(*options(bucket.location(f"repository{at}"), tmp_path)) for at in "-2"]
    for runner in others:
        runner("init")
    hold("backup", source)
    assert [len(runner("snapshots", "--json").document) for runner in (hold, *others)] == [1, 0, 0]
    assert "already" in hold("init", code=1).err


def test_a_stream(hold: Runner, tmp_path: Path) -> None:
    data = random.Random(3).randbytes(3_000_000)
    (tmp_path / "dump").write_bytes(data)
    words = ["--stdin-from-command", "--stdin-filename", "dump", "--profile", "dump"]
    hold("backup", *words, "--", "cat", str(tmp_path / "dump"))
    hold("restore", "latest:/dump", "--target", tmp_path / "target")
    assert (tmp_path / "target" / "dump").read_bytes() == data


def test_an_object_that_rots_is_found(hold: Runner, bucket: Bucket, source: Path) -> None:
    hold("backup", source)
    key = max(bucket.keys("repository/packs/").items(), key=lambda item: item[1])[0]
    data = bytearray(bucket.client.get_object(Bucket=bucket.name, Key=key)["Body"].read())
    data[len(data) // 2] ^= 1
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=bytes(data))
    hold("check")
    name = key.removeprefix("repository/").rpartition("/")[2]
    assert name[:8] in hold("check", "--read-data", code=13).out
