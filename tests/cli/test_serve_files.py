"""`serve-files` as a process, with curl as its client."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.archives import has_program, untar
from support.command_line import NOISE, Runner, environment_for_processes
from support.json_keys import SERVE_FILES
from support.trees import read_tree

pytestmark = pytest.mark.skipif(not has_program("curl"), reason="curl is not installed")
Serve = Callable[..., "Service"]


class Service:
    """A server process."""

    def __init__(self, arguments: list[str], **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "holdfast_cli", *arguments],
            env=environment_for_processes(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], 30)[0], (
            "it does not say that it listens"
        )
        self.first_line = self.process.stdout.readline().decode()
        found = re.search(r"http://[^;\"]+/", self.first_line)
        assert found, self.end()
        self.url = found[0]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Stop it; return its exit code and what it wrote to standard error."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=20)
        return self.process.returncode, err.decode()


@pytest.fixture
def serve(hold: Runner) -> Iterator[Serve]:
    """Starts servers on free ports, and ends them with the test."""
    services: list[Service] = []

    def start(*arguments: str, **variables: str) -> Service:
        listen = [] if "--listen" in arguments else ["--listen", "127.0.0.1:0"]
        services.append(Service([*hold.base, "serve-files", *listen, *arguments], **variables))
        return services[-1]

    yield start
    for service in services:
        if service.process.poll() is None:
            service.process.kill()
            service.process.communicate()


def curl(*arguments: str) -> bytes:
    done = subprocess.run(
        ["curl", "-sS", "--fail", "--max-time", "20", *arguments], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def status(*arguments: str) -> str:
    return curl("-o", "/dev/null", "--no-fail", "-w", "%{http_code}", *arguments).decode()


def test_curl_gets_files_and_folders(
    hold: Runner, serve: Serve, source: Path, tmp_path: Path
) -> None:
    hold("backup", source)
    service = serve()
    root = f"{service.url}latest{source}"
    assert curl(f"{root}/inner/b.bin") == NOISE
    (tmp_path / "part").write_bytes(NOISE[:1000])
    curl("-C", "-", "-o", str(tmp_path / "part"), f"{root}/inner/b.bin")
    assert (tmp_path / "part").read_bytes() == NOISE
    assert b'href="./inner/"' in curl("-L", root)
    listing = curl("-X", "PROPFIND", "-H", "Depth: 1", root)
    assert b"/inner/</D:href>" in listing
    untar(curl(f"{root}/?archive=tar"), tmp_path / "out")
    assert read_tree(os.fsencode(tmp_path / "out" / "source")) == read_tree(os.fsencode(source))
    assert status("--path-as-is", f"{service.url}../../etc/passwd") in ("400", "404")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly(hold: Runner, serve: Serve, number: int, source: Path) -> None:
    hold("backup", source)
    service = serve("-v")
    curl(service.url)
    with socket.create_connection(("127.0.0.1", int(service.url[:-1].rpartition(":")[2]))) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\n")
        code, err = service.end(number)
    assert code == 0
    lines = err.splitlines()
    assert lines[0].startswith("no password is asked for")
    assert lines[-2:] == ["GET / 200", "stopped"]


def test_json_and_filters(hold: Runner, serve: Serve, source: Path) -> None:
    hold("backup", source, "--host", "other")
    service = serve("--json", "--host", "nobody", "--quiet")
    line = json.loads(service.first_line)
    assert list(line) == SERVE_FILES
    assert (line["event"], line["password"]) == ("listening", False)
    assert status(f"{service.url}latest/") == "404"
    assert service.end() == (0, "")


def test_passwords(hold: Runner, serve: Serve, source: Path, tmp_path: Path) -> None:
    hold("backup", source)
    service = serve(
        "--listen", "0.0.0.0:0", "--user", "anna", "--json", HOLDFAST_SERVE_PASSWORD="top secret"
    )
    assert json.loads(service.first_line)["password"] is True
    url = f"http://127.0.0.1:{service.url[:-1].rpartition(':')[2]}/latest/"
    assert status(url) == "401"
    assert status("-u", "anna:wrong", url) == "401"
    assert status("-u", "anna:top secret", url) == "200"
    users = tmp_path / "users"
    users.touch(0o600)
    users.write_text("# comment\nbob:b:b\n")
    url = serve("--auth-file", str(users)).url
    assert status("-u", "bob:b:b", url) == "200"
    assert status(url) == "401"


def test_what_makes_no_sense_is_refused(
    hold: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: str, code: int = 2) -> str:
        return hold("serve-files", *arguments, code=code).err

    assert "set HOLDFAST_SERVE_PASSWORD" in refused("--listen", "0.0.0.0:0")
    assert "no address to listen on" in refused("--listen", "localhost")
    assert "no password" in refused("--user", "anna")
    assert "cannot read the file of users" in refused("--auth-file", str(tmp_path / "none"))
    users = tmp_path / "users"
    users.write_text("anna:x\n")
    users.chmod(0o644)
    assert "chmod 600" in refused("--auth-file", str(users))
    users.chmod(0o600)
    assert "exclude each other" in refused("--auth-file", str(users), "--user", "x")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "address already in use" in refused("--listen", f"127.0.0.1:{port}", code=31)
    monkeypatch.setenv("HOLDFAST_SERVE_PASSWORD", "x")
    assert "no name" in refused("--user", "a:b")
    assert "exclude each other" in refused("--auth-file", str(users))


def test_a_missing_extra_is_named(hold: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cheroot"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "holdfast.server.http_server", raising=False)
    monkeypatch.setitem(sys.modules, "cheroot", None)
    assert "pip install 'holdfast[serve]'" in hold("serve-files", code=2).err
