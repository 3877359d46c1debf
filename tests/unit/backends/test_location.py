"""LOCATION texts and what they mean."""

from __future__ import annotations

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
