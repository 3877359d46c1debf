"""Runs the application: threads, connections, time-outs, and a clean end."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from wsgiref.types import WSGIApplication

import cheroot.wsgi

from holdfast.errors import ConfigurationError, HoldfastError, ListenError
from holdfast.server.access import is_loopback

_THREADS: Final = 16
"""Requests that are answered at once; a download holds one until its end."""
_TIMEOUT_S: Final = 60
"""A client that takes nothing for so long is cut off."""
_END_S: Final = 1
"""How long requests may go on after the end was asked for."""
_MOST_HEADERS: Final = 64 << 10
_MOST_BODY: Final = 1 << 20
_QUIET_ERRORS: Final = (HoldfastError, OSError)
"""Reported already, or clients that went away."""


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of "HOST:PORT", "[::1]:PORT", ":PORT" (all addresses) or "PORT".

    Raises:
        ConfigurationError: it is none of these.
    """
    host, colon, port = text.rpartition(":")
    if not colon:
        host = "127.0.0.1"
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ConfigurationError(
            f"{text!r} is no address to listen on", "write HOST:PORT, like 127.0.0.1:8080"
        )
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigurationError(
            f"{text!r} is no address to listen on", "write IPv6 addresses in brackets: [::1]:8080"
        )
    return host or "0.0.0.0", int(port)  # noqa: S104 - it was asked for


class _Server(cheroot.wsgi.Server):
    """Tells of defects, and not of clients that went away."""

    on_defect: Callable[[str], None]

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:  # noqa: ARG002
        """Pass on what no other place has reported."""
        error = sys.exc_info()[1]
        if error is None or not isinstance(error, _QUIET_ERRORS):
            self.on_defect(msg if error is None else f"{msg.strip()} {error!r}")


@contextmanager
def http_server(
    address: tuple[str, int], app: WSGIApplication, on_defect: Callable[[str], None]
) -> Iterator[HttpServer]:
    """Listen on an address, and stop at the end.

    Args:
        address: host, and port or 0 for any that is free.
        app: answers requests.
        on_defect: told of errors that nobody expected.

    Raises:
        ListenError: the address cannot be used.
    """
    host, port = address
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    server = _Server(
        address, app, numthreads=_THREADS, server_name="holdfast", timeout=_TIMEOUT_S,
        shutdown_timeout=_END_S, request_queue_size=64,
    )  # fmt: skip
    server.version = server.software = "holdfast"
    server.max_request_header_size = _MOST_HEADERS
    server.max_request_body_size = _MOST_BODY
    server.keep_alive_conn_limit = 64
    server.on_defect = on_defect
    try:
        _try_address(address)
        server.prepare()
    except OSError as error:
        reason = error.strerror or str(error) or "unknown error"
        raise ListenError(shown, reason.lower()) from error
    try:
        yield HttpServer(server)
    finally:
        server.stop()


def _try_address(address: tuple[str, int]) -> None:
    """Use an address for a moment: cheroot says less about why one cannot be used.

    Raises:
        OSError: it cannot be used.
    """
    family, kind, protocol, _, place = socket.getaddrinfo(
        *address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)


class HttpServer:
    """A server that listens."""

    def __init__(self, server: Any) -> None:
        self._server = server

    @property
    def url(self) -> str:
        """Where it is reached on this machine, or where it listens."""
        host, port = self._server.bind_addr[:2]
        if host in ("0.0.0.0", "::"):  # noqa: S104 - a comparison
            host = socket.gethostname()
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    @property
    def is_local(self) -> bool:
        """Whether it can be reached from this machine only, whoever made the socket."""
        return is_loopback(str(self._server.socket.getsockname()[0]))

    def serve(self) -> None:
        """Answer requests until `stop`, or until an exception like KeyboardInterrupt."""
        self._server.serve()

    def stop(self) -> None:
        """Have `serve` return; for another thread."""
        self._server.stop()
