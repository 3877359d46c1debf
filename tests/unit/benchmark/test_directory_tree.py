"""The directories that explain most: none twice, none too small, and nothing lost."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from holdfast.benchmark.directory_tree import NOWHERE, DirectoryTree, HeavyDirectory

NAMES = st.sampled_from([b"a", b"b", b"\xff", b"x" * 255])
PATHS = st.lists(NAMES, max_size=5).map(tuple)
Arrival = tuple[tuple[bytes, ...], int, int]
"""Path of the directory, size, snapshot."""
ARRIVALS = st.lists(st.tuples(PATHS, st.integers(0, 100), st.integers(0, 3)), max_size=30)


def fill(arrivals: Sequence[Arrival]) -> DirectoryTree:
    """A tree of one host with what came in at some paths, in some snapshots."""
    tree = DirectoryTree()
    for path, size, snapshot in arrivals:
        number = tree.root("host")
        for name in path:
            number = tree.below(number, name)
        tree.add(number, size, size / 4, 1 << snapshot)
    return tree


def found(tree: DirectoryTree, share: float) -> dict[bytes, HeavyDirectory]:
    """What is heavy, by path; none comes twice."""
    heavy = list(tree.heavy(share))
    by_path = {each.path: each for each in heavy}
    assert len(by_path) == len(heavy)
    return by_path


def is_below(path: tuple[bytes, ...], directory: bytes) -> bool:
    full = b"/" + b"/".join(path)
    return full == directory or full.startswith(directory.rstrip(b"/") + b"/")


@given(ARRIVALS, st.sampled_from([0.01, 0.2, 0.5, 1.0]))
def test_each_byte_counts_for_the_deepest_heavy_directory_above_it(
    arrivals: list[Arrival], share: float
) -> None:
    heavy = found(fill(arrivals), share)
    total = sum(size for _, size, _ in arrivals)
    expected = dict.fromkeys(heavy, (0, 0))
    for path, size, snapshot in arrivals:
        above = [directory for directory in heavy if is_below(path, directory)]
        if above:
            deepest = max(above, key=len)
            plain, snapshots = expected[deepest]
            expected[deepest] = plain + size, snapshots | 1 << snapshot
    assert {path: (each.amount.plain, each.snapshots) for path, each in heavy.items()} == expected
    assert all(each.amount.plain >= share * total for each in heavy.values())
    # What is in no row is less than a row.
    left = total - sum(each.amount.plain for each in heavy.values())
    assert left < max(1, share * total)


def test_the_deepest_directories_that_matter() -> None:
    arrivals: list[Arrival] = [
        ((b"var", b"log", b"%d" % number), 1, number % 4) for number in range(30)
    ]
    arrivals += [
        ((b"home", b"anna", b"mail"), 60, 1),
        ((b"home", b"anna"), 8, 2),
        ((b"etc",), 2, 0),
    ]
    heavy = found(fill(arrivals), 0.05)
    sizes = {path: each.amount.plain for path, each in heavy.items()}
    assert sizes == {b"/home/anna/mail": 60, b"/home/anna": 8, b"/var/log": 30}
    assert heavy[b"/var/log"].snapshots == 0b1111


def test_hosts_are_kept_apart_and_nowhere_is_no_directory() -> None:
    tree = DirectoryTree()
    for host in ("one", "two", "one"):
        tree.add(tree.below(tree.root(host), b"home"), 5, 5, 1)
    tree.add(NOWHERE, 1000, 1000, 1)
    assert {(each.host, each.path, each.amount.plain) for each in tree.heavy(0.1)} == {
        ("one", b"/home", 10),
        ("two", b"/home", 5),
    }


def test_what_is_very_deep_counts_for_a_directory_above() -> None:
    heavy = found(fill([((b"d",) * depth, 1, 0) for depth in range(12, 40)]), 0.1)
    assert list(heavy) == [b"/d" * 12]


def test_nothing_came_in() -> None:
    assert list(DirectoryTree().heavy(0.01)) == []
