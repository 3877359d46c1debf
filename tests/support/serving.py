"""A server of a real repository in this process, and requests to it."""

from __future__ import annotations

import http.client
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from holdfast.backends.base import Backend
from holdfast.errors import HoldfastError
from holdfast.findings import Finding
from holdfast.server.access import Access
from holdfast.server.app import FileServer
from holdfast.server.http_server import HttpServer, http_server
from holdfast.vfs.filesystem import SnapshotFiles
from support.repos import open_repository

DAV = "{DAV:}"


@dataclass(frozen=True)
class Answer:
    """An answer to one request; `broken` tells that the connection ended before the body did."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    broken: bool = False


@dataclass
class Site:
    """What is served, and what the server had to say."""

    server: HttpServer
    root: str = ""
    """URL path of the source in the newest snapshot."""
    problems: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> Answer:
        """Send one request; headers are named like `If_None_Match`."""
        port = int(self.server.url.rstrip("/").rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body=body, headers=named)
            response = connection.getresponse()
            found = dict(response.getheaders())
            try:
                return Answer(response.status, found, response.read())
            except http.client.IncompleteRead as error:
                return Answer(response.status, found, error.partial, broken=True)
        finally:
            connection.close()

    def listing(
        self, path: str, depth: str = "1", body: bytes | None = None
    ) -> dict[str, ElementTree.Element]:
        """Return what PROPFIND tells, by href."""
        answer = self.ask(path, "PROPFIND", body, Depth=depth)
        assert answer.status == 207, answer
        elements = ElementTree.fromstring(answer.body)
        found = {}
        for element in elements:
            href = element.findtext(DAV + "href")
            assert href is not None
            found[href] = element
        return found


@contextmanager
def serving(
    backend: Backend, cache: Path, users: Mapping[str, str] | None = None
) -> Iterator[Site]:
    """Serve the snapshots of a repository on a free port until the end."""
    problems: list[str] = []

    def note(path: str, error: HoldfastError) -> None:
        problems.append(f"{path}: {error}")

    findings: list[Finding] = []
    requests: list[tuple[str, str, int]] = []
    defects: list[str] = []

    def log(method: str, path: str, status: int) -> None:
        requests.append((method, path, status))

    with (
        open_repository(backend, os.fspath(cache)) as repository,
        SnapshotFiles(repository, on_problem=note) as files,
    ):
        app = FileServer(files, Access(users or {}), on_request=log, on_finding=findings.append)
        with http_server(("127.0.0.1", 0), app, defects.append) as server:
            thread = threading.Thread(target=server.serve)
            thread.start()
            try:
                yield Site(
                    server, problems=problems, findings=findings, requests=requests, defects=defects
                )
            finally:
                server.stop()
                thread.join()
    assert defects == []
