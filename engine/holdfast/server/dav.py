"""WebDAV for readers: the properties of entries, of a folder page by page.

Class 1 without what writes. A symbolic link is what it leads to. Links in a snapshot that lead to
directories are left out of folders: programs that copy folders would run in circles.

Source: RFC 4918, sections 9.1, 14 and 15.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from http import HTTPStatus
from typing import Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from holdfast.errors import PathNotFoundError
from holdfast.format.node import Node, NodeType
from holdfast.server.resolve import Found
from holdfast.server.response import (
    Response,
    content_tag,
    content_type,
    http_time,
    moment_of,
    shown_name,
    text_response,
    url_path,
)

MOST_BODY: Final = 64 << 10
"""Bytes of a request's body that are read."""
_DAV: Final = "{DAV:}"
_INFINITE: Final = (
    '<?xml version="1.0" encoding="utf-8"?>\n<D:error xmlns:D="DAV:"><D:propfind-finite-depth/>'
    "</D:error>\n"
)
_START: Final = '<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">\n'
_END: Final = "</D:multistatus>\n"
_LOCKS: Final = ("supportedlock", "lockdiscovery")

Follow = Callable[[bytes], Found]
"""Resolves a path of the view."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """Which properties are asked for."""

    names: Sequence[str] | None
    """In Clark notation; None for all."""
    with_values: bool = True


def propfind_response(
    found: Found, path: bytes, depth: str, body: bytes, follow: Follow
) -> Response:
    """Return properties of an entry and, at depth 1, of what is in it.

    Args:
        found: the entry.
        path: as it was asked for, which may go through links.
        depth: header Depth: "0", "1" or "infinity".
        body: of the request, at most `MOST_BODY` bytes.
        follow: finds what links lead to.

    Raises:
        IntegrityError, BackendError: the first page of the folder cannot be read. If a later one
            cannot, the body ends with the error: a folder is never shorter than it is.
    """
    if depth not in ("0", "1"):
        return Response(
            HTTPStatus.FORBIDDEN,
            [("Content-Type", 'application/xml; charset="utf-8"')],
            [_INFINITE.encode()],
        )
    wish = _parse_wish(body)
    if wish is None:
        return text_response(HTTPStatus.BAD_REQUEST, "the body is no PROPFIND request")
    lines = _lines(found, path, wish, with_entries=depth == "1", follow=follow)
    first = next(lines)
    return Response(
        HTTPStatus.MULTI_STATUS,
        [("Content-Type", 'application/xml; charset="utf-8"'), ("Cache-Control", "no-cache")],
        _encode(first, lines),
    )


def _encode(first: str, lines: Iterator[str]) -> Iterator[bytes]:
    yield first.encode()
    for line in lines:
        yield line.encode()


def _lines(
    found: Found, path: bytes, wish: _Wish, *, with_entries: bool, follow: Follow
) -> Iterator[str]:
    base = path.rstrip(b"/")
    text = _START + _entry(found.node, base, wish, is_directory=found.inner is not None)
    if found.inner is not None and with_entries:
        pages = found.inner.pages()
        for nodes in pages:
            yield text
            text = "".join(_member(node, found, base, wish, follow) for node in nodes)
    yield text
    yield _END


def _member(node: Node, found: Found, base: bytes, wish: _Wish, follow: Follow) -> str:
    """Return the answer about an entry of a folder; empty for what is not shown."""
    path = base + b"/" + node.name
    if node.type == NodeType.DIRECTORY:
        return _entry(node, path, wish, is_directory=True)
    if node.type == NodeType.FILE:
        return _entry(node, path, wish, is_directory=False)
    if node.type != NodeType.SYMLINK:
        return ""
    try:
        target = follow(path)
    except PathNotFoundError:
        return ""
    is_virtual = found.inner is not None and found.inner.snapshot is None
    if target.node.type == NodeType.FILE or (target.inner is not None and is_virtual):
        return _entry(target.node, path, wish, is_directory=target.inner is not None)
    return ""


def _entry(node: Node, path: bytes, wish: _Wish, *, is_directory: bool) -> str:
    """Return the element that tells the properties of one entry."""
    href = url_path(path) + ("/" if is_directory and path.strip(b"/") else "")
    known = _properties(node, path.rpartition(b"/")[2], is_directory=is_directory)
    missing: list[str] = []
    if wish.names is not None:
        missing = [name for name in wish.names if name not in known]
        known = {name: known[name] for name in wish.names if name in known}
    if not wish.with_values:
        known = dict.fromkeys(known, "")
    parts = [f"<D:response><D:href>{escape(href)}</D:href>"]
    if known or not missing:
        inner = "".join(_element(name, value) for name, value in known.items())
        parts.append(_propstat(inner, "200 OK"))
    if missing:
        parts.append(_propstat("".join(_element(name, "") for name in missing), "404 Not Found"))
    return "".join((*parts, "</D:response>\n"))


def _propstat(inner: str, status: str) -> str:
    return (
        f"<D:propstat><D:prop>{inner}</D:prop><D:status>HTTP/1.1 {status}</D:status></D:propstat>"
    )


def _element(name: str, value: str) -> str:
    """Return an element; `value` is XML."""
    if name.startswith(_DAV):
        tag = f"D:{name.removeprefix(_DAV)}"
        return f"<{tag}>{value}</{tag}>" if value else f"<{tag}/>"
    space, _, local = name.rpartition("}")
    return f"<x:{local} xmlns:x={quoteattr(space[1:])}/>" if space else f"<{local}/>"


def _properties(node: Node, name: bytes, *, is_directory: bool) -> dict[str, str]:
    """Return the properties of an entry as XML."""
    values = {
        "resourcetype": "<D:collection/>" if is_directory else "",
        "displayname": escape(shown_name(name)),
    }
    moment = moment_of(node.mtime_ns)
    modified = http_time(node.mtime_ns)
    if moment is not None and modified is not None:
        values["getlastmodified"] = modified
        values["creationdate"] = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if not is_directory:
        values["getcontentlength"] = str(node.size)
        values["getcontenttype"] = escape(content_type(name))
        values["getetag"] = escape(content_tag(node))
    values.update(dict.fromkeys(_LOCKS, ""))
    return {_DAV + key: value for key, value in values.items()}


def _parse_wish(body: bytes) -> _Wish | None:
    """Return what is asked for; None if the body makes no sense."""
    if not body.strip():
        return _Wish(None)
    if b"<!" in body.replace(b"<!--", b""):
        return None  # no client declares entities or types; only attackers do
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - without declarations nothing can grow
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
    if root.tag != _DAV + "propfind":
        return None
    for child in root:
        if child.tag == _DAV + "prop":
            return _Wish([element.tag for element in child])
        if child.tag == _DAV + "propname":
            return _Wish(None, with_values=False)
        if child.tag == _DAV + "allprop":
            return _Wish(None)
    return None
