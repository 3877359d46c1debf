"""Object Lock, append-only clients and lifecycle rules, enforced by a real S3 server."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from holdfast.backends.location import parse_location
from holdfast.backends.registry import open_backend
from holdfast.backends.s3_client import open_s3_client
from holdfast.backends.s3_lock import S3Locks
from holdfast.clock import SystemClock
from holdfast.crypto.secrets import Secret
from holdfast.database_errors import LogSegmentNotFoundError
from holdfast.errors import AccessDeniedError
from holdfast.format.gc import Close, Condemn
from holdfast.operations.object_lock import keep_locked
from holdfast.repository import settling
from holdfast.repository.lock_ledger import FREE
from holdfast.repository.log_archive import LogArchive
from holdfast.repository.repository import Repository
from holdfast_cli.options import SecretKind, SecretSource
from holdfast_cli.secret_sources import read_secret
from s3.conftest import options
from s3.test_round import restored
from support.buckets import Bucket, new_bucket, s3_client, set_credentials
from support.ceph import OTHER, OWNER, Cluster
from support.command_line import Runner
from support.locking import SetClock
from support.repos import random_files, write_tree

POLICY = Path(__file__).parents[2] / "docs" / "s3-policy.json"
SMALL = ("--pack-size", "1M", "--slice-size", "64K")
DAY = timedelta(days=1)


@pytest.fixture
def locked(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket with Object Lock."""
    set_credentials(monkeypatch)
    return new_bucket(cluster, ObjectLockEnabledForBucket=True)


@pytest.fixture
def base(locked: Bucket, tmp_path: Path) -> list[str]:
    return options(locked.location(), tmp_path)


@pytest.fixture
def hold(run: Runner, base: list[str]) -> Runner:
    """Runs command lines on a fresh repository that wants a day of protection."""
    runner = run.with_base(*base)
    runner("init", "--object-lock", "1", *SMALL)
    return runner


def ends_of(bucket: Bucket) -> dict[str, datetime]:
    """Return the end of each object's lock, by its name."""
    found = {}
    for key in bucket.keys():  # noqa: SIM118 - a method
        try:
            answer = bucket.client.get_object_retention(Bucket=bucket.name, Key=key)
        except ClientError:
            continue
        assert answer["Retention"]["Mode"] == "COMPLIANCE"
        found[key.removeprefix("repository/")] = answer["Retention"]["RetainUntilDate"]
    return found


def names_of(bucket: Bucket) -> set[str]:
    return {key.removeprefix("repository/") for key in bucket.keys("repository/")}


def versions_of(bucket: Bucket, kind: str = "Versions") -> list[dict[str, Any]]:
    pages = bucket.client.get_paginator("list_object_versions").paginate(Bucket=bucket.name)
    return [one for page in pages for one in page.get(kind, ())]


def denied(action: Callable[..., Any], **words: Any) -> None:
    with pytest.raises(ClientError) as caught:
        action(**words)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_bucket_without_object_lock_is_refused(
    run: Runner, bucket: Bucket, tmp_path: Path
) -> None:
    hold = run.with_base(*options(bucket.location(), tmp_path))
    assert "has no Object Lock" in hold("init", "--object-lock", "30", code=2).err
    assert bucket.keys() == {}


def test_everything_is_locked_and_cannot_be_deleted(
    hold: Runner, locked: Bucket, source: Path
) -> None:
    summary = hold("backup", source, "--json", "-q").events[-1]
    now = datetime.now(UTC)  # noqa: TID251 - the server's clock is this machine's
    names = {name for name in names_of(locked) if not name.startswith(FREE)}
    ends = ends_of(locked)
    assert ends.keys() == names
    assert all(2 * DAY - timedelta(minutes=5) < end - now <= 2 * DAY for end in ends.values())
    locks = summary["locks"]
    assert (locks["objects"], locks["extended"], locks["failures"]) == (len(names), 0, [])
    for one in versions_of(locked):
        if not one["Key"].startswith(tuple(f"repository/{free}" for free in FREE)):
            where = {"Bucket": locked.name, "Key": one["Key"], "VersionId": one["VersionId"]}
            denied(locked.client.delete_object, **where)
            denied(locked.client.delete_object, **where, BypassGovernanceRetention=True)
    earlier = {"Mode": "COMPLIANCE", "RetainUntilDate": now + DAY}
    key = "repository/config"
    denied(locked.client.put_object_retention, Bucket=locked.name, Key=key, Retention=earlier)


def test_governance_can_be_chosen(
    run: Runner, locked: Bucket, source: Path, tmp_path: Path
) -> None:
    where = locked.location(**{"lock-mode": "governance"})
    hold = run.with_base(*options(where, tmp_path))
    hold("init", "--object-lock", "1", *SMALL)
    hold("backup", source)
    (version,) = [one for one in versions_of(locked) if one["Key"] == "repository/config"]
    words = {"Bucket": locked.name, "Key": "repository/config", "VersionId": version["VersionId"]}
    denied(locked.client.delete_object, **words)
    locked.client.delete_object(**words, BypassGovernanceRetention=True)  # its purpose


def test_prune_leaves_what_is_locked(hold: Runner, locked: Bucket, source: Path) -> None:
    first = hold("backup", source, "--json", "-q").events[-1]["snapshot"]
    write_tree(source, random_files(2, [700_000]))
    hold("backup", source)
    packs = {name for name in names_of(locked) if name.startswith("packs/")}
    hold("forget", first)
    told = hold("prune", "--max-unused", "0").out
    assert "protected by Object Lock until " in told
    assert "could not be deleted" not in told
    event = hold("prune", "--json", "-q").events[-1]
    assert event["packs_locked"] > 0
    assert (event["packs_undeletable"], event["packs_removed"]) == (0, 0)
    assert event["locked_until"] > event["locks"]["ends"][:10]
    assert packs <= names_of(locked)
    hold("check", "--read-data")
    assert len(hold("snapshots", "--json").document) == 1


def test_locks_move_with_time_for_what_is_needed(
    hold: Runner, base: list[str], locked: Bucket, source: Path, tmp_path: Path
) -> None:
    gone = hold("backup", source, "--json", "-q").events[-1]["snapshot"]
    write_tree(source, random_files(2, [1_200_000]))
    kept = hold("backup", source, "--json", "-q").events[-1]["snapshot"]
    hold("forget", gone)
    hold("prune", "--max-unused", "0")
    before = ends_of(locked)
    now_s = int(datetime.now(UTC).timestamp())  # noqa: TID251
    clock = SetClock(now_s + 36 * 3600)
    location = locked.location()
    store = S3Locks(open_s3_client(parse_location(location)))
    secret = _secret(tmp_path)
    with Repository.open(
        open_backend(location), secret, cache_dir=str(tmp_path / "cache"), clock=clock
    ) as repository:
        doomed = repository.log.read().doomed
        would = keep_locked(repository, store, dry_run=True)
        assert ends_of(locked) == before
        report = keep_locked(repository, store)
        assert keep_locked(repository, store).looked_at == 0
    store.close()
    assert report.failures == []
    assert would.extended == report.extended == report.objects > 5
    after = ends_of(locked)
    moved = {name for name in after if after[name] != before.get(name)}
    assert {after[name] for name in moved} == {
        datetime.fromtimestamp(clock.now_s, UTC) + 2 * DAY,
    }
    assert {"config", f"snapshots/{kept}"} <= moved
    assert doomed
    assert not moved & {f"packs/{one[:2]}/{one}" for one in doomed}
    assert f"snapshots/{gone}" not in moved


def _secret(directory: Path) -> Secret:
    return read_secret(SecretSource(SecretKind.KEY_FILE, str(directory / "key")))


def test_who_deletes_everything_only_hides_it(
    hold: Runner, locked: Bucket, source: Path, tmp_path: Path
) -> None:
    """With all rights of the bucket's owner: the versions stay, and come back."""
    name = hold("backup", source, "--json", "-q").events[-1]["snapshot"]
    for key in locked.keys():  # noqa: SIM118 - a method
        locked.client.delete_object(Bucket=locked.name, Key=key)
    hold("snapshots", code=10)
    for marker in versions_of(locked, "DeleteMarkers"):
        if "/sessions/" not in marker["Key"] and "/probe/" not in marker["Key"]:
            locked.client.delete_object(
                Bucket=locked.name, Key=marker["Key"], VersionId=marker["VersionId"]
            )
    hold("check", "--read-data")
    restored(hold, name, source, tmp_path / "target")


def test_a_deleted_pack_is_missed_when_its_lock_is_due(
    hold: Runner, locked: Bucket, source: Path, tmp_path: Path
) -> None:
    hold("backup", source)
    pack = max(locked.keys("repository/packs/").items(), key=lambda item: item[1])[0]
    locked.client.delete_object(Bucket=locked.name, Key=pack)
    for ledger in (tmp_path / "cache").glob("*/locks"):
        ledger.unlink()
    told = hold("backup", source, "--tag", "again", code=3)
    assert "it is missing" in told.err
    assert "snapshot " in told.out


# -- lifecycle ----------------------------------------------------------------------------------


def test_rules_tidy_up_and_expire_nothing_that_is_there(
    hold: Runner, locked: Bucket, source: Path
) -> None:
    """A day of the rules takes two seconds on this server."""
    name = hold("backup", source, "--json", "-q").events[-1]["snapshot"]
    hold("forget", name)
    hold("forget", "--undo", name)
    client, key = locked.client, "repository/packs/00/" + 32 * "0"
    upload = client.create_multipart_upload(Bucket=locked.name, Key=key)["UploadId"]
    part = {"Bucket": locked.name, "Key": key, "UploadId": upload, "PartNumber": 1}
    client.upload_part(**part, Body=io.BytesIO(b"left"))
    foreign = {
        "ID": "logs",
        "Status": "Enabled",
        "Filter": {"Prefix": "logs/"},
        "Expiration": {"Days": 1},
    }
    client.put_object(Bucket=locked.name, Key="logs/old", Body=b"expires")
    client.put_bucket_lifecycle_configuration(
        Bucket=locked.name, LifecycleConfiguration={"Rules": [foreign]}
    )
    before = names_of(locked)
    hold("lifecycle", "--set", "--uploads-after", "1", "--versions-after", "1")
    rules = client.get_bucket_lifecycle_configuration(Bucket=locked.name)["Rules"]
    assert foreign in rules
    assert {rule["ID"] for rule in rules} == {
        "logs",
        "holdfast-repository-uploads",
        "holdfast-repository-versions",
    }
    deadline = time.monotonic() + 60
    while _untidy(locked) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not _untidy(locked)
    assert names_of(locked) == before
    hold("check", "--read-data")
    hold("lifecycle", "--remove")
    left = client.get_bucket_lifecycle_configuration(Bucket=locked.name)["Rules"]
    assert left == [foreign]


def test_doctor_shows_rules_that_would_harm(run: Runner, bucket: Bucket, tmp_path: Path) -> None:
    hold = run.with_base(*options(bucket.location(), tmp_path))
    rule = {
        "ID": "tidy",
        "Status": "Enabled",
        "Filter": {"Prefix": "re"},
        "Expiration": {"Days": 9},
    }
    for rules, seen, verdict in (
        ([], "no rules", "good"),
        ([rule], "tidy: it will delete objects after 9 days", "poor"),
    ):
        if rules:
            bucket.client.put_bucket_lifecycle_configuration(
                Bucket=bucket.name, LifecycleConfiguration={"Rules": rules}
            )
        rows = {row["property"]: row for row in hold("doctor", "--json").document["properties"]}
        assert (rows["lifecycle"]["seen"], rows["lifecycle"]["verdict"]) == (seen, verdict)


def _untidy(bucket: Bucket) -> list[str]:
    """Return what rules shall remove: uploads, old versions of free objects, another's logs."""
    marks = [one["Key"] for one in versions_of(bucket) if "/forgets/" in one["Key"]]
    return [*bucket.uploads(), *marks, *bucket.keys("logs/")]


# -- append-only clients ------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["plain", "locked"])
def guarded(
    request: pytest.FixtureRequest, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> Bucket:
    """A bucket, with Object Lock or without."""
    set_credentials(monkeypatch)
    return new_bucket(cluster, ObjectLockEnabledForBucket=request.param)


def test_a_client_that_may_only_append(
    run: Runner, guarded: Bucket, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_locked = bool(guarded.client.get_bucket_versioning(Bucket=guarded.name).get("Status"))
    owner = run.with_base(*options(guarded.location(), tmp_path))
    owner("init", *SMALL, *(["--object-lock", "1"] if is_locked else []))
    first = owner("backup", source, "--json", "-q").events[-1]["snapshot"]
    set_policy(guarded)

    set_credentials(monkeypatch, OTHER)
    client = run.with_base(*options(guarded.location(), tmp_path, cache="other"))
    write_tree(source, random_files(2, [400_000, 900_000]))
    summary = client("backup", source, "--json", "-q").events[-1]
    if is_locked:
        assert summary["locks"]["failures"] == []
    second = summary["snapshot"]
    assert not [name for name in names_of(guarded) if name.startswith("sessions/")]
    restored(client, second, source, tmp_path / "target")
    client("check")
    with _opened(guarded, tmp_path, "other") as repository:
        archive = LogArchive(repository, "wal", "1")
        assert archive.push("000000010000000000000001", io.BytesIO(b"log"), 3) is True
        assert archive.push("000000010000000000000001", io.BytesIO(b"log"), 3) is False
        with pytest.raises(LogSegmentNotFoundError):
            archive.fetch("000000010000000000000002", bytes)
        with pytest.raises(AccessDeniedError):
            archive.remove(["000000010000000000000001"])
    for words in (
        ["forget", first],
        ["forget", "--keep-last", "1", "--prune"],
        ["key", "add", "--new-key-file", str(tmp_path / "new")],
        ["lifecycle", "--set"],
    ):
        assert "no permission for" in client(*words, code=20).err
    set_credentials(monkeypatch)
    owner("forget", first)
    set_credentials(monkeypatch, OTHER)
    assert "no permission for" in client("prune", code=20).err
    assert_denied_behind_our_back(guarded)

    set_credentials(monkeypatch)
    owner("prune")
    assert [one["id"] for one in owner("snapshots", "--json").document] == [second]
    owner("check", "--read-data")
    set_credentials(monkeypatch, OTHER)
    client("backup", source)


def test_a_client_overwrites_nothing_for_good_in_a_locked_bucket(
    hold: Runner, locked: Bucket, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ceph 16 knows no condition about If-None-Match; versions keep what was there."""
    hold("backup", source)
    set_policy(locked)
    other = s3_client(locked.cluster.endpoint, OTHER)
    pack = max(locked.keys("repository/packs/").items(), key=lambda item: item[1])[0]
    try:
        other.put_object(Bucket=locked.name, Key=pack, Body=b"garbage")
    except ClientError:
        return  # a server that enforces the condition
    hold("check", "--read-data", code=13)
    newest = next(one for one in versions_of(locked) if one["Key"] == pack and one["IsLatest"])
    words = {"Bucket": locked.name, "Key": pack, "VersionId": newest["VersionId"]}
    denied(other.delete_object, **words)
    locked.client.delete_object(**words)
    hold("check", "--read-data")


def test_a_client_that_may_not_seal_backs_up_beside_a_dead_prune(
    run: Runner, bucket: Bucket, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the SEAL in vain, then builds upon a newer view."""
    owner = run.with_base(*options(bucket.location(), tmp_path))
    owner("init", *SMALL)
    owner("backup", source)
    with _opened(bucket, tmp_path) as repository:
        log = repository.log
        begun = log.read()
        condemn = Condemn(
            previous_hash=begun.last_hash, time_ns=1, host="dead", packs=b"", index_ids=b""
        )
        log.append(begun, condemn)
        opened = log.read()
        log.append(opened, Close(previous_hash=opened.last_hash, time_ns=2, host="dead"))
        assert log.read().is_closed
    set_policy(bucket)
    monkeypatch.setattr(settling, "PATIENCE_S", 0.3)
    set_credentials(monkeypatch, OTHER)
    client = run.with_base(*options(bucket.location(), tmp_path, cache="other"))
    write_tree(source, random_files(2, [400_000]))
    name = client("backup", source, "--json", "-q").events[-1]["snapshot"]
    assert {name for name in names_of(bucket) if name.startswith("gc/")} == {
        "gc/0000000000",
        "gc/0000000001",
    }
    restored(client, name, source, tmp_path / "target")


def _opened(bucket: Bucket, directory: Path, cache: str = "cache") -> Repository:
    return Repository.open(
        open_backend(bucket.location()),
        _secret(directory),
        cache_dir=str(directory / cache),
        clock=SystemClock(),
    )


def set_policy(bucket: Bucket) -> None:
    """Apply the documented policy as its text says."""
    text = POLICY.read_text()
    for word, value in (
        ("CLIENT_ARN", f"arn:aws:iam:::user/{OTHER.name}"),
        ("OWNER_ARN", f"arn:aws:iam:::user/{OWNER.name}"),
        ("MOST_DAYS", "3"),
        ("BUCKET", bucket.name),
        ("PREFIX", "repository"),
    ):
        assert word in text
        text = text.replace(word, value)
    bucket.client.put_bucket_policy(Bucket=bucket.name, Policy=text)


def assert_denied_behind_our_back(bucket: Bucket) -> None:
    other, name = s3_client(bucket.cluster.endpoint, OTHER), {"Bucket": bucket.name}
    for key in bucket.keys("repository/"):
        denied(other.delete_object, **name, Key=key)
    for key in ("config", "gc/0000000009", "forgets/" + 32 * "0", "keys/" + 32 * "0", "probe/a"):
        denied(other.put_object, **name, Key=f"repository/{key}", Body=b"x")
    denied(other.put_object, **name, Key="elsewhere", Body=b"x")
    denied(other.list_objects_v2, **name)
    denied(other.delete_bucket_policy, **name)
    denied(other.put_bucket_policy, **name, Policy="{}")
    denied(other.delete_bucket_lifecycle, **name)
    denied(other.put_bucket_versioning, **name, VersioningConfiguration={"Status": "Suspended"})
    for one in versions_of(bucket):
        if one["VersionId"] != "null":
            denied(other.delete_object, **name, Key=one["Key"], VersionId=one["VersionId"])
