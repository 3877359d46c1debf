"""Argon2id with parameters that are bounded on both sides.

Parameters below RFC 9106's second recommendation would weaken a stolen slot; parameters above
4 GiB would let a hostile storage exhaust the reader's memory. Both are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

SALT_LENGTH: Final = 16
MIN_MEMORY_KIB: Final = 64 * 1024
MAX_MEMORY_KIB: Final = 4 * 1024 * 1024
MIN_PASSES: Final = 3
MAX_PASSES: Final = 64
MAX_LANES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Argon2Parameters:
    """Cost of one password guess."""

    memory_kib: int = MIN_MEMORY_KIB
    passes: int = MIN_PASSES
    lanes: int = 4

    def are_acceptable(self) -> bool:
        """Tell whether the parameters lie within the bounds above."""
        return (
            MIN_MEMORY_KIB <= self.memory_kib <= MAX_MEMORY_KIB
            and MIN_PASSES <= self.passes <= MAX_PASSES
            and 1 <= self.lanes <= MAX_LANES
        )


def stretch(password: str, salt: bytes, parameters: Argon2Parameters) -> bytes:
    """Return 32 bytes derived from a password.

    Cost: 0.4 s and 64 MiB with the default parameters.
    """
    return Argon2id(
        salt=salt,
        length=32,
        iterations=parameters.passes,
        lanes=parameters.lanes,
        memory_cost=parameters.memory_kib,
    ).derive(password.encode("utf-8", "surrogateescape"))
