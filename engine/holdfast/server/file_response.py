"""Answers with the content of a file: whole or a range, or that it has not changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from holdfast.format.node import Node
from holdfast.server.response import (
    FILE_POLICY,
    Headers,
    Response,
    content_tag,
    content_type,
    http_time,
    moment_of,
    text_response,
)
from holdfast.vfs.open_file import OpenFile

_STEP: Final = 1 << 20
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z")


def file_response(request: Mapping[str, str], node: Node, file: OpenFile) -> Response:
    """Return a file, or what of it the request wants.

    Args:
        request: headers of the request as WSGI names them.
        node: of the file.
        file: opened; closed with the body.

    Raises:
        IntegrityError, BackendError: the first MiB cannot be read. What fails later ends the
            connection, since the status is sent already.
    """
    tag = content_tag(node)
    headers: Headers = [("ETag", tag), ("Accept-Ranges", "bytes"), ("Cache-Control", "private")]
    modified = http_time(node.mtime_ns)
    if modified is not None:
        headers.append(("Last-Modified", modified))
    if (wanted := request.get("HTTP_IF_MATCH")) is not None and not _has_tag(wanted, tag):
        return text_response(HTTPStatus.PRECONDITION_FAILED, "the file is another one")
    if _is_unchanged(request, node, tag):
        return Response(HTTPStatus.NOT_MODIFIED, headers)
    headers += [
        ("Content-Type", content_type(node.name)),
        ("Content-Security-Policy", FILE_POLICY),
    ]
    span = _wanted_range(request, node.size, tag, modified)
    if span is None:
        headers.append(("Content-Length", str(node.size)))
        return Response(HTTPStatus.OK, headers, _body(request, file, 0, node.size))
    start, end = span
    if start >= end:
        return text_response(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "the file is shorter",
            ("Content-Range", f"bytes */{node.size}"),
        )
    headers += [
        ("Content-Range", f"bytes {start}-{end - 1}/{node.size}"),
        ("Content-Length", str(end - start)),
    ]
    return Response(HTTPStatus.PARTIAL_CONTENT, headers, _body(request, file, start, end))


def _body(request: Mapping[str, str], file: OpenFile, start: int, end: int) -> Iterator[bytes]:
    """Return the bytes of [start, end); the first are read at once, so that failing them shows."""
    if request.get("REQUEST_METHOD") == "HEAD":
        return iter(())
    first = file.read(start, min(end - start, _STEP))

    def pieces() -> Iterator[bytes]:
        yield first
        position = start + len(first)
        while position < end:
            data = file.read(position, min(end - position, _STEP))
            position += len(data)
            yield data

    return pieces()


def _has_tag(header: str, tag: str) -> bool:
    """Tell whether a list of tags has this one."""
    tags = [part.strip() for part in header.split(",")]
    return "*" in tags or tag in tags or f"W/{tag}" in tags


def _is_unchanged(request: Mapping[str, str], node: Node, tag: str) -> bool:
    known = request.get("HTTP_IF_NONE_MATCH")
    if known is not None:
        return _has_tag(known, tag)
    since = request.get("HTTP_IF_MODIFIED_SINCE")
    modified = moment_of(node.mtime_ns)
    if since is None or modified is None:
        return False
    try:
        return modified <= parsedate_to_datetime(since)
    except (ValueError, TypeError):
        return False


def _wanted_range(
    request: Mapping[str, str], size: int, tag: str, modified: str | None
) -> tuple[int, int] | None:
    """Return the wanted range as [start, end), empty if there is no such; None for all.

    Several ranges in one request are answered with the whole file, as the standard allows.
    """
    match = _RANGE.match(request.get("HTTP_RANGE", "").replace(" ", ""))
    if match is None or not (match[1] or match[2]):
        return None
    if (condition := request.get("HTTP_IF_RANGE")) is not None and condition not in (tag, modified):
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size
    start = int(match[1])
    if match[2] and int(match[2]) < start:
        return None
    return start, min(size, int(match[2]) + 1) if match[2] else size
