"""A process that backs up again and again until it is killed; run as a script by tests.

    python backup_process.py REPOSITORY CACHE SHARED OWN ROUND

Each round makes one more file in OWN, backs up SHARED and OWN and prints "<round> <snapshot>"
once the snapshot is acknowledged.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from holdfast.backends.local import LocalBackend
from support.repos import back_up, open_repository


def own_file(owner: str, number: int) -> tuple[bytes, bytes]:
    """Return name and content of the file that a round adds."""
    source = random.Random(f"{owner} {number}")
    return b"round-%d" % number, source.randbytes(source.randrange(10, 400_000))


def main(arguments: list[str]) -> None:
    """Run until killed."""
    location, cache, shared, own = map(Path, arguments[:4])
    number = int(arguments[4])
    while True:
        name, data = own_file(own.name, number)
        whole = own.with_suffix(".part")
        whole.write_bytes(data)
        whole.rename(own / name.decode())
        with open_repository(LocalBackend(str(location)), cache) as repository:
            made = back_up(repository, shared, own, host=own.name)
        print(number, made.snapshot, flush=True)
        number += 1


if __name__ == "__main__":
    main(sys.argv[1:])
