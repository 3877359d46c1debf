"""`holdfast lifecycle` on a server in memory; on a real one: tests/s3/test_object_lock.py."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command_line import Runner
from support.json_keys import LIFECYCLE, LIFECYCLE_DANGER, LIFECYCLE_RULE
from support.moto_server import MotoServer, running_moto, set_credentials

FOREIGN = {
    "ID": "logs",
    "Status": "Enabled",
    "Filter": {"Prefix": "logs/"},
    "Expiration": {"Days": 3},
}
DANGEROUS = {**FOREIGN, "ID": "tidy", "Filter": {"Prefix": ""}}


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoServer]:
    with running_moto() as server:
        yield server


@pytest.fixture
def bucket(moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> str:
    set_credentials(monkeypatch)
    name = f"bucket-{secrets.token_hex(8)}"
    moto.client().create_bucket(Bucket=name)
    return name


@pytest.fixture
def hold(run: Runner, moto: MotoServer, bucket: str) -> Runner:
    return run.with_base("-r", moto.location(bucket, "repo"))


def rules_of(moto: MotoServer, bucket: str) -> list[Any]:
    answer = moto.client().get_bucket_lifecycle_configuration(Bucket=bucket)
    return sorted(answer["Rules"], key=lambda rule: str(rule["ID"]))


def set_rules(moto: MotoServer, bucket: str, *rules: Any) -> None:
    moto.client().put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)}
    )


def test_set_show_and_remove(hold: Runner, moto: MotoServer, bucket: str) -> None:
    set_rules(moto, bucket, FOREIGN)
    assert "no rules for" in hold("lifecycle").out
    planned = hold("lifecycle", "--set", "--dry-run").out
    assert "this would be changed" in planned
    assert len(rules_of(moto, bucket)) == 1
    done = hold("lifecycle", "--set", "--class", "GLACIER_IR", "--class-after", "60").out
    assert "changed" in done
    assert "1 rule of others" in done
    packs, uploads, logs = rules_of(moto, bucket)
    assert logs == FOREIGN
    assert uploads["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert packs["Filter"] == {"Prefix": "repo/packs/"}
    assert packs["Transitions"] == [{"Days": 60, "StorageClass": "GLACIER_IR"}]
    assert all("Expiration" not in rule for rule in (packs, uploads))
    shown = hold("lifecycle", "--json").document
    assert list(shown) == LIFECYCLE
    assert [list(rule) for rule in shown["rules"]] == [LIFECYCLE_RULE] * 2
    assert (shown["other_rules"], shown["dangers"], shown["changed"]) == (1, [], False)
    again = hold("lifecycle", "--set", "--class", "GLACIER_IR", "--class-after", "60", "--json")
    assert again.document["changed"] is False
    assert hold("lifecycle", "--remove", "--json").document["rules"] == []
    assert rules_of(moto, bucket) == [FOREIGN]
    set_rules(moto, bucket, {**uploads})
    hold("lifecycle", "--remove")
    with pytest.raises(Exception, match="NoSuchLifecycleConfiguration"):
        rules_of(moto, bucket)


def test_versions_are_tidied_up_where_there_are_any(
    hold: Runner, moto: MotoServer, bucket: str
) -> None:
    versioning = {"Status": "Enabled"}
    moto.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versioning)
    hold("lifecycle", "--set", "--versions-after", "90", "--uploads-after", "2")
    uploads, versions = rules_of(moto, bucket)
    assert uploads["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
    assert versions["NoncurrentVersionExpiration"] == {"NoncurrentDays": 90}
    assert versions["Expiration"] == {"ExpiredObjectDeleteMarker": True}
    assert versions["Filter"] == {"Prefix": "repo/"}


def test_rules_of_others_that_would_harm_are_reported(
    hold: Runner, moto: MotoServer, bucket: str
) -> None:
    set_rules(moto, bucket, DANGEROUS, {**FOREIGN})
    told = hold("lifecycle")
    assert "'tidy'" in told.err
    assert "delete objects after 3 days" in told.err
    assert "'logs'" not in told.err
    (danger,) = hold("lifecycle", "--set", "--json").document["dangers"]
    assert list(danger) == LIFECYCLE_DANGER
    assert danger["rule"] == "tidy"
    assert DANGEROUS in rules_of(moto, bucket)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--set", "--remove"], "exclude each other"),
        (["--class", "GLACIER_IR"], "give --set too"),
        (["--versions-after", "5"], "give --set too"),
        (["--set", "--class", "DEEP_ARCHIVE"], "cannot be read without waiting for hours"),
        (["--set", "--class", "FAST"], "not a class that packs can move to"),
        (["--set", "--uploads-after", "0"], "uploads-after"),
    ],
)
def test_wrong_usage(hold: Runner, words: list[str], says: str) -> None:
    assert says in hold("lifecycle", *words, code=2).err


def test_a_disk_has_no_rules(run: Runner, tmp_path: Path) -> None:
    told = run("-r", tmp_path / "repository", "lifecycle", code=2).err
    assert "is not in S3" in told
    assert "-r LOCATION" in run("lifecycle", code=2).err


def test_object_lock_needs_a_bucket_that_has_it(
    run: Runner, hold: Runner, tmp_path: Path, moto: MotoServer, bucket: str
) -> None:
    words = ["--key-file", str(tmp_path / "key"), "init", "--object-lock", "30"]
    told = run("-r", tmp_path / "repository", *words, code=2).err
    assert "only storage in S3 has Object Lock" in told
    assert "has no Object Lock" in hold(*words, code=2).err
    assert "--object-lock" in hold(*words[:-1], "0", code=2).err
    assert not (tmp_path / "key").exists()
    assert moto.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0
