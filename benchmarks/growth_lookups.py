"""Ask the index of a synthetic repository for ids: a process of its own, to be measured.

    python benchmarks/growth_lookups.py REPOSITORY KEY_FILE CACHE_DIRECTORY BLOBS LOOKUPS

Half of the ids are of blobs that are there, from packs all over the repository; the others are of
none. They are asked for in random order, as a backup of new data does.
"""

from __future__ import annotations

import random
import sys

from holdfast.backends.registry import open_backend
from holdfast.clock import SystemClock
from holdfast.crypto.secrets import read_key_file
from holdfast.repository.repository import Repository
from synthetic import PACK_BLOBS, ids_of


def chosen_ids(blobs: int, lookups: int) -> list[bytes]:
    """Return `lookups` ids, every other one of a blob of a repository with `blobs` blobs."""
    source = random.Random("look-ups")  # unlike the seed of any pack, which is a number
    packs = range(0, blobs - PACK_BLOBS + 1, PACK_BLOBS)
    present: list[bytes] = []
    while len(present) < lookups // 2:
        ids = ids_of(source.choice(packs))
        present += [ids[at : at + 32] for at in range(0, len(ids), 32 * 5)]
    chosen = present[: lookups // 2]
    chosen += [source.randbytes(32) for _ in range(lookups - len(chosen))]
    source.shuffle(chosen)
    return chosen


def main() -> None:
    """Look all of them up, and fail if the index says anything else than what is true."""
    location, key_file, cache, blobs, lookups = sys.argv[1:]
    ids = chosen_ids(int(blobs), int(lookups))
    with Repository.open(
        open_backend(location), read_key_file(key_file), cache_dir=cache, clock=SystemClock()
    ) as repository:
        contains = repository.load_index().contains
        found = sum(contains(blob_id) for blob_id in ids)
    if found != int(lookups) // 2:
        sys.exit(f"{found} of {lookups} ids were found")


if __name__ == "__main__":
    main()
