"""What the hosts back up: directories and dumps that share content and change all the time.

Contents come from a small pool that all hosts draw from, and come back after they were gone: a
backup then finds blobs that only forgotten snapshots have used, in packs that prune is removing.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Final

from blake3 import blake3

Manifest = dict[str, str]
"""Path below the root -> what is there: BLAKE3 of a file, target of a link, or DIRECTORY."""

DIRECTORY: Final = "empty directory"
_POOL: Final = 60
_MOST_FILES: Final = 40
_SIZES: Final = (0, 10, 700, 5_000, 30_000, 120_000, 400_000)


def content(number: int) -> bytes:
    """Return one content of the pool; the same for all hosts."""
    chance = random.Random(number)
    size = chance.choice(_SIZES) + number
    return chance.randbytes(size) if number % 3 else b"a line of text %d\n" % number * (size // 9)


def manifest_of(root: Path) -> Manifest:
    """Describe a tree, or a single file under its name."""
    if not root.is_dir():
        return {root.name: _digest(root)}
    found: Manifest = {}
    for folder, directories, files in os.walk(root):
        here = Path(folder)
        for path in [here / name for name in files] + [here / name for name in directories]:
            inner = str(path.relative_to(root))
            if path.is_symlink():
                found[inner] = f"-> {os.readlink(path)}"
            elif not path.is_dir():
                found[inner] = _digest(path)
            elif not any(path.iterdir()):
                found[inner] = DIRECTORY
    return found


def _digest(path: Path) -> str:
    return blake3(path.read_bytes()).hexdigest()


class Source:
    """The sources of one host: a directory and a dump.

    Args:
        directory: absent or empty.
        seed: decides about all changes.
    """

    def __init__(self, directory: Path, seed: str) -> None:
        self.tree = directory / "tree"
        self.dump = directory / "dump.sql"
        self._chance = random.Random(seed)
        self._made = 0
        self.tree.mkdir(parents=True)
        for _ in range(_MOST_FILES // 2):
            self._add()
        self.change_dump()

    def change_tree(self) -> None:
        """Change a few files; rarely nearly all."""
        chance = self._chance
        for _ in range(chance.choice((1, 2, 4, 8, 40))):
            files = sorted(path for path in self.tree.rglob("*") if not path.is_dir())
            kinds = [self._add, self._edit, self._remove, self._append, self._move, self._link]
            weights = (4 if len(files) < _MOST_FILES else 1, 3, 2, 1, 1, 1)
            (kind,) = chance.choices(kinds, weights)
            kind()
        if chance.random() < 0.05:
            shutil.rmtree(self._pick_directory())
            self.tree.mkdir(exist_ok=True)

    def change_dump(self) -> None:
        """Write the dump anew, with parts that other hosts' dumps have too."""
        parts = self._chance.choices(range(_POOL), k=self._chance.randrange(2, 12))
        self.dump.write_bytes(b"-- end of table\n".join(map(content, parts)))

    def _new_path(self) -> Path:
        self._made += 1
        path = self._pick_directory()
        if self._chance.random() < 0.3:
            path /= f"directory-{self._made}"
            path.mkdir()
            if self._chance.random() < 0.2:
                path = path.parent
        return path / f"file-{self._made}"

    def _pick_directory(self) -> Path:
        below = sorted(p for p in self.tree.rglob("*") if p.is_dir() and not p.is_symlink())
        return self._chance.choice([self.tree, *below])

    def _pick_file(self) -> Path | None:
        files = sorted(p for p in self.tree.rglob("*") if p.is_file() and not p.is_symlink())
        return self._chance.choice(files) if files else None

    def _add(self) -> None:
        number = self._chance.randrange(_POOL)
        if self._chance.random() < 0.2:
            number = self._chance.randrange(_POOL, 100 * _POOL)  # most likely nobody else has it
        self._new_path().write_bytes(content(number))

    def _edit(self) -> None:
        path = self._pick_file()
        if path is not None:
            data = bytearray(path.read_bytes())
            at = self._chance.randrange(len(data) + 1)
            data[at : at + 50] = self._chance.randbytes(50)
            path.write_bytes(data)

    def _append(self) -> None:
        path = self._pick_file()
        if path is not None:
            with path.open("ab") as file:
                file.write(content(self._chance.randrange(_POOL)))

    def _remove(self) -> None:
        path = self._pick_file()
        if path is not None:
            path.unlink()

    def _move(self) -> None:
        path = self._pick_file()
        if path is not None:
            path.rename(self._new_path())

    def _link(self) -> None:
        path = self._new_path()
        path.symlink_to(self._chance.choice(("file-1", "/nowhere", "../up")))
