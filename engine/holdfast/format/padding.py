"""Padmé: object sizes that say little about their content.

A length is rounded up so that only the highest O(log log n) bits of it can differ; the overhead
is at most 12 %, below 3.1 % from 64 KiB on.

Source: Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with
PURBs", PoPETs 2019, section 4.
"""

from __future__ import annotations


def padme(length: int) -> int:
    """Return the padded length, at least `length`."""
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    zero_bits = exponent - exponent.bit_length()
    mask = (1 << max(zero_bits, 0)) - 1
    return (length + mask) & ~mask
