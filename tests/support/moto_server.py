"""A real `moto_server` process: S3 over HTTP on loopback, in memory.

A fixture of a session starts one server per worker; tests take a bucket or a prefix of their own.
Requests are worked on one at a time: moto's listings fail with 500 while another thread deletes.
What moto does not check (secrets, MD5s) only a real server shows: tests/conformance/test_ceph.py.
"""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

ACCESS_KEY = "AKIAHOLDFASTTEST"
SECRET_KEY = "not-a-secret"
REGION = "us-east-1"
_START_S = 30.0


@dataclass(frozen=True, slots=True)
class MotoServer:
    """A running server."""

    endpoint: str

    def location(self, bucket: str, prefix: str = "", options: str = "") -> str:
        """Return the text of a location on this server."""
        extra = f"&{options}" if options else ""
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}&region={REGION}{extra}"

    def client(self) -> Any:
        """Return a client of the library's own, to look at and prepare buckets with."""
        return raw_client(self.endpoint)


def raw_client(endpoint: str) -> Any:
    """Return botocore's client for a server, without anything of ours."""
    from botocore.session import Session

    return Session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )


def set_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the library credentials, and keep the user's own and the machine's away."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in (
        *("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"),
        *("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ENDPOINT_URL"),
        *("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "AWS_CA_BUNDLE"),
    ):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def running_moto() -> Iterator[MotoServer]:
    """Start a server on a free port and stop it in the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, __file__, str(port)]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _await(endpoint, process)
        yield MotoServer(endpoint)
    finally:
        process.kill()
        process.wait()


def _await(endpoint: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"moto_server ended with {process.returncode}")
        try:
            with urllib.request.urlopen(endpoint, timeout=5):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


class _OneAtATime:
    """Hands complete requests to an application, one after the other."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        # A body that comes slowly, or never, must not keep the others waiting.
        length = environ.get("CONTENT_LENGTH")
        if length or environ.get("wsgi.input_terminated"):
            body = environ["wsgi.input"].read(*([int(length)] if length else []))
            environ["wsgi.input"] = io.BytesIO(body)
            environ["CONTENT_LENGTH"] = str(len(body))
        with self._lock:
            return list(self._application(environ, start))


def _serve(port: int) -> None:
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import run_simple

    application = _OneAtATime(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
