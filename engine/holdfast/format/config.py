"""The config: what a repository is, written once by `init`.

Source: docs/format.md#config.
"""

from __future__ import annotations

from typing import Final

import msgspec

from holdfast.errors import FormatError
from holdfast.units import format_size

CONFIG_NAME: Final = "config"
DEFAULT_PACK_SIZE: Final = 64 << 20
DEFAULT_SLICE_SIZE: Final = 1 << 20
DEFAULT_TREE_SLICE_SIZE: Final = 256 << 10
MIN_SLICE_SIZE: Final = 64 << 10
MAX_SLICE_SIZE: Final = 16 << 20
MIN_PACK_SIZE: Final = 1 << 20
MAX_PACK_SIZE: Final = 1 << 30
MAX_OBJECT_LOCK_DAYS: Final = 36_500


class Config(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Parameters of a repository. Fields are only ever added at the end, each with a default."""

    created_ns: int
    pack_size: int = DEFAULT_PACK_SIZE
    slice_size: int = DEFAULT_SLICE_SIZE
    tree_slice_size: int = DEFAULT_TREE_SLICE_SIZE
    suite: int = 1
    program_version: str = ""
    exclusive_create: bool = True
    """Whether the probe at `init` found that the storage creates an object only if it is absent."""
    maintainer: str = ""
    """Host that alone may prune where the storage does not; empty where it does."""
    object_lock_days: int = 0
    """Days for which the storage protects what a snapshot needs; 0 for no protection."""
    instance: bytes = b""
    """16 random bytes of a mirror, which shares its repository id with its origin; else empty."""


def check_config(config: Config) -> str:
    """Return why a config is impossible, or an empty string."""
    for size in (config.slice_size, config.tree_slice_size):
        if not MIN_SLICE_SIZE <= size <= MAX_SLICE_SIZE:
            return f"slice size {format_size(size)} is not between 64 KiB and 16 MiB"
    if not max(MIN_PACK_SIZE, config.slice_size) <= config.pack_size <= MAX_PACK_SIZE:
        return (
            f"pack size {format_size(config.pack_size)} is not between 1 MiB (or a slice) and 1 GiB"
        )
    if not 0 <= config.object_lock_days <= MAX_OBJECT_LOCK_DAYS:
        return f"object lock of {config.object_lock_days} days"
    if len(config.instance) not in (0, 16):
        return f"instance of {len(config.instance)} bytes"
    if config.suite not in (1, 2):
        return f"unknown suite {config.suite}"
    return ""


def encode_config(config: Config) -> bytes:
    """Encode the body of the config object."""
    return msgspec.msgpack.encode(config)


def decode_config(body: bytes) -> Config:
    """Decode and validate the body of the config object.

    Raises:
        FormatError: not a config, or an impossible one.
    """
    try:
        config = msgspec.msgpack.decode(body, type=Config)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError("config", CONFIG_NAME, str(error)) from error
    if reason := check_config(config):
        raise FormatError("config", CONFIG_NAME, reason)
    return config
