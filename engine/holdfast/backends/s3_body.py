"""Bodies of requests: where their bytes come from, and how they leave at our pace."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final, Protocol

from holdfast.backends.throttle import Throttle

_PIECE: Final = 256 << 10
"""Bytes sent at once where there is no limit; the library asks for 128 KiB."""


class Body(Protocol):
    """Bytes that are sent from somewhere else than memory."""

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, b"" at the end."""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move as in a file."""

    def tell(self) -> int:
        """Return the position."""


class SentBody:
    """What the library reads the body of a signed request from, once and from its begin.

    Args:
        body: the bytes; of a file-like one those from its position on.
        throttle: how fast they may leave; None for no limit.
        on_sent: called with the number of bytes of each piece.
    """

    __slots__ = ("_on_sent", "_read", "_throttle")

    def __init__(
        self,
        body: bytes | bytearray | Body,
        throttle: Throttle | None,
        on_sent: Callable[[int], None],
    ) -> None:
        source = io.BytesIO(body) if isinstance(body, bytes | bytearray) else body
        self._read = source.read
        self._throttle = throttle
        self._on_sent = on_sent

    def read(self, size: int = -1) -> bytes:
        """Return the next piece, however large a piece the library asks for."""
        del size
        piece = self._read(_PIECE if self._throttle is None else self._throttle.piece)
        if self._throttle is not None:
            self._throttle.take(len(piece))
        self._on_sent(len(piece))
        return piece
