"""What snapshots share: by brute force over all blobs, and by what a real prune frees."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.backends.base import Backend
from holdfast.benchmark.sharing import analyse_snapshots
from holdfast.benchmark.sharing_report import NOTHING, Amount, SharingReport
from holdfast.benchmark.stored_shares import StoredShares
from holdfast.format.node import NodeType
from holdfast.format.pack import BlobKind
from holdfast.format.snapshot import Snapshot
from holdfast.ids import BlobId
from holdfast.operations.stats import repository_stats
from holdfast.operations.tree_walk import iter_tree
from holdfast.progress import NullProgress
from holdfast.repository.layout import pack_name
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.repository.writer import Writer
from support.pruning import forget, prune_all
from support.repos import MEMORY_DIRECTORY, back_up, new_store, open_repository, write_tree
from support.sessions import make_node, make_snapshot, packs_of
from support.trees import node_of

DAY_NS = 86_400 * 10**9
NAMES = st.sampled_from([b"a", b"b", b"c"])
DIRECTORIES = st.dictionaries(NAMES, st.integers(0, 6), max_size=3)
TREES = st.dictionaries(NAMES, DIRECTORIES, min_size=1, max_size=3)


@dataclass(frozen=True)
class Made:
    """A snapshot to make: of which host, and directory -> file -> number of its content."""

    host: str
    tree: dict[bytes, dict[bytes, int]]


SNAPSHOTS = st.lists(st.builds(Made, st.sampled_from(["one", "two", "three"]), TREES), max_size=6)


def content(number: int) -> bytes:
    """Content that is not compressed, of a length of its own."""
    return random.Random(number).randbytes(1000 + 100 * number)


def store(repository: Repository, made: Sequence[Made], first_day: int = 1) -> list[Snapshot]:
    """Make snapshots, a day apart."""
    repository.load_view(for_writing=True)
    stored = []
    with Writer(repository, level=1) as writer:
        for day, one in enumerate(made, first_day):
            top = []
            for name, files in sorted(one.tree.items()):
                nodes = [
                    make_node(file, writer.add_data(content(number)), len(content(number)))
                    for file, number in sorted(files.items())
                ]
                page = writer.add_page(nodes)
                top.append(node_of(NodeType.DIRECTORY, name, content=page))
            root = writer.add_page(top)
            snapshot = make_snapshot(root, host=one.host, time_ns=day * DAY_NS)
            writer.commit(snapshot, None)
            stored.append(snapshot)
        writer.close_journal()
    return stored


def analyse(repository: Repository, snapshots: Sequence[Snapshot] | None = None) -> SharingReport:
    """Report on some snapshots, or on all."""
    chosen = repository.snapshots() if snapshots is None else snapshots
    return analyse_snapshots(repository, chosen, NullProgress())


class BruteForce:
    """What snapshots hold, as sets of blobs in memory."""

    def __init__(self, repository: Repository, snapshots: Sequence[Snapshot]) -> None:
        repository.load_view()
        shares = StoredShares(repository.index)
        self._sizes: dict[BlobId, tuple[int, float]] = {}
        self._blobs: dict[str, set[BlobId]] = {}
        with BlobReader(repository) as reader:
            for snapshot in snapshots:
                found = self._blobs[snapshot.id] = set(snapshot.root_pages)
                for _, node in iter_tree(reader, snapshot.root):
                    found.update(node.blob_ids)
        for blob_id in set().union(*self._blobs.values()):
            size = shares.find(blob_id)
            assert size is not None
            self._sizes[blob_id] = size

    def unique(self, snapshots: Sequence[Snapshot]) -> Amount:
        """What some snapshots hold together."""
        blobs = set[BlobId]().union(*(self._blobs[snapshot.id] for snapshot in snapshots))
        sizes = [self._sizes[blob_id] for blob_id in blobs]
        return Amount(sum(plain for plain, _ in sizes), round(sum(stored for _, stored in sizes)))


def assert_close(found: Amount, expected: Amount) -> None:
    """Equal but for what rounding to whole bytes does."""
    assert found.plain == expected.plain
    assert found.stored == pytest.approx(expected.stored, abs=3)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with open_repository(new_store(), tmp_path / "cache") as opened:
        yield opened


@settings(max_examples=25)
@given(SNAPSHOTS)
def test_figures_are_those_of_sets_of_blobs(made: list[Made]) -> None:
    with (
        tempfile.TemporaryDirectory(dir=MEMORY_DIRECTORY) as cache,
        open_repository(new_store(), cache) as repository,
    ):
        snapshots = store(repository, made)
        report = analyse(repository)
        truth = BruteForce(repository, snapshots)
        assert [each.id for each in report.snapshots] == [each.id for each in snapshots]
        every = truth.unique(snapshots)
        assert_close(report.needed, every)
        for number, (one, snapshot) in enumerate(zip(report.snapshots, snapshots, strict=True)):
            others = [each for each in snapshots if each is not snapshot]
            assert_close(one.unique, truth.unique([snapshot]))
            assert_close(one.exclusive, every - truth.unique(others))
            assert_close(one.shared, one.unique - one.exclusive)
            earlier = truth.unique(snapshots[:number])
            assert_close(one.added, truth.unique(snapshots[: number + 1]) - earlier)
        alone = NOTHING
        for host in report.hosts:
            own = [each for each in snapshots if each.host == host.host]
            others = [each for each in snapshots if each.host != host.host]
            assert host.snapshots == len(own)
            assert_close(host.unique, truth.unique(own))
            assert_close(host.exclusive, every - truth.unique(others))
            alone += truth.unique(own)
        assert {host.host for host in report.hosts} == {each.host for each in snapshots}
        assert_close(report.saved_across_hosts, alone - every)
        assert report.problems == ()
        assert report.missing == 0


def test_forgetting_frees_what_was_said(tmp_path: Path) -> None:
    backend, source = new_store(), tmp_path / "source"
    made = random.Random(5)
    text = b"".join(b"%d, some words of text\n" % number for number in range(60_000))
    tree = {b"d%d/f%d" % (number % 5, number): made.randbytes(40_000) for number in range(50)}
    with open_repository(backend, tmp_path / "cache") as repository:
        for night in range(4):
            for number in range(8):
                tree[b"d0/n%d" % number] = made.randbytes(60_000)
            tree[b"d1/text"] = text[night * 200_000 :][:700_000]
            assert back_up(repository, write_tree(source, tree)).snapshot
            tree[b"d2/stays%d" % night] = made.randbytes(90_000)
        report = analyse(repository)
        assert report.whole == repository_stats(repository)
        assert report.needed == Amount(report.whole.unique_bytes, report.whole.stored_bytes)
        for number in (1, 0, 1):
            forgotten = report.snapshots[number]
            forget(repository, [forgotten.id])
            report = analyse(repository)
            assert_close(report.unneeded, forgotten.exclusive)
            assert forgotten.id not in {each.id for each in report.snapshots}
            before = size_of_packs(backend)
            prune_all(repository)
            freed = before - size_of_packs(backend)
            assert freed == pytest.approx(forgotten.exclusive.stored, rel=0.05)
            report = analyse(repository)
            assert report.unneeded == NOTHING


def size_of_packs(backend: Backend) -> int:
    return sum(info.size for info in backend.list("packs/"))


def test_some_snapshots_are_compared_with_all(repository: Repository) -> None:
    snapshots = store(
        repository,
        [
            Made("one", {b"a": {b"x": 1, b"y": 2}}),
            Made("two", {b"a": {b"x": 1, b"y": 3}}),
            Made("one", {b"a": {b"x": 1, b"y": 4}}),
            Made("two", {b"a": {b"x": 5}}),
        ],
    )
    everything, some = analyse(repository), analyse(repository, snapshots[1:2])
    assert some.snapshots == everything.snapshots[1:2]
    assert some.hosts == tuple(host for host in everything.hosts if host.host == "two")
    assert some.directories == ()
    assert [night.day for night in some.nights] == [2]
    assert (some.needed, some.whole) == (everything.needed, everything.whole)
    assert [host.host for host in everything.hosts] == ["two", "one"]


def test_hot_directories_are_those_that_change(repository: Repository) -> None:
    nights = [
        Made("one", {b"a": {b"a": 0, b"b": 1, b"c": 2}, b"b": {b"a": night}})
        for night in range(3, 7)
    ]
    snapshots = store(repository, [*nights, Made("two", {b"c": {b"a": 9}})])
    report = analyse(repository)
    top, *rest = report.directories
    assert (top.host, top.path, top.changed, top.snapshots) == ("one", b"/b", 3, 3)
    data = sum(len(content(number)) for number in range(4, 7))
    assert data < top.added.plain < data + 3 * 200
    assert top.stored_per_snapshot == top.added.stored / 3
    assert [each.path for each in rest] in ([], [b"/"])
    added = sum((each.added for each in report.snapshots[1:4]), NOTHING)
    assert sum((each.added for each in report.directories), NOTHING).plain <= added.plain
    assert [(night.day, night.snapshots) for night in report.nights] == [
        (day, 1) for day in range(1, len(snapshots) + 1)
    ]


def test_an_empty_repository(repository: Repository) -> None:
    report = analyse(repository)
    assert (report.snapshots, report.hosts, report.directories, report.nights) == ((), (), (), ())
    assert (report.needed, report.unneeded, report.saved_across_hosts) == (NOTHING,) * 3


def test_damage_is_named_and_the_rest_is_measured(repository: Repository) -> None:
    store(repository, [Made("one", {b"a": {b"x": 1}})])
    (kept,) = store(repository, [Made("one", {b"b": {b"y": 2}})], first_day=2)
    (expected,) = analyse(repository, [kept]).snapshots
    packs = {entry.pack_id: entry for entry in packs_of(repository)}
    index = repository.index
    (root,) = {page for each in repository.snapshots() for page in each.root_pages} - set(
        kept.root_pages
    )
    lost = index.pack(index.require(root).pack).pack_id
    repository.backend.delete(pack_name(lost))
    report = analyse(repository)
    assert report.snapshots[1] == expected
    assert report.snapshots[0].unique == NOTHING
    assert report.missing == 1, "the root; nobody knows what it names"
    assert {(error.kind, error.name) for error in report.problems} >= {("pack", lost)}
    (data,) = [
        pack_id
        for pack_id, entry in packs.items()
        if entry.kind == BlobKind.DATA and sum(entry.lengths) == len(content(2))
    ]
    repository.backend.delete(pack_name(data))
    report = analyse(repository)
    assert report.missing == 2
    assert report.snapshots[1].unique.plain == expected.unique.plain - len(content(2))
