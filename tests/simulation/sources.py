"""Directories that the hosts of a simulation back up.

Made once: inodes and times are the same in every run of one process, and no run waits for a file
to be written. A host shows one of its variants at a time by renaming it into place.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from support.repos import Tree, write_tree

HOSTS: Final = 4
"""Hosts that have sources; the last one joins when the others are done."""
VARIANTS: Final = 4


class Sources:
    """The sources of all hosts.

    Args:
        root: an empty directory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        for host in range(HOSTS):
            write_tree(self.path(host), {b"common/all": _bytes("all", 3000)}, old=False)
            for variant in range(VARIANTS):
                write_tree(self._variant(host, variant), _part(host, variant), old=False)

    def path(self, host: int) -> Path:
        """Return what a host backs up."""
        return self._root / f"host-{host}"

    @contextmanager
    def showing(self, host: int, variant: int) -> Iterator[Tree]:
        """Have a host show a variant while the block lasts; yield what it then holds."""
        place = self.path(host) / "part"
        os.rename(self._variant(host, variant), place)
        try:
            part = {b"part/" + name: data for name, data in _part(host, variant).items()}
            yield {b"common/all": _bytes("all", 3000), **part}
        finally:
            os.rename(place, self._variant(host, variant))

    def _variant(self, host: int, variant: int) -> Path:
        return self._root / f"variants-{host}" / str(variant)


def _part(host: int, variant: int) -> Tree:
    """Return files of which some are other hosts' or other variants' too."""
    return {
        b"host": _bytes(f"host {host}", 2000),
        b"odd" if variant % 2 else b"even": _bytes(f"{host} {variant % 2}", 1500),
        b"own": _bytes(f"{host} {variant}", 1000),
        b"variant": _bytes(f"variant {variant}", 2500),
    }


def _bytes(seed: str, length: int) -> bytes:
    return random.Random(seed).randbytes(length)
