"""Who may read, and addresses to listen on."""

from __future__ import annotations

import base64

import pytest

from holdfast.errors import ConfigurationError
from holdfast.server.access import Access, is_loopback, parse_users
from holdfast.server.http_server import parse_address


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_without_users_only_this_machine_is_answered() -> None:
    access = Access({})
    assert not access.needs_password
    for host in ("localhost", "LOCALHOST:80", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080"):
        assert access.admits(host, ""), host
    for host in (
        "",
        "evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "[2001:db8::1]:1",
        "::1",
    ):
        assert not access.admits(host, ""), host


def test_users_and_passwords() -> None:
    access = Access({"anna": "sësame:x", "bob": "b"})
    assert access.needs_password
    assert access.admits("any.example", basic("anna:sësame:x"))
    assert access.admits("", basic("bob:b").replace("Basic", "bASIC"))
    for header in (
        "", "Basic", "Basic !!!", "Basic " + "=" * 5, basic("anna"), basic("anna:"), basic(":"),
        basic("bob:sësame:x"), basic("eve:b"), basic("bob:bb"),
        basic("bob:b").replace("Basic", "Bearer"),
    ):  # fmt: skip
        assert not access.admits("localhost", header), header


def test_files_of_users() -> None:
    assert parse_users("# comment\n\nanna:a:b\r\nbob: x\n") == {"anna": "a:b", "bob": " x"}
    for text in ("", "# anna:x\n", "anna\n", ":x\n", "anna:\n"):
        with pytest.raises(ConfigurationError):
            parse_users(text)


def test_loopback() -> None:
    assert [is_loopback(host) for host in ("127.1.2.3", "::1", "localhost")] == [True] * 3
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.1", "pc", "")] == [False] * 5


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:0", ("::1", 0)),
        ("pc.example:80", ("pc.example", 80)),
        (":81", ("0.0.0.0", 81)),
        ("8080", ("127.0.0.1", 8080)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "localhost", "localhost:", "a:70000", "a:-1", "::1:80", "a:x"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigurationError, match="no address to listen on"):
        parse_address(text)
