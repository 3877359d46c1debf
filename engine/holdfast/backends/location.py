"""Parse the LOCATION of a repository: a path or a URL.

    /srv/backup, backup/laptop                      a directory
    file:///srv/my%20backup                         the same, percent-encoded
    s3://bucket/prefix?endpoint=URL&region=R        objects under a prefix of a bucket

Pure: nothing is looked up. A location is shown to people and stored in scripts, so it must not
carry credentials.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from holdfast.errors import ConfigurationError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LOOKS_LIKE_URL = re.compile(r"(?:file|s3|sftp|rest|rclone|https?):")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HINT: Final = "a location is a path, file:///path or s3://bucket/prefix?endpoint=URL&region=R"
_S3_OPTIONS: Final = frozenset({"endpoint", "region"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a repository is."""

    scheme: str
    """"file" or "s3"."""
    path: str
    """`file`: path of the directory, as given. `s3`: prefix without "/" at its ends, or empty."""
    bucket: str = ""
    endpoint: str = ""
    """URL of the S3 server; empty means the provider's own."""
    region: str = ""


def parse_location(text: str) -> Location:
    """Return the location that `text` means.

    Raises:
        ConfigurationError: unknown scheme, malformed URL, unknown option, or credentials in it.
    """
    if not text or "\0" in text:
        raise ConfigurationError(f"{text!r} is not a location", _HINT)
    if _URL.match(text) is None:
        if _LOOKS_LIKE_URL.match(text) is not None:
            hint = f"{_HINT}; a directory of that name is ./{text}"
            raise ConfigurationError(f"{text} is neither a path nor a URL", hint)
        return Location(scheme="file", path=text)
    if _CONTROL.search(text) is not None:  # urlsplit would drop them
        raise ConfigurationError("the location holds control characters", "write them as %0A")
    try:
        url = urlsplit(text)
        _ = url.port  # parsed on access
    except ValueError as error:  # its text may quote a password
        raise ConfigurationError("the location is a malformed URL", _HINT) from error
    if url.username is not None or url.password is not None:
        hint = "give credentials by the environment or the provider's configuration file"
        raise ConfigurationError("a location must not carry credentials", hint)
    if url.scheme == "file":
        return _parse_file(text, url)
    if url.scheme == "s3":
        return _parse_s3(text, url)
    raise ConfigurationError(f"unknown kind of location {url.scheme}://", _HINT)


def _parse_file(text: str, url: SplitResult) -> Location:
    if url.netloc not in ("", "localhost"):
        hint = f"write file:///{url.netloc}{url.path} with three slashes, or mount the other host"
        raise ConfigurationError(f"{text} names the host {url.netloc}", hint)
    if url.query or url.fragment:
        hint = "write ? as %3F and # as %23, or give a plain path"
        raise ConfigurationError(f"a file location has no options: {text}", hint)
    path = unquote(url.path, errors="surrogateescape")
    if not path or "\0" in path:
        raise ConfigurationError(f"{text!r} names no directory", _HINT)
    return Location(scheme="file", path=path)


def _parse_s3(text: str, url: SplitResult) -> Location:
    if _BUCKET.fullmatch(url.netloc) is None:
        hint = (
            "write s3://bucket/prefix; a server of your own goes into ?endpoint=https://host:port"
        )
        raise ConfigurationError(f"{url.netloc!r} is not the name of a bucket in {text}", hint)
    if url.fragment:
        raise ConfigurationError(f"{text} has a #", "write # as %23")
    try:
        prefix = unquote(url.path, errors="strict").strip("/")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"the prefix in {text} is not UTF-8", _HINT) from error
    if "//" in prefix:
        raise ConfigurationError(
            f"the prefix {prefix} has an empty part", "remove the double slash"
        )
    options = _parse_options(text, url.query)
    endpoint = options.get("endpoint", "")
    if endpoint:
        _check_endpoint(endpoint)
    region = options.get("region", "")
    return Location(scheme="s3", bucket=url.netloc, path=prefix, endpoint=endpoint, region=region)


def _parse_options(text: str, query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) != len(pairs):
        raise ConfigurationError(f"an option is given twice in {text}", "give each at most once")
    for key, value in options.items():
        if key not in _S3_OPTIONS:
            hint = "the options of an s3 location are endpoint and region"
            raise ConfigurationError(f"unknown option {key} in {text}", hint)
        if not value:
            raise ConfigurationError(f"the option {key} is empty in {text}", "give it a value")
    return options


def _check_endpoint(endpoint: str) -> None:
    hint = "an endpoint is like https://s3.example.org:9000"
    try:
        url = urlsplit(endpoint)
        _ = url.port
    except ValueError as error:
        raise ConfigurationError("the endpoint is a malformed URL", hint) from error
    if url.username is not None:
        raise ConfigurationError("an endpoint must not carry credentials", hint)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise ConfigurationError(f"{endpoint} is not an endpoint", hint)
