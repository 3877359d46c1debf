"""LOCATION texts and what they mean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.backends.location import Location, parse_location
from holdfast.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/srv/backup", "/srv/backup"),
        ("backup", "backup"),
        ("./s3:odd", "./s3:odd"),
        ("/with space/100%25", "/with space/100%25"),
        ("host:dir", "host:dir"),
        ("/a?b#c", "/a?b#c"),
        ("/x/s3://y", "/x/s3://y"),
        ("file:///srv/backup", "/srv/backup"),
        ("FILE:///srv/backup", "/srv/backup"),
        ("file://localhost/srv", "/srv"),
        ("file:///my%20backup/100%25/%3F%23", "/my backup/100%/?#"),
        ("file:///latin-%e9", "/latin-\udce9"),
    ],
)
def test_paths(text: str, path: str) -> None:
    assert parse_location(text) == Location(scheme="file", path=path)


@given(st.text(st.characters(exclude_characters="\0"), max_size=30))
def test_every_absolute_path_is_a_location(text: str) -> None:
    assert parse_location("/" + text).path == "/" + text


@given(st.text(max_size=40))
def test_any_text_is_a_location_or_a_configuration_error(text: str) -> None:
    for start in ("", "file://", "s3://", "s3://bucket/", "s3://bucket?", "s3://bucket?endpoint="):
        try:
            location = parse_location(start + text)
        except ConfigurationError:
            continue
        assert location.scheme in ("file", "s3")
        assert location.scheme == "s3" or (location.path and "\0" not in location.path)


@pytest.mark.parametrize(
    ("text", "bucket", "path", "endpoint", "region"),
    [
        ("s3://bucket", "bucket", "", "", ""),
        ("s3://bucket/", "bucket", "", "", ""),
        ("s3://my.bucket/laptop/home/", "my.bucket", "laptop/home", "", ""),
        ("s3://bucket/a%20b?region=eu-west-1", "bucket", "a b", "", "eu-west-1"),
        (
            "s3://bucket/p?endpoint=http://[::1]:90&region=r",
            "bucket",
            "p",
            "http://[::1]:90",
            "r",
        ),
        ("s3://bucket?endpoint=https%3A%2F%2Fs3.x.org", "bucket", "", "https://s3.x.org", ""),
    ],
)
def test_s3(text: str, bucket: str, path: str, endpoint: str, region: str) -> None:
    expected = Location(scheme="s3", bucket=bucket, path=path, endpoint=endpoint, region=region)
    assert parse_location(text) == expected


def test_every_option_of_s3() -> None:
    text = (
        "s3://bucket/p?endpoint=https://s3.example.org&region=eu-1&profile=nightly&payer=requester"
        "&addressing=virtual&connections=64&class=GLACIER_IR&sse=aws:kms&kms-key=arn:aws:kms:1"
        "&tags=team:web,empty:&lock-mode=governance"
    )
    assert parse_location(text) == Location(
        scheme="s3",
        bucket="bucket",
        path="p",
        endpoint="https://s3.example.org",
        region="eu-1",
        profile="nightly",
        payer="requester",
        addressing="virtual",
        connections=64,
        storage_class="GLACIER_IR",
        sse="aws:kms",
        kms_key="arn:aws:kms:1",
        tags=(("team", "web"), ("empty", "")),
        lock_mode="governance",
    )


def test_every_option_is_documented() -> None:
    document = Path(__file__).parents[3] / "docs" / "cli.md"
    section = document.read_text().split("## Locations\n")[1].split("\n## ")[0]
    described = re.findall(r"^\| ([a-z-]+) \|", section, flags=re.MULTILINE)[1:]
    with pytest.raises(ConfigurationError) as caught:
        parse_location("s3://bucket?color=red")
    assert f"options of an s3 location are {', '.join(described)}" in str(caught.value)


def test_a_key_of_yours() -> None:
    location = parse_location("s3://bucket?sse-c-key-file=/etc/holdfast/key")
    assert location.sse_c_key_file == "/etc/holdfast/key"
    assert location.sse == ""


def test_what_holds_where_nothing_is_said() -> None:
    location = parse_location("s3://bucket")
    assert location.connections == 16
    assert location.lock_mode == "compliance"
    assert location.storage_class == location.sse == location.payer == ""
    assert location.tags == ()


def test_a_kms_key_asks_for_kms() -> None:
    assert parse_location("s3://bucket?kms-key=key-1").sse == "aws:kms"


@pytest.mark.parametrize("text", ["/srv/backup", "file:///srv", "s3://bucket/p?region=eu-1"])
def test_the_text_is_kept_as_given(text: str) -> None:
    assert parse_location(text).text == text


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ("addressing=both", "choose path or virtual"),
        ("connections=0", "a number from 1 to 256"),
        ("connections=257", "a number from 1 to 256"),
        ("connections=1e2", "a number from 1 to 256"),
        ("connections=\u0661", "a number from 1 to 256"),
        ("class=cold storage", "like STANDARD_IA"),
        ("class=standard_ia", "like STANDARD_IA"),
        ("region=eu/west", "like eu-west-1"),
        ("sse=aes", "choose AES256 or aws:kms"),
        ("sse=AES256&kms-key=k", "kms-key goes with sse=aws:kms"),
        ("sse=AES256&sse-c-key-file=/k", "with its key or with yours"),
        ("kms-key=k&sse-c-key-file=/k", "with its key or with yours"),
        ("payer=me", "choose requester"),
        ("tags=web", "'web' is not a tag"),
        ("tags=a:b,", "'' is not a tag"),
        ("tags=a:b:c", "'a:b:c' is not a tag"),
        ("tags=a:b,a:c", "tag a is given twice"),
        ("tags=" + ",".join(f"k{number}:v" for number in range(11)), "at most 10"),
        ("lock-mode=legal", "choose compliance or governance"),
        ("access-key=AKIA", "unknown option access-key"),
        ("profile=", "profile is empty"),
    ],
)
def test_options_that_make_no_sense(options: str, part: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_location(f"s3://bucket/p?{options}")
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "not a location"),
        ("a\0b", "not a location"),
        ("ftp://host/dir", "unknown kind of location ftp://"),
        ("s3:bucket", "./s3:bucket"),
        ("sftp:host:dir", "neither a path nor a URL"),
        ("file:/srv", "neither a path nor a URL"),
        ("file://server/share", "file:///server/share"),
        ("file:///a?b", "%3F"),
        ("file:///a#b", "%23"),
        ("file://", "names no directory"),
        ("file:///a%00", "names no directory"),
        ("s3://", "not the name of a bucket"),
        ("s3:///prefix", "not the name of a bucket"),
        ("s3://s3.example.org:9000/bucket", "endpoint=https://host:port"),
        ("s3://Bucket", "not the name of a bucket"),
        ("s3://bucket/a//b", "double slash"),
        ("s3://bucket/%ff", "not UTF-8"),
        ("file:///a\nb", "control characters"),
        ("s3://bucket/a#b", "%23"),
        ("s3://bucket?color=red", "unknown option color"),
        ("s3://bucket?region=", "region is empty"),
        ("s3://bucket?region=a&region=b", "given twice"),
        ("s3://bucket?endpoint=host:9000", "not an endpoint"),
        ("s3://bucket?endpoint=https://", "not an endpoint"),
        ("s3://bucket?endpoint=https://host:port", "malformed URL"),
        ("s3://[bucket", "malformed URL"),
    ],
)
def test_what_is_refused_and_the_hint(text: str, part: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_location(text)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKIA:hunter2@bucket/prefix",
        "s3://AKIA:hunter2/with/slashes@bucket/prefix",
        "https://me:hunter2@host/",
        "s3://bucket?endpoint=https://me:hunter2@host",
    ],
)
def test_credentials_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"credentials|malformed") as caught:
        parse_location(text)
    assert "hunter2" not in str(caught.value)
