"""Torture a repository: hosts work on it while their processes are stopped, killed and confused.

    python tests/torture/torture.py --seconds 120
    python tests/torture/torture.py --seconds 120 --ceph

Real processes back up, forget, bring back, tag, prune, restore and check at the same time. They
are stopped for longer than whole cycles of prune, killed at any moment, lose their caches, and
their clocks are wrong by up to a year. With --ceph the repository is in a bucket of a real S3
server, whose gateway is killed and started again meanwhile. Nothing that was acknowledged may be
lost, and at the end nothing that nobody needs may be left. The seed makes the same decisions
again; how fast processes are, it cannot repeat.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":  # the directory of this file would hide the package `torture`
    tests = Path(__file__).resolve().parents[1]
    sys.path[:1] = [str(tests), str(tests.parent / "engine"), str(tests.parent / "cli")]

from support.buckets import new_bucket
from support.ceph import OWNER, Gateway, is_missing, shared_cluster
from torture.host import Place
from torture.torment import Torment, remove


def main() -> int:
    """Run it, print a table; return 0 if all is well."""
    options = _parser().parse_args()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    directory = Path(tempfile.mkdtemp(prefix="holdfast-torture-", dir=options.directory))
    with contextlib.ExitStack() as stack:
        gateway, location = _storage(options, stack)
        return _torture(options, seed, directory, location, gateway)


def _torture(
    options: argparse.Namespace, seed: int, directory: Path, location: str, gateway: Gateway | None
) -> int:
    place = Place(
        directory,
        seed,
        location=location,
        patience_s=options.patience,
        longest_stop_s=options.longest_stop or min(20.0, options.seconds / 5),
        hosts=tuple(f"host-{number}" for number in range(options.hosts)),
    )
    torment = Torment(place, options.awake or 2 * (os.cpu_count() or 1), gateway)
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


def _storage(
    options: argparse.Namespace, stack: contextlib.ExitStack
) -> tuple[Gateway | None, str]:
    """Return the gateway to be killed and the repository's location; both empty for a directory."""
    if options.ceph is None:
        return None, options.location
    if reason := is_missing():
        sys.exit(reason)
    own = options.ceph or stack.enter_context(tempfile.TemporaryDirectory())
    cluster = stack.enter_context(shared_cluster(Path(own)))
    bucket = new_bucket(cluster)
    gateway = stack.enter_context(cluster.gateway())
    variables = {"AWS_ACCESS_KEY_ID": OWNER.access_key, "AWS_SECRET_ACCESS_KEY": OWNER.secret_key}
    os.environ.update(variables)  # noqa: TID251 - for the processes that are started
    return gateway, bucket.location(endpoint=gateway.endpoint)


def _words(options: argparse.Namespace, seed: int) -> str:
    """Return the options that make the same decisions again."""
    values = {
        "seconds": f"{options.seconds:g}",
        "seed": seed,
        "hosts": options.hosts,
        "patience": f"{options.patience:g}",
        "longest-stop": options.longest_stop,
        "awake": options.awake,
        "location": options.location or None,
        "ceph": options.ceph,
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
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--location", default="", help="of the repository: an empty prefix")
    place.add_argument(
        "--ceph",
        nargs="?",
        const="",
        metavar="DIRECTORY",
        help="keep it on a Ceph cluster, started here or shared by DIRECTORY, whose gateway is killed",
    )
    add("--keep", action="store_true", help="leave the directory")
    return parser


if __name__ == "__main__":
    sys.exit(main())
