"""The secrets that open a key slot: passwords, key files, recovery keys.

A key file holds 32 random bytes as text (`holdfast-key-v1:` and 64 hex digits), mode 0600, for
hosts that work unattended; no key derivation slows it down. A recovery key is the 32-byte seed
of an X-Wing key pair (ML-KEM-768 and X25519), printed as 24 words with a checksum (BIP-39's list
and checksum): the repository holds the public half only, so the words can be made and locked
away without ever touching the machine again.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from holdfast.errors import KeyFileError

_PREFIX: Final = "holdfast-key-v1:"


@dataclass(frozen=True, slots=True)
class Password:
    """A password as a person types it; stretched by Argon2id."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The 32 random bytes of a key file."""

    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RecoveryKey:
    """The 32-byte seed of a recovery key pair."""

    seed: bytes = field(repr=False)


Secret: TypeAlias = Password | KeyFile | RecoveryKey


def describe(secret: Secret) -> str:
    """Return what a person calls this kind of secret."""
    match secret:
        case Password():
            return "password"
        case KeyFile():
            return "key file"
        case RecoveryKey():
            return "recovery key"


def read_key_file(path: str) -> KeyFile:
    """Read a key file.

    Raises:
        KeyFileError: missing, unreadable, readable by others, or not a key file.
    """
    try:
        with open(path, encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(1024).strip()
    except UnicodeDecodeError as error:
        raise KeyFileError(path, "it is not a holdfast key file") from error
    except OSError as error:
        raise KeyFileError(path, (error.strerror or "it cannot be read").lower()) from error
    if mode & 0o077:
        raise KeyFileError(path, "others can read it; run: chmod 600 " + path)
    digits = text.removeprefix(_PREFIX)
    try:
        key = bytes.fromhex(digits)
    except ValueError as error:
        raise KeyFileError(path, "it is not a holdfast key file") from error
    if digits == text or len(key) != 32:
        raise KeyFileError(path, "it is not a holdfast key file")
    return KeyFile(key)


def write_key_file(path: str) -> KeyFile:
    """Create a key file with fresh random bytes; durable on return, never overwriting.

    Raises:
        KeyFileError: the file exists or cannot be written.
    """
    key = os.urandom(32)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise KeyFileError(path, (error.strerror or "it cannot be created").lower()) from error
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{_PREFIX}{key.hex()}\n")
            file.flush()
            os.fsync(file.fileno())
        directory = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise KeyFileError(path, (error.strerror or "it cannot be written").lower()) from error
    return KeyFile(key)


def recovery_words(recovery: RecoveryKey) -> str:
    """Return the 24 words of a recovery key, separated by blanks."""
    from mnemonic import Mnemonic  # 40 ms and needed by two commands only

    words: str = Mnemonic("english").to_mnemonic(recovery.seed)
    return words


def parse_recovery_words(text: str) -> RecoveryKey:
    """Read 24 words; case and white space do not matter.

    Raises:
        KeyFileError: unknown words, wrong number or wrong checksum.
    """
    from mnemonic import Mnemonic

    words = " ".join(text.lower().split())
    try:
        seed = bytes(Mnemonic("english").to_entropy(words))
    except (ValueError, LookupError) as error:
        reason = "some words are wrong, missing or in the wrong order"
        raise KeyFileError("(recovery words)", reason) from error
    if len(seed) != 32:
        raise KeyFileError("(recovery words)", "a recovery key has 24 words")
    return RecoveryKey(seed)
