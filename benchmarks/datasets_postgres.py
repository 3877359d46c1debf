"""A changing PostgreSQL database on several nights: its dumps, and its base backups.

The rows come from a seed; a base backup also holds identifiers and times of its server.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure import Command, output_of
from postgres_server import NAME, Server, server


def make_dumps(root: Path, nights: int, scale: float) -> None:
    """Write what pg_dump prints, as `shop.sql` in a directory for each night.

    Raises:
        CommandError: there is no server here, or a tool failed.
    """
    _make(root, nights, scale, _dump)


def make_bases(root: Path, nights: int, scale: float) -> None:
    """Write what pg_basebackup copies, a directory for each night.

    Raises:
        CommandError: there is no server here, or a tool failed.
    """
    _make(root, nights, scale, _copy)


def _make(root: Path, nights: int, scale: float, save: Callable[[Server, Path], None]) -> None:
    # In the directory for short names: that of a socket has at most 107 bytes.
    made = Path(tempfile.mkdtemp(prefix="bench-pg-"))
    made.chmod(0o755)
    try:
        with server(made / "server") as here:
            here.fill(scale)
            for number in range(1, nights + 1):
                if number > 1:
                    here.change(number, scale)
                save(here, root / f"night-{number}")
    finally:
        shutil.rmtree(made)


def _dump(here: Server, target: Path) -> None:
    target.mkdir()
    told = output_of(Command(arguments=(str(here.bin / "pg_dump"), "--help")))
    # Newer ones write a random word into each dump unless they are given one.
    fixed = ("--restrict-key", "benchmark") if "--restrict-key" in told else ()
    output_of(here.tool("pg_dump", *fixed, "-f", str(target / "shop.sql"), NAME))


def _copy(here: Server, target: Path) -> None:
    output_of(here.tool("pg_basebackup", "-c", "fast", "-X", "fetch", "-D", str(target)))
