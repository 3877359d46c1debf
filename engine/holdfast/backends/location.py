"""Parse the LOCATION of a repository: a path or a URL.

    /srv/backup, backup/laptop                      a directory
    file:///srv/my%20backup                         the same, percent-encoded
    s3://bucket/prefix?endpoint=URL&region=R        objects under a prefix of a bucket; further
                                                    options: `_S3_OPTIONS`, docs/cli.md#locations

Pure: nothing is looked up. A location is shown to people and stored in scripts, so it must not
carry credentials.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from holdfast.errors import ConfigurationError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LOOKS_LIKE_URL = re.compile(r"(?:file|s3|sftp|rest|rclone|https?):")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HINT: Final = "a location is a path, file:///path or s3://bucket/prefix?endpoint=URL&region=R"
DEFAULT_CONNECTIONS: Final = 16
_MOST_CONNECTIONS: Final = 256
_MOST_TAGS: Final = 10
_S3_OPTIONS: Final = (
    *("endpoint", "region", "profile", "addressing", "connections", "class", "sse", "kms-key"),
    *("sse-c-key-file", "payer", "tags", "lock-mode"),
)
_WORD = re.compile(r"[A-Za-z0-9._-]+")
_CLASS = re.compile(r"[A-Z0-9_-]+")
_TAG = re.compile(r"[\w +\-=._/@]+")
"""What every provider takes in the key and the value of a tag; ":" and "," separate them here."""


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
    profile: str = ""
    """Of the provider's configuration file; empty means the environment's or the default one."""
    addressing: str = ""
    """"path" or "virtual"; empty means path where an endpoint is given, else virtual."""
    connections: int = DEFAULT_CONNECTIONS
    """Requests at once."""
    storage_class: str = ""
    """Of objects that are seldom read; empty means the bucket's own."""
    sse: str = ""
    """"AES256", "aws:kms", or empty: what the server is asked to encrypt with."""
    kms_key: str = ""
    sse_c_key_file: str = ""
    """Path of a file with a key that goes with every request; empty for none."""
    payer: str = ""
    """"requester", or empty."""
    tags: tuple[tuple[str, str], ...] = ()
    """Key and value of the tags that objects get."""
    lock_mode: str = "compliance"
    """"compliance" or "governance": what Object Lock is asked for where a repository wants it."""
    text: str = field(default="", compare=False)
    """The location as it was given."""


def parse_location(text: str) -> Location:
    """Return the location that `text` means.

    Raises:
        ConfigurationError: unknown scheme, malformed URL, unknown option, or credentials in it.
    """
    return replace(_parse(text), text=text)


def _parse(text: str) -> Location:
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
    for key, value in options.items():
        _check_option(key, value)
    _check_encryption(options)
    return Location(
        scheme="s3",
        bucket=url.netloc,
        path=prefix,
        endpoint=options.get("endpoint", ""),
        region=options.get("region", ""),
        profile=options.get("profile", ""),
        addressing=options.get("addressing", ""),
        connections=int(options.get("connections", DEFAULT_CONNECTIONS)),
        storage_class=options.get("class", ""),
        sse=options.get("sse", "aws:kms" if "kms-key" in options else ""),
        kms_key=options.get("kms-key", ""),
        sse_c_key_file=options.get("sse-c-key-file", ""),
        payer=options.get("payer", ""),
        tags=_parse_tags(options.get("tags", "")),
        lock_mode=options.get("lock-mode", "compliance"),
    )


def _parse_options(text: str, query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) != len(pairs):
        raise ConfigurationError(f"an option is given twice in {text}", "give each at most once")
    for key, value in options.items():
        if key not in _S3_OPTIONS:
            hint = f"the options of an s3 location are {', '.join(_S3_OPTIONS)}"
            raise ConfigurationError(f"unknown option {key} in {text}", hint)
        if not value:
            raise ConfigurationError(f"the option {key} is empty in {text}", "give it a value")
    return options


def _check_option(key: str, value: str) -> None:
    """Refuse a value that the option cannot have."""
    check = _CHECKS.get(key)
    if check is not None and (hint := check(value)):
        raise ConfigurationError(f"{value!r} is not a value of the option {key}", hint)


def _one_of(*choices: str) -> Callable[[str], str]:
    """Return a check for a fixed choice; like all checks it returns a hint, or nothing."""
    return lambda value: "" if value in choices else f"choose {' or '.join(choices)}"


def _fitting(pattern: re.Pattern[str], hint: str) -> Callable[[str], str]:
    return lambda value: "" if pattern.fullmatch(value) else hint


def _connections_hint(value: str) -> str:
    is_number = value.isascii() and value.isdigit() and len(value) <= 3
    if is_number and 1 <= int(value) <= _MOST_CONNECTIONS:
        return ""
    return f"give a number from 1 to {_MOST_CONNECTIONS}"


def _endpoint_hint(value: str) -> str:
    _check_endpoint(value)
    return ""


_CHECKS: Final[dict[str, Callable[[str], str]]] = {
    "endpoint": _endpoint_hint,
    "region": _fitting(_WORD, "a region is like eu-west-1"),
    "addressing": _one_of("path", "virtual"),
    "connections": _connections_hint,
    "class": _fitting(_CLASS, "a storage class is like STANDARD_IA"),
    "sse": _one_of("AES256", "aws:kms"),
    "payer": _one_of("requester"),
    "lock-mode": _one_of("compliance", "governance"),
}


def _check_encryption(options: dict[str, str]) -> None:
    """Refuse options that ask for two kinds of encryption."""
    if "kms-key" in options and options.get("sse", "aws:kms") != "aws:kms":
        raise ConfigurationError("kms-key goes with sse=aws:kms", "remove one of the two options")
    if "sse-c-key-file" in options and ("sse" in options or "kms-key" in options):
        hint = "choose sse, with or without kms-key, or sse-c-key-file"
        raise ConfigurationError("the server encrypts with its key or with yours", hint)


def _parse_tags(text: str) -> tuple[tuple[str, str], ...]:
    """Return the tags of "key:value,key:value"."""
    tags: dict[str, str] = {}
    for item in text.split(",") if text else ():
        key, colon, value = item.partition(":")
        if not colon or _TAG.fullmatch(key) is None or (value and _TAG.fullmatch(value) is None):
            hint = "tags are like project:backup,team:web"
            raise ConfigurationError(f"{item!r} is not a tag", hint)
        if key in tags:
            raise ConfigurationError(f"the tag {key} is given twice", "give each at most once")
        tags[key] = value
    if len(tags) > _MOST_TAGS:
        raise ConfigurationError(f"{len(tags)} tags", f"an object has at most {_MOST_TAGS}")
    return tuple(tags.items())


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
