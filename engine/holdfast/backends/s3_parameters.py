"""What the options of a location add to requests."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from holdfast.backends.location import Location
from holdfast.errors import ConfigurationError

_SSE_C_KEY_LENGTH: Final = 32
_MOST_KEY_FILE: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOptions:
    """How an object is stored."""

    storage_class: str = ""
    """Empty for the bucket's own."""
    if_absent: bool = True
    """Create it only if the name is free; not for tests of what a server does without."""
    lock_mode: str = ""
    """"COMPLIANCE", "GOVERNANCE", or empty for no protection."""
    locked_until: datetime | None = None


DEFAULT_PUT: Final = PutOptions()


def of_every_request(location: Location) -> dict[str, Any]:
    """Return the parameters of all requests."""
    return {"RequestPayer": location.payer} if location.payer else {}


def of_creation(location: Location, key: dict[str, Any], how: PutOptions) -> dict[str, Any]:
    """Return the parameters of what makes an object; `key` are those of SSE-C."""
    parameters = dict(key)
    if how.storage_class:
        parameters["StorageClass"] = how.storage_class
    if location.sse:
        parameters["ServerSideEncryption"] = location.sse
    if location.kms_key:
        parameters["SSEKMSKeyId"] = location.kms_key
    if location.tags:
        parameters["Tagging"] = urlencode(location.tags)
    if how.lock_mode:
        parameters["ObjectLockMode"] = how.lock_mode
        parameters["ObjectLockRetainUntilDate"] = how.locked_until
    return parameters


def customer_key(location: Location) -> dict[str, Any]:
    """Return the parameters of SSE-C.

    Raises:
        ConfigurationError: the key file cannot be read or holds no key.
    """
    path = location.sse_c_key_file
    if not path:
        return {}
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_KEY_FILE)
    except OSError as error:
        what = f"the file {path} of sse-c-key-file cannot be read: {error.strerror}"
        raise ConfigurationError(what, "check the path") from error
    key = content
    if len(key) != _SSE_C_KEY_LENGTH:
        try:
            key = base64.b64decode(content.strip(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
    if len(key) != _SSE_C_KEY_LENGTH:
        hint = "it must hold 32 random bytes, as they are or in base64"
        raise ConfigurationError(f"the file {path} of sse-c-key-file holds no key", hint)
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
