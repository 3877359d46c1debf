"""An HTTP server on loopback that answers wrongly on purpose, and otherwise hands on.

    with broken_server(moto.endpoint) as server:
        server.faults.append(Fault("PUT", Break.ANSWER_LOST))
        …

A fault concerns the first request of its method whose path and query hold its text; each is used
once. Requests that no fault concerns go to the server behind, unchanged; where there is none,
they get a 200 without a body, which is what a PUT gets.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "expect", "transfer-encoding", "keep-alive"}


class Break(Enum):
    """What goes wrong."""

    ANSWER = auto()
    """The fault's own answer comes; the request goes no further."""
    ANSWER_AFTER = auto()
    """The request is carried out, then the fault's own answer comes."""
    ANSWER_LOST = auto()
    """The request is carried out, and the connection is reset."""
    RESET = auto()
    """The request is read, and the connection is reset."""
    TRUNCATED = auto()
    """The answer's headers come, and half of its body."""
    SILENT = auto()
    """Nothing comes for `delay_s`, then the connection is closed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """How one request fails."""

    method: str
    how: Break
    status: int = 500
    code: str = "InternalError"
    message: str = "We encountered an internal error."
    extra: str = ""
    """Further elements of the error."""
    text: str = ""
    """The whole body, instead of an error."""
    headers: dict[str, str] = field(default_factory=dict)
    containing: str = ""
    delay_s: float = 0.0

    def body(self) -> bytes:
        """Return the answer's body: S3's XML for errors; none if there is no code."""
        if self.text:
            return self.text.encode()
        if not self.code:
            return b""
        inner = f"<Code>{self.code}</Code><Message>{self.message}</Message>{self.extra}"
        return f'<?xml version="1.0" encoding="UTF-8"?><Error>{inner}</Error>'.encode()


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that arrived."""

    method: str
    path: str
    """With the query."""
    headers: dict[str, str]
    """Names in lower case."""
    size: int
    """Bytes of the body."""


class BrokenServer:
    """The faults to come and the requests that came.

    Args:
        upstream: URL of the server behind, or empty.
    """

    def __init__(self, upstream: str = "") -> None:
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.on_request: Callable[[Seen], None] = lambda _: None
        """Called for each request before anything else happens to it."""
        self.upstream = urlsplit(upstream).netloc
        self.endpoint = ""
        self._lock = threading.Lock()

    def count(self, method: str, containing: str = "") -> int:
        """Return how many requests came."""
        return sum(one.method == method and containing in one.path for one in self.seen)

    def take(self, seen: Seen) -> Fault | None:
        """Note a request, and return what happens to it."""
        with self._lock:
            self.seen.append(seen)
            for fault in self.faults:
                if fault.method == seen.method and fault.containing in seen.path:
                    self.faults.remove(fault)
                    return fault
        return None


@contextmanager
def broken_server(upstream: str = "") -> Iterator[BrokenServer]:
    """Run a server in threads of this process."""
    server = BrokenServer(upstream)

    class Handler(_Handler):
        state = server

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    server.endpoint = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: BrokenServer

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, self.path, headers, len(body))
        self.state.on_request(seen)
        fault = self.state.take(seen)
        if fault is None:
            self._answer(*self._forward(body))
        elif fault.how is Break.ANSWER:
            self._answer(fault.status, fault.headers, fault.body())
        elif fault.how is Break.ANSWER_AFTER:
            self._forward(body)
            self._answer(fault.status, fault.headers, fault.body())
        elif fault.how is Break.ANSWER_LOST:
            self._forward(body)
            self._reset()
        elif fault.how is Break.RESET:
            self._reset()
        elif fault.how is Break.TRUNCATED:
            status, answered, content = self._forward(body)
            self._answer(status, answered, content, sent=len(content) // 2)
            self.close_connection = True
        else:
            time.sleep(fault.delay_s)
            self.close_connection = True

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _handle  # noqa: N815 - names of the library

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if not self.state.upstream:
            return 200, {"ETag": '"etag"'}, b""
        connection = http.client.HTTPConnection(self.state.upstream, timeout=60)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP_BY_HOP}
            return answer.status, kept, content
        finally:
            connection.close()

    def _answer(
        self, status: int, headers: dict[str, str], body: bytes, *, sent: int | None = None
    ) -> None:
        given = {name.lower() for name in headers}
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "date" not in given:
            self.send_header("Date", self.date_time_string())
        if "content-length" not in given:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:sent])

    def _reset(self) -> None:
        """Close so that the client sees a reset instead of an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
