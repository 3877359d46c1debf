"""Files of PostgreSQL's log, made by hand: what a server would write, and what none would."""

from __future__ import annotations

import random
import struct
from pathlib import Path

SYSTEM_ID = 7311234567890123456
SEGMENT_SIZE = 1 << 20


def make_segment(
    number: int,
    *,
    timeline: int = 1,
    system_id: int = SYSTEM_ID,
    size: int = SEGMENT_SIZE,
    seed: int = 0,
    order: str = "<",
    magic: int = 0xD110,
) -> bytes:
    """Return the segment that begins at number * size, with 4 KiB of noise in it."""
    header = struct.pack(
        f"{order}HHIQIIQII", magic, 7, timeline, number * size, 0, 0, system_id, size, 8192
    )
    return (header + random.Random(f"{number} {seed}").randbytes(4096)).ljust(size, b"\0")


def name_of(number: int, *, timeline: int = 1, size: int = SEGMENT_SIZE) -> str:
    """Return the name of that segment."""
    per_log = (1 << 32) // size
    return f"{timeline:08X}{number // per_log:08X}{number % per_log:08X}"


def make_data_directory(root: Path, system_id: int = SYSTEM_ID) -> Path:
    """Make what the commands see of a data directory; return its pg_wal."""
    (root / "global").mkdir(parents=True)
    control = struct.pack("<QII", system_id, 1300, 202209061).ljust(8192, b"\0")
    (root / "global" / "pg_control").write_bytes(control)
    (root / "pg_wal").mkdir()
    return root / "pg_wal"
