"""Directories as pages for people: names, sizes and times, with links to archives of folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from http import HTTPStatus
from typing import Final
from urllib.parse import quote_from_bytes

from holdfast.errors import HoldfastError, IntegrityError
from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.server.response import PAGE_POLICY, Response, moment_of, shown_name, url_path
from holdfast.units import format_size
from holdfast.vfs.directory import Directory

_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em;"
    "color:#222;background:#fff}table{border-collapse:collapse;width:100%}"
    "td,th{padding:.15em .8em .15em 0;text-align:left;vertical-align:top}"
    "td.n{overflow-wrap:anywhere}td.r,th.r{text-align:right;white-space:nowrap}"
    "td.t{white-space:nowrap}a{color:#0645ad;text-decoration:none}a:hover{text-decoration:underline}"
    ".bad{color:#a00}@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}"
    "a{color:#8ab4f8}.bad{color:#f88}}"
)
_SPECIAL: Final = {
    NodeType.FIFO: "fifo",
    NodeType.SOCKET: "socket",
    NodeType.CHARACTER_DEVICE: "device",
    NodeType.BLOCK_DEVICE: "device",
}


def page_response(directory: Directory, report: Callable[[str, HoldfastError], None]) -> Response:
    """Return a directory as a page that is written as its entries are read.

    Args:
        directory: to be shown; its URL ends in "/".
        report: told about pages of it that cannot be read; the others are shown, and that some
            are missing.

    Raises:
        IntegrityError, BackendError: the first page cannot be read, for a cause that concerns all.
    """
    return Response(
        HTTPStatus.OK,
        [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", PAGE_POLICY),
            ("Cache-Control", "no-cache"),
        ],
        _page(directory, report),
    )


def _page(directory: Directory, report: Callable[[str, HoldfastError], None]) -> Iterator[bytes]:
    yield _head(directory).encode()
    index = 0
    while True:
        try:
            nodes = directory.page(index)
        except IntegrityError as error:
            report(directory.path.decode("utf-8", "backslashreplace"), error)
            yield _damage(error).encode()
        else:
            if nodes is None:
                break
            yield "".join(_row(node) for node in nodes).encode()
        index += 1
    yield b"</table></html>\n"


def _head(directory: Directory) -> str:
    path = directory.path
    title = escape(shown_name(path or b"/"))
    crumbs = ['<a href="/">all</a>']
    parts = [part for part in path.split(b"/") if part]
    for number, part in enumerate(parts, 1):
        link = escape(url_path(b"/".join(parts[:number])), quote=True)
        crumbs.append(f'<a href="{link}/">{escape(shown_name(part))}</a>')
    archives = ""
    if directory.snapshot is not None:
        archives = (
            '<p>This folder as an archive: <a href="?archive=tar">tar</a> · '
            '<a href="?archive=zip">zip</a></p>'
        )
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style><h1>{' / '.join(crumbs)}</h1>{archives}"
        '<table><tr><th>Name<th class="r">Size<th>Changed (UTC)</tr>\n'
    )


def _row(node: Node) -> str:
    name = escape(shown_name(node.name))
    slash = "/" if node.type == NodeType.DIRECTORY else ""
    # "./" in front: a name with a colon would be taken for a scheme.
    link = f"./{quote_from_bytes(node.name)}{slash}"
    what = f'<a href="{link}">{name}{slash}</a>'
    size = ""
    if node.type == NodeType.SYMLINK:
        target = shown_name((node.extra or NO_EXTRA).target)
        what += f" → {escape(target)}"
    elif node.type == NodeType.FILE:
        size = format_size(node.size)
    elif node.type != NodeType.DIRECTORY:
        what = f"{name} ({_SPECIAL[NodeType(node.type)]})"
    moment = moment_of(node.mtime_ns)
    time = "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S")
    return f'<tr><td class="n">{what}<td class="r">{size}<td class="t">{time}</tr>\n'


def _damage(error: IntegrityError) -> str:
    return (
        '<tr><td class="n bad" colspan="3">Entries are missing here, since the repository is '
        f"damaged: {escape(shown_name(str(error).encode(errors='replace')))}</tr>\n"
    )
