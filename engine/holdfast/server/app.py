"""The WSGI application: who asks, for what, and what is answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from http import HTTPStatus
from itertools import chain
from typing import Final
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

from holdfast.errors import HoldfastError, IntegrityError, PathNotFoundError
from holdfast.findings import Finding
from holdfast.format.node import NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.operations.archive import Archive, ArchiveKind
from holdfast.server.access import Access
from holdfast.server.archive_source import ArchiveSource
from holdfast.server.dav import MOST_BODY, propfind_response
from holdfast.server.file_response import file_response
from holdfast.server.page import page_response
from holdfast.server.resolve import Found, resolve
from holdfast.server.response import (
    SAFE_HEADERS,
    Response,
    attachment,
    shown_name,
    text_response,
    url_path,
)
from holdfast.vfs.filesystem import SnapshotFiles

_METHODS: Final = "OPTIONS, GET, HEAD, PROPFIND"
_REALM: Final = 'Basic realm="holdfast", charset="UTF-8"'
_MOST_ARCHIVES: Final = 4
"""Archives that are made at once; each takes 60 MB."""
_TYPES: Final = {ArchiveKind.TAR: "application/x-tar", ArchiveKind.ZIP: "application/zip"}

OnRequest = Callable[[str, str, int], None]
"""Told the method, the path and the status of each request."""


class FileServer:
    """Answers requests; safe for many threads.

    Args:
        files: what is served.
        access: who may read it.
        on_request: for a log of requests.
        on_finding: told what archives lack; errors go to `SnapshotFiles.report`.
    """

    def __init__(
        self,
        files: SnapshotFiles,
        access: Access,
        *,
        on_request: OnRequest | None = None,
        on_finding: Callable[[Finding], None] | None = None,
    ) -> None:
        self._files = files
        self._access = access
        self._on_request = on_request
        self._on_finding = on_finding
        self._archives = threading.BoundedSemaphore(_MOST_ARCHIVES)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; see PEP 3333."""
        response = self._answer(environ)
        status = response.status
        if self._on_request is not None:
            path = shown_name(_path_of(environ))
            self._on_request(str(environ["REQUEST_METHOD"]), path, status.value)
        headers = [*response.headers, *SAFE_HEADERS, ("DAV", "1"), ("MS-Author-Via", "DAV")]
        start_response(f"{status.value} {status.phrase}", headers)
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        return _Body(response, lambda error: self._report(_path_of(environ), error))

    def _answer(self, environ: WSGIEnvironment) -> Response:
        host = str(environ.get("HTTP_HOST", ""))
        if not self._access.admits(host, str(environ.get("HTTP_AUTHORIZATION", ""))):
            return self._turn_away()
        path = _path_of(environ)
        try:
            return self._dispatch(environ, path)
        except PathNotFoundError:
            return text_response(HTTPStatus.NOT_FOUND, "there is no such file or folder")
        except IntegrityError as error:
            self._report(path, error)
            return text_response(
                HTTPStatus.INTERNAL_SERVER_ERROR, f"this cannot be read any more: {error}"
            )
        except HoldfastError as error:
            self._report(path, error)
            return text_response(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"the repository does not answer: {error}",
                ("Retry-After", "10"),
            )

    def _turn_away(self) -> Response:
        if self._access.needs_password:
            return text_response(
                HTTPStatus.UNAUTHORIZED,
                "a name and password are needed",
                ("WWW-Authenticate", _REALM),
            )
        return text_response(
            HTTPStatus.FORBIDDEN,
            "without a password only http://localhost and http://127.0.0.1 are served",
        )

    def _dispatch(self, environ: WSGIEnvironment, path: bytes) -> Response:
        method = environ["REQUEST_METHOD"]
        if method == "OPTIONS":
            return Response(HTTPStatus.OK, [("Allow", _METHODS), ("Content-Length", "0")])
        if method == "PROPFIND":
            body = _read_body(environ)
            if body is None:
                return text_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too long")
            found = resolve(self._files, path)
            depth = str(environ.get("HTTP_DEPTH", "infinity")).lower()
            return propfind_response(found, path, depth, body, self._follow)
        if method not in ("GET", "HEAD"):
            return text_response(
                HTTPStatus.METHOD_NOT_ALLOWED, "snapshots cannot be changed", ("Allow", _METHODS)
            )
        return self._get(environ, path)

    def _get(self, environ: WSGIEnvironment, path: bytes) -> Response:
        found = resolve(self._files, path)
        kinds = parse_qs(str(environ.get("QUERY_STRING", ""))).get("archive")
        if kinds is not None:
            return self._archive(environ, found, kinds[-1])
        if found.inner is not None:
            if not path.endswith(b"/"):
                # Links in the page are relative; made anew, so that it leads to no other host.
                return Response(
                    HTTPStatus.MOVED_PERMANENTLY,
                    [("Location", url_path(path) + "/"), ("Content-Length", "0")],
                )
            return page_response(found.inner, self._files.report)
        if found.node.type != NodeType.FILE:
            return text_response(HTTPStatus.FORBIDDEN, "this is neither a file nor a folder")
        return file_response(environ, found.node, self._files.open(found.directory, found.node))

    def _archive(self, environ: WSGIEnvironment, found: Found, kind_name: str) -> Response:
        snapshot = found.directory.snapshot if found.inner is None else found.inner.snapshot
        if snapshot is None:
            return text_response(
                HTTPStatus.FORBIDDEN, "choose a snapshot, or a folder in one, for an archive"
            )
        try:
            kind = ArchiveKind(kind_name)
        except ValueError:
            return text_response(HTTPStatus.BAD_REQUEST, "archives are tar or zip")
        name = found.node.name + b"." + kind.value.encode()
        headers = [("Content-Type", _TYPES[kind]), attachment(name), ("Cache-Control", "no-store")]
        if environ["REQUEST_METHOD"] == "HEAD":
            return Response(HTTPStatus.OK, headers)
        if not self._archives.acquire(blocking=False):
            return text_response(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{_MOST_ARCHIVES} archives are being made; try again later",
                ("Retry-After", "60"),
            )
        pieces = self._archive_pieces(snapshot, found, kind)

        def done() -> None:
            try:
                pieces.close()
            finally:
                self._archives.release()

        try:
            first = next(pieces)  # what fails at once can still be told
        except BaseException:
            done()
            raise
        return Response(HTTPStatus.OK, headers, chain((first,), pieces), done)

    def _archive_pieces(
        self, snapshot: Snapshot, found: Found, kind: ArchiveKind
    ) -> Generator[bytes, None, None]:
        archive = Archive(
            ArchiveSource(self._files.reader),
            snapshot,
            found.node,
            path=found.path,
            kind=kind,
            on_finding=self._on_finding,
        )
        return archive.stream()

    def _follow(self, path: bytes) -> Found:
        return resolve(self._files, path)

    def _report(self, path: bytes, error: HoldfastError) -> None:
        self._files.report(path.decode("utf-8", "backslashreplace"), error)


class _Body:
    """What is sent: reports errors that come up on the way, which end the connection."""

    def __init__(self, response: Response, report: Callable[[HoldfastError], None]) -> None:
        self._pieces = iter(response.body)
        self._done = response.done
        self._report = report

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except HoldfastError as error:
            self._report(error)
            raise

    def close(self) -> None:
        """Called by the server at the end, also of a connection that broke."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()
        done, self._done = self._done, _nothing
        done()


def _nothing() -> None:
    return


def _path_of(environ: WSGIEnvironment) -> bytes:
    """Return the path of the request: PEP 3333 has its bytes as Latin-1."""
    return str(environ.get("PATH_INFO", "/")).encode("latin-1", "replace") or b"/"


def _read_body(environ: WSGIEnvironment) -> bytes | None:
    """Return the body of a request, or None if it is too long."""
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return None
    is_chunked = bool(environ.get("wsgi.input_terminated"))
    if not 0 <= length <= MOST_BODY:
        return None
    if not length and not is_chunked:
        return b""
    body: bytes = environ["wsgi.input"].read(MOST_BODY + 1 if is_chunked else length)
    return body if len(body) <= MOST_BODY else None
