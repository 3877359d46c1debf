"""Torture a repository: hosts work on it while their processes are stopped, killed and confused.

    python tests/torture/torture.py --seconds 120

Real processes back up, forget, bring back, tag, prune, restore and check at the same time. They
are stopped for longer than whole cycles of prune, killed at any moment, lose their caches, and
their clocks are wrong by up to a year. Nothing that was acknowledged may be lost, and at the end
nothing that nobody needs may be left. The seed makes the same decisions again; how fast processes
are, it cannot repeat.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":  # the directory of this file would hide the package `torture`
    tests = Path(__file__).resolve().parents[1]
    sys.path[:1] = [str(tests), str(tests.parent / "engine"), str(tests.parent / "cli")]

from torture.host import Place
from torture.torment import Torment, remove


def main() -> int:
    """Run it, print a table; return 0 if all is well."""
    options = _parser().parse_args()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    directory = Path(tempfile.mkdtemp(prefix="holdfast-torture-", dir=options.directory))
    place = Place(
        directory,
        seed,
        patience_s=options.patience,
        longest_stop_s=options.longest_stop or min(20.0, options.seconds / 5),
        hosts=tuple(f"host-{number}" for number in range(options.hosts)),
    )
    torment = Torment(place, options.awake or 2 * (os.cpu_count() or 1))
    torment.run(options.seconds)
    for line in torment.wrong:
        print(f"WRONG: {line}\n")
    for name, text in torment.summary():
        print(f"{name:<13} {text}")
    print(f"{'again':<13} python tests/torture/torture.py {_words(options, seed)}")
    if torment.wrong:
        print(f"what is left to look at is in {directory}; `history` there tells what was done")
        return 1
    if not options.keep:
        remove(directory)
    return 0


def _words(options: argparse.Namespace, seed: int) -> str:
    """Return the options that make the same decisions again."""
    values = {
        "seconds": f"{options.seconds:g}",
        "seed": seed,
        "hosts": options.hosts,
        "patience": f"{options.patience:g}",
        "longest-stop": options.longest_stop,
        "awake": options.awake,
    }
    return " ".join(f"--{name} {value}" for name, value in values.items() if value is not None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    add = parser.add_argument
    add("--seconds", type=float, default=120.0, help="before the account at the end")
    add("--seed", type=int, help="decide as another run did")
    add("--hosts", type=int, default=6)
    add("--directory", default=memory, help="where the repository and all else lies")
    add("--patience", type=float, default=3.0, help="seconds a writer waits for a SEAL")
    add("--longest-stop", type=float, help="seconds a process is stopped at the most")
    add("--awake", type=int, help="processes that run at once, not counting stopped ones")
    add("--keep", action="store_true", help="leave the directory")
    return parser


if __name__ == "__main__":
    sys.exit(main())
