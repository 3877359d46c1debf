"""The directories that scale runs back up; a process of its own, so that its memory counts nowhere.

    python benchmarks/growth_sources.py DIRECTORY make FILES
    python benchmarks/growth_sources.py DIRECTORY add FILES

make: seeded small files, a tenth of them in the one directory `crowd`, the others 250 in a
directory. add: as many new files, half of them in `crowd` and half in the new directory `added`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import corpus

_MEAN_LENGTH: Final = 200
"""Bytes of a file: what counts here is how many there are."""


def make(root: Path, count: int) -> None:
    """Write the tree; `root` must not exist. Cost: 50 us a file."""
    corpus.write_tree(root, count=count, length=_MEAN_LENGTH, crowd=max(1, count // 10))


def add(root: Path, count: int) -> None:
    """Add files that the tree never had; can be done once."""
    added = root / "added"
    added.mkdir()
    for number in range(count):
        directory = added if number % 2 else root / "crowd"
        (directory / f"{number * 7919:07d}-new.txt").write_text(f"new file {number}\n")


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("work", choices=("make", "add"))
    parser.add_argument("count", type=int)
    given = parser.parse_args()
    (make if given.work == "make" else add)(given.directory, given.count)


if __name__ == "__main__":
    main()
