"""Who may read: a password, and where there is none only requests meant for this machine."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import os
from collections.abc import Mapping

from holdfast.errors import ConfigurationError


def is_loopback(host: str) -> bool:
    """Tell whether an address or name can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Access:
    """Decides about requests.

    Without users every request counts that names this machine as its host. A web page that has
    its own name point to 127.0.0.1 could otherwise read snapshots through its visitor's browser.

    Args:
        users: passwords by name; none for no password.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        self._key = os.urandom(16)
        self._users = {self._digest(name): self._digest(word) for name, word in users.items()}

    @property
    def needs_password(self) -> bool:
        """Whether requests must bring a password."""
        return bool(self._users)

    def admits(self, host: str, authorization: str) -> bool:
        """Tell whether a request is answered.

        Args:
            host: its header Host, empty if it has none.
            authorization: its header Authorization, likewise.
        """
        if not self._users:
            return is_loopback(_host_name(host))
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            name, colon, word = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        except binascii.Error:
            return False
        known = self._users.get(self._digest(name))
        given = self._digest(word)
        # Names that are unknown take as long as known ones.
        return hmac.compare_digest(known or self._key, given) and bool(colon)

    def _digest(self, text: str | bytes) -> bytes:
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        return hashlib.blake2b(data, digest_size=32, key=self._key).digest()


def parse_users(text: str) -> dict[str, str]:
    """Return the users of a file with lines NAME:PASSWORD; empty lines and # lines do not count.

    Raises:
        ConfigurationError: a line is none, or there is none.
    """
    users: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, word = line.partition(":")
        if not name or not colon or not word:
            raise ConfigurationError(
                f"line {number} of the users is not NAME:PASSWORD", "write one user a line"
            )
        users[name] = word
    if not users:
        raise ConfigurationError("there are no users in the file", "write lines NAME:PASSWORD")
    return users


def _host_name(host: str) -> str:
    """Return the host without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
