"""What answers have in common: names in URLs and text, times, tags of content, headers."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import quote_from_bytes

from holdfast.format.node import NO_EXTRA, Node

Headers = list[tuple[str, str]]

SAFE_HEADERS: Final[Headers] = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
FILE_POLICY: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'"
"""A page in a backup is not to run scripts that read the other files of it."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INVISIBLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
"""Control characters, marks that turn the direction of writing, and what XML cannot hold."""
_DEFAULT_TYPE: Final = "application/octet-stream"


@dataclass(slots=True)
class Response:
    """An answer to a request."""

    status: HTTPStatus
    headers: Headers = field(default_factory=list)
    body: Iterable[bytes] = ()
    """A generator is closed in the end, also if it was not read to its end."""
    done: Callable[[], None] = lambda: None
    """Called when the body was sent, or will not be sent any more."""


def text_response(status: HTTPStatus, text: str, *headers: tuple[str, str]) -> Response:
    """Return a short answer for people."""
    data = (text + "\n").encode(errors="backslashreplace")
    return Response(
        status,
        [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(data))),
            *headers,
        ],
        [data],
    )


def url_path(path: bytes) -> str:
    """Return an absolute path as it stands in a URL; one "/" in front, never two."""
    return "/" + quote_from_bytes(path.strip(b"/"))


def shown_name(name: bytes) -> str:
    """Return a name as text that people can see and XML can hold."""
    text = name.decode("utf-8", "backslashreplace")
    return _INVISIBLE.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def http_time(time_ns: int) -> str | None:
    """Return a time in the form of HTTP, or None if it has no such form."""
    moment = moment_of(time_ns)
    return None if moment is None else format_datetime(moment, usegmt=True)


def moment_of(time_ns: int) -> datetime | None:
    """Return the moment, in whole seconds; None if the calendar does not reach so far."""
    try:
        return _EPOCH + timedelta(seconds=time_ns // 10**9)
    except OverflowError:
        return None


def content_tag(node: Node) -> str:
    """Return the ETag of a file: equal for equal content, in all snapshots."""
    extra = node.extra or NO_EXTRA
    digest = hashlib.blake2b(node.content, digest_size=16)
    digest.update(b"%d %d %r" % (node.size, extra.depth, extra.holes))
    return f'"{digest.hexdigest()}"'


def content_type(name: bytes) -> str:
    """Return the type that the ending of a name promises."""
    kind, encoding = mimetypes.guess_type(name.decode("utf-8", "replace"))
    if kind is None or encoding is not None:
        return _DEFAULT_TYPE
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def attachment(name: bytes) -> tuple[str, str]:
    """Return the header that has a browser save the answer under a name."""
    plain = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_"
        for letter in shown_name(name)
    )
    encoded = quote_from_bytes(shown_name(name).encode(), safe="")
    return "Content-Disposition", f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
