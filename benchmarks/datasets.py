"""The data sets of the comparison: series of versions ("nights") of what people back up.

    python benchmarks/datasets.py DIRECTORY --kernel linux-6.1.176 linux-6.1.187 linux-6.1.190

Each set lies in a directory of its own, a night in `night-1`, `night-2` and so on, beside a
`manifest.json` that is written last: a set with a manifest of the same recipe and scale is used as
it is, anything else is made anew. Text, media, images and rows of databases come from fixed seeds;
what differs between two runs all the same (a server's identifiers and times in base backups) shows
in the manifest's digests.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import datasets_files
import datasets_image
import datasets_kernel
import datasets_postgres
from data_set import MANIFEST, DataSet, load
from manifest import extent_of
from measure import CommandError

NIGHTS: Final = 3
_RECIPE: Final = 1
"""Raised when a set is made differently, so that cached sets are not taken for new ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What one data set is."""

    name: str
    title: str
    profile: str
    """The profile of holdfast that its documentation recommends for such data."""
    told: str
    """What it is, in a sentence for the report."""


KINDS: Final = (
    Kind(
        name="kernel",
        title="Linux kernel source",
        profile="files",
        told="versions of the Linux source as Debian packages it, each over the one before it",
    ),
    Kind(
        name="dumps",
        title="PostgreSQL dumps",
        profile="dump",
        told="output of pg_dump for a seeded database; between two nights 1.4 % of its rows are updated at "
        "random, some deleted, some added",
    ),
    Kind(
        name="bases",
        title="PostgreSQL base backups",
        profile="pages",
        told="plain files by pg_basebackup of a seeded database that changes in the same way",
    ),
    Kind(
        name="image",
        title="disk image",
        profile="image",
        told="an ext4 file system of seeded text, tables and archives in one sparse file; each "
        "night replaces, adds and removes files in it and appends to logs",
    ),
    Kind(
        name="small-files",
        title="many small files",
        profile="files",
        told="seeded text files of 1.5 kB on average, 250 in a directory; each night changes 1 %, "
        "moves 0.2 %, removes 0.3 % and adds 0.5 %",
    ),
    Kind(
        name="media",
        title="photos and videos",
        profile="files",
        told="random bytes with headers, in files as long as photos and videos; each night adds "
        "some, renames some, and writes new headers into some",
    ),
)
NAMES: Final = tuple(kind.name for kind in KINDS)
OWN: Final = "own"
"""The name of directories that a user gives."""

_MAKERS: Final[dict[str, Callable[[Path, int, float], None]]] = {
    "kernel": datasets_kernel.make,
    "dumps": datasets_postgres.make_dumps,
    "bases": datasets_postgres.make_bases,
    "image": datasets_image.make,
    "small-files": datasets_files.make_small,
    "media": datasets_files.make_media,
}
"""Directory, count of nights, scale (1 is full size): writes `night-1` and so on in it."""


def prepare(kind: Kind, data_dir: Path, *, scale: float = 1.0, nights: int = NIGHTS) -> DataSet:
    """Return a data set, made if it is not there.

    Raises:
        CommandError: a program that makes it failed, or is missing.
        OSError: it cannot be written.
    """
    root = data_dir / kind.name
    made = {"recipe": _RECIPE, "scale": scale, "nights": nights}
    if not _is_made(root, made):
        _clear(root)
        _MAKERS[kind.name](root, nights, scale)
        paths = [root / f"night-{number}" for number in range(1, nights + 1)]
        _write_manifest(root, kind, paths, made)
    return load(root)


def register(kind: Kind, data_dir: Path, versions: Sequence[Path]) -> DataSet:
    """Return a data set of directories that are there already; they are read once and not copied.

    Raises:
        OSError: a directory cannot be read.
    """
    root = data_dir / kind.name
    paths = [path.absolute() for path in versions]
    made = {"recipe": _RECIPE, "given": [str(path) for path in paths]}
    if not _is_made(root, made):
        _clear(root)
        names = ", ".join(path.name for path in paths)
        _write_manifest(root, replace(kind, told=f"{kind.told} ({names})"), paths, made)
    return load(root)


def _is_made(root: Path, made: dict[str, Any]) -> bool:
    try:
        facts = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and facts.get("made") == made


def _clear(root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)


def _write_manifest(root: Path, kind: Kind, paths: Sequence[Path], made: dict[str, Any]) -> None:
    # Relative where that is possible, so that the directory can be moved.
    nights = [
        {
            "path": str(path.relative_to(root) if path.is_relative_to(root) else path),
            **asdict(extent_of(path)),
        }
        for path in paths
    ]
    facts = {
        "title": kind.title,
        "profile": kind.profile,
        "told": kind.told,
        "made": made,
        "nights": nights,
    }
    (root / MANIFEST).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Make the data sets; return the exit code."""
    options = _parser().parse_args()
    names = options.sets.split(",") if options.sets else [] if options.own else list(NAMES)
    unknown = set(names) - set(NAMES)
    if unknown:
        problem = f"no such data set: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}"
        print(problem, file=sys.stderr)
        return 2
    kinds = [kind for kind in KINDS if kind.name in names]
    given = {"kernel": options.kernel, OWN: options.own}
    if options.own:
        kinds.append(Kind(name=OWN, title="own data", profile=options.profile, told="own data"))
    failed = False
    for kind in kinds:
        try:
            versions = given.get(kind.name)
            if versions:
                data_set = register(kind, options.directory.absolute(), versions)
            else:
                data_set = prepare(
                    kind, options.directory.absolute(), scale=options.scale, nights=options.nights
                )
        except (CommandError, OSError) as error:
            print(f"{kind.name}: {error}", file=sys.stderr)
            failed = True
            continue
        first = data_set.extents[0]
        size = f"{first.files} files, {first.size / 1e6:.0f} MB"
        print(f"{kind.name}: {len(data_set.nights)} nights, the first of {size}", flush=True)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Make the data sets of the comparison.")
    parser.add_argument("directory", type=Path, help="where they lie, and are found again")
    add_options(parser)
    return parser


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which sets there are to be."""
    parser.add_argument("--sets", help=f"of {','.join(NAMES)}; all by default")
    parser.add_argument("--scale", type=float, default=1.0, help="of the sizes (1)")
    parser.add_argument("--nights", type=int, default=NIGHTS, help=f"({NIGHTS})")
    parser.add_argument(
        "--kernel", nargs="+", type=Path, metavar="DIR", help="unpacked versions, oldest first"
    )
    parser.add_argument(
        "--own", nargs="+", type=Path, metavar="DIR", help="versions of your own data, oldest first"
    )
    parser.add_argument("--profile", default="files", help="of holdfast, for --own (files)")


if __name__ == "__main__":
    sys.exit(main())
