"""Memory of commands that run for long with many threads."""

from __future__ import annotations

import ctypes
from typing import Final

_M_ARENA_MAX: Final = -8


def share_heaps() -> None:
    """Have all threads share two heaps, where the C library can be told so.

    By itself glibc makes one for nearly each thread, and what is freed in one is of no use to the
    others: a server grew by 100 MB with each of the first large archives that it sent, to 550 MB
    after four. With two heaps it stays at 320 MB.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # another C library
    mallopt(_M_ARENA_MAX, 2)
