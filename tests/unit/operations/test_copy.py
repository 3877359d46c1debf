"""Copies: what they are equal in, what they transfer, and what of damage and prune they survive."""

from __future__ import annotations

from pathlib import Path

import lmdb
import msgspec
import pytest

from holdfast.backends.base import Backend
from holdfast.backends.memory import MemoryBackend
from holdfast.errors import CommitVoidError, ConfigurationError
from holdfast.format.pack import BlobKind
from holdfast.operations import copy_packs, copy_transfer
from holdfast.operations.content_builder import ContentBuilder
from holdfast.operations.copy_names import NameClaims
from holdfast.operations.copy_types import CopyResult
from holdfast.operations.prune import Outcome
from holdfast.operations.snapshots import tag_snapshots
from holdfast.repository import layout, settling
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.repository.writer import Writer
from support.copying import (
    assert_equal_content,
    copy_all,
    mirror_of,
    other_store,
    secret_of,
)
from support.faults import HookedBackend, bit_flipped, corrupt
from support.pruning import Interrupting, forget, ids_below, prune_all
from support.repos import (
    Tree,
    back_up,
    check_all,
    copy_store,
    new_store,
    open_repository,
    random_files,
    write_tree,
)
from support.sessions import flip, make_snapshot, replace_object

COMMON = random_files(1, [60_000] * 8)
TREES: list[Tree] = [
    {**COMMON, **random_files(10 + n, [700_000, 20, 0]), b"d0/same": b"x" * 100_000}
    for n in range(3)
]


class Pair:
    """A source with three snapshots, and a destination without any."""

    def __init__(self, path: Path, *, mirror: bool) -> None:
        self.path, self.mirror = path, mirror
        self.files = path / "files"
        self.store: MemoryBackend = new_store()
        for tree in TREES:
            self.back_up(tree)
        self.there: MemoryBackend = (
            mirror_of(self.store, path / "cache") if mirror else other_store()
        )

    def back_up(self, tree: Tree, **options: object) -> str:
        write_tree(self.files, tree)
        with self.source() as repository:
            made = back_up(repository, self.files, **options).snapshot
        assert made is not None
        return made

    def source(self, backend: Backend | None = None) -> Repository:
        return open_repository(backend or self.store, self.path / "cache")

    def destination(self, backend: Backend | None = None, cache: str = "cache") -> Repository:
        secret = secret_of(mirror=self.mirror)
        return open_repository(backend or self.there, self.path / cache, secret)

    def copy(self, **options: object) -> CopyResult:
        with self.source() as source, self.destination() as destination:
            return copy_all(source, destination, **options)  # type: ignore[arg-type]

    def assert_complete(self, there: Backend | None = None) -> None:
        """All snapshots of the source are at the destination, once, whole, and nothing is damaged."""
        with self.source() as source, self.destination(there, "fresh") as destination:
            result = check_all(destination)
            assert (result.damage, result.files) == ([], [])
            copies = {one.original: one.id for one in destination.snapshots()}
            assert len(copies) == len(destination.snapshots())
            wanted = {one.id: copies[one.original or one.id] for one in source.snapshots()}
            assert_equal_content(source, destination, list(wanted.items()))


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "PATIENCE_S", 0.0)


@pytest.fixture(params=[False, True], ids=["other keys", "mirror"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    return Pair(tmp_path, mirror=request.param)


@pytest.fixture
def mirrored(tmp_path: Path) -> Pair:
    return Pair(tmp_path, mirror=True)


@pytest.fixture
def rekeyed(tmp_path: Path) -> Pair:
    return Pair(tmp_path, mirror=False)


def blob_ids(repository: Repository) -> set[bytes]:
    repository.load_index()
    return {blob_id for blob_id, _, _ in repository.index.entries()}


# -- what a copy is -----------------------------------------------------------------------------


def test_copies_are_equal_and_complete(pair: Pair) -> None:
    result = pair.copy()
    assert (len(result.copied), result.skipped, result.damaged) == (3, 0, [])
    assert result.mirror == pair.mirror
    pair.assert_complete()


def test_parents_are_mapped(pair: Pair) -> None:
    with pair.source() as source, pair.destination() as destination:
        first, second, third = source.snapshots()
        copy_all(source, destination, [second.id])
        copy_all(source, destination, [first.id])
        copy_all(source, destination)
        found = {one.original: one for one in destination.snapshots()}
    assert second.parent == first.id
    assert found[second.id].parent is None  # its parent was not there yet
    assert found[third.id].parent == found[second.id].id


def test_blob_ids_differ_with_other_keys_and_are_equal_in_a_mirror(pair: Pair) -> None:
    pair.copy()
    with pair.source() as source, pair.destination() as destination:
        there, here = blob_ids(source), blob_ids(destination)
    assert len(here) == len(there)
    assert (here == there) if pair.mirror else here.isdisjoint(there)


def test_what_is_there_is_not_copied_again(pair: Pair) -> None:
    pair.copy()
    before = {info.name for info in pair.there.list("")}
    again = pair.copy()
    assert (again.copied, again.skipped, again.blobs_read, again.packs_copied) == ([], 3, 0, 0)
    assert {info.name for info in pair.there.list("")} == before
    with pair.destination() as destination:
        forget(destination, [destination.snapshots()[0].id])
    assert pair.copy().skipped == 3  # hidden ones count


def test_a_copy_that_comes_back_is_recognised(pair: Pair) -> None:
    pair.copy()
    with pair.source() as source, pair.destination() as destination:
        result = copy_all(destination, source)
        assert (result.copied, result.skipped) == ([], 3)
        tag_snapshots(source, source.snapshots(), add=["x"])
        result = copy_all(source, destination)
        assert (result.copied, result.skipped) == ([], 3)


def test_only_what_is_new_is_transferred(pair: Pair) -> None:
    pair.copy()
    pair.back_up({**TREES[2], b"new": random_files(99, [50_000])[b"d0/f99-0"]})
    result = pair.copy()
    assert len(result.copied) == 1
    assert result.bytes_read + result.pack_bytes_copied < 200_000
    pair.assert_complete()


def test_a_dry_run_changes_nothing(pair: Pair) -> None:
    before = {info.name for info in pair.there.list("")}
    result = pair.copy(dry_run=True)
    assert [one.new_id for one in result.copied] == [None] * 3
    assert result.bytes_read > 2_000_000
    assert {info.name for info in pair.there.list("")} == before
    pair.copy()
    assert pair.copy(dry_run=True).bytes_read == 0


def test_one_repository_is_not_copied_to_itself(pair: Pair) -> None:
    with pair.source() as one, pair.source() as two, pytest.raises(ConfigurationError):
        copy_all(one, two)


def test_nothing_is_written_to_the_source(pair: Pair) -> None:
    class ReadOnly(HookedBackend):
        def perform(self, kind, name, action):  # type: ignore[no-untyped-def]
            assert kind in {"read", "read_range", "list", "size"}
            return action()

    with pair.source(ReadOnly(pair.store)) as source, pair.destination() as destination:
        assert len(copy_all(source, destination).copied) == 3


def odd_snapshot(pair: Pair) -> bytes:
    """Commit a snapshot with unknown fields, a long file and a shared page; return its root."""
    with pair.source() as repository:
        repository.load_view(for_writing=True)
        with Writer(repository, level=1) as writer:
            ids = [writer.add_data(b"%d" % number) for number in range(1500)]
            builder = ContentBuilder(writer.add_ids)
            for one in ids:
                builder.add(one)
            content, depth = builder.finish()
            size = sum(len(b"%d" % number) for number in range(1500))
            values = [1, 0o644, 0, 0, size, 5, 6, 7, 8]
            page = [
                [b"a", *values, b"".join(ids[:2]), None, {"later": [b"field", 1.5]}],
                [b"b", *values, content, [0, 1, 0, b"", [], [], None, depth, "more"], 7],
                [b"c", 2, 0o755, 0, 0, 0, 5, 6, 7, 8, writer.add_page([]), None],
            ]
            root = writer.add_tree(msgspec.msgpack.encode(page))
            writer.commit(make_snapshot(root), None)
            writer.close_journal()
    return root


def test_fields_of_later_versions_and_long_files_survive(pair: Pair) -> None:
    root = odd_snapshot(pair)
    result = pair.copy()
    with pair.source() as source, pair.destination() as destination:
        pairs = [(one.old_id, one.new_id or "") for one in result.copied]
        assert_equal_content(source, destination, pairs)
        new = next(one for one in destination.snapshots() if one.user == "tester")
        destination.load_index()
        source.load_index()
        with BlobReader(destination) as here, BlobReader(source) as there:
            page = msgspec.msgpack.decode(here.read(new.root_pages[0], BlobKind.TREE))
            old = msgspec.msgpack.decode(there.read(root, BlobKind.TREE))  # type: ignore[arg-type]
    for fields, before in zip(page, old, strict=True):
        assert fields[10]
        assert (fields[10] == before[10]) == pair.mirror
        fields[10] = before[10] = b""
    assert page == old


def test_a_long_file_is_cut_into_pages_as_a_backup_would(rekeyed: Pair) -> None:
    """Borders of id pages follow the ids, which are others here."""
    odd_snapshot(rekeyed)
    rekeyed.copy()
    with rekeyed.destination() as destination:
        new = next(one for one in destination.snapshots() if one.user == "tester")
        made: list[bytes] = []
        hash_data, hash_tree = destination.keys.data_hash(), destination.keys.tree_hash()

        def add_ids(ids: bytes) -> bytes:
            made.append(ids)
            return hash_tree(ids)

        builder = ContentBuilder(add_ids)
        for number in range(1500):
            builder.add(hash_data(b"%d" % number))
        content, _ = builder.finish()
        destination.load_index()
        with BlobReader(destination) as reader:
            nodes = reader.read_page(new.root_pages[0])
    assert len(made) > 2
    assert nodes[1].content == content


# -- interruptions ------------------------------------------------------------------------------


class Broken(BaseException):
    """The process ends."""


class BreakingAfter(HookedBackend):
    """Ends the process before the n-th operation of a kind."""

    def __init__(self, inner: Backend, kind: str, prefix: str, number: int) -> None:
        super().__init__(inner)
        self._kind, self._prefix, self._left = kind, prefix, number

    def perform(self, kind, name, action):  # type: ignore[no-untyped-def]
        if kind == self._kind and name.startswith(self._prefix):
            self._left -= 1
            if self._left < 0:
                raise Broken
        return action()


def test_an_interrupted_copy_transfers_only_what_is_missing(pair: Pair) -> None:
    whole = Pair(pair.path / "whole", mirror=pair.mirror).copy()
    broken = BreakingAfter(pair.there, "create", "snapshots/", 1)
    with (
        pytest.raises(Broken),
        pair.source() as source,
        pair.destination(broken) as destination,
    ):
        copy_all(source, destination)
    rest = pair.copy()
    assert (len(rest.copied), rest.skipped) == (2, 1)
    moved = rest.bytes_read + rest.pack_bytes_copied
    assert moved < (whole.bytes_read + whole.pack_bytes_copied) / 2
    pair.assert_complete()


def test_the_map_may_vanish(rekeyed: Pair) -> None:
    rekeyed.copy()
    (path,) = (rekeyed.path / "cache").glob("*/copy-*/lmdb/data.mdb")
    path.write_bytes(b"\0" * 5000)
    rekeyed.back_up({**TREES[0], b"more": b"more"})
    result = rekeyed.copy()
    assert len(result.copied) == 1
    assert result.blobs_read > 5
    rekeyed.assert_complete()


def test_a_map_that_lies_is_not_believed(rekeyed: Pair) -> None:
    """Entries are bound to both ids: exchanged ones count for nothing."""

    rekeyed.copy()
    (path,) = (rekeyed.path / "cache").glob("*/copy-*/lmdb")
    with lmdb.open(str(path), lock=False) as env, env.begin(write=True) as transaction:
        entries = list(transaction.cursor())
        values = [value for _, value in entries]
        for (key, _), value in zip(entries, values[1:] + values[:1], strict=True):
            transaction.put(key, value)
    rekeyed.back_up({**TREES[1], b"more": b"more"})
    rekeyed.copy()
    rekeyed.assert_complete()


def test_memory_stays_flat_by_commits_without_a_snapshot(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_transfer, "CHECKPOINT_BLOBS", 5)
    monkeypatch.setattr(copy_transfer, "_WINDOW", 3)
    monkeypatch.setattr(copy_packs, "_BATCH", 1)
    pair.copy()
    assert len(ids_below(pair.there, layout.SNAPSHOTS)) > 6
    pair.assert_complete()


# -- damage -------------------------------------------------------------------------------------


def test_a_damaged_snapshot_is_reported_and_the_others_are_copied(pair: Pair) -> None:
    """The data that only the second one has is spoilt."""
    with pair.source() as source:
        first, second, third = source.snapshots()
        views = {item.id: item.commit.index_ids for item in source.take_view().commits}
        (index_id,) = views[second.id]  # type: ignore[index]
        entries = source.read_index(index_id)
    entry = next(one for one in entries if one.kind == BlobKind.DATA)
    name = layout.pack_name(entry.pack_id)
    corrupt(pair.store, name, bit_flipped(200_000))
    result = pair.copy()
    assert [one for one, _ in result.damaged] == [second.id]
    assert [one.old_id for one in result.copied] == [first.id, third.id]
    again = pair.copy()
    assert [one for one, _ in again.damaged] == [second.id]
    with pair.source() as source, pair.destination(cache="fresh") as destination:
        pairs = [(one.old_id, one.new_id or "") for one in result.copied]
        assert_equal_content(source, destination, pairs)
        assert check_all(destination).ok
    corrupt(pair.store, name, bit_flipped(200_000))
    assert len(pair.copy().copied) == 1
    pair.assert_complete()


def test_a_damaged_directory_costs_the_snapshots_that_have_it(pair: Pair) -> None:
    with pair.source() as source:
        trees = [
            layout.pack_name(entry.pack_id)
            for index_id in source.take_view().index_ids()
            for entry in source.read_index(index_id)
            if entry.kind == BlobKind.TREE
        ]
    for name in trees:
        data = pair.store.read(name)
        replace_object(pair.store, name, flip(data, 150))
    result = pair.copy()
    assert (len(result.damaged), result.copied) == (3, [])
    with pair.destination() as destination:
        assert destination.snapshots() == []
        assert check_all(destination).ok


# -- others at work -----------------------------------------------------------------------------


def test_the_source_is_pruned_meanwhile(pair: Pair) -> None:
    """What was forgotten goes; the rest has moved to other packs, and is found there."""
    with pair.source() as source:
        first, second, _ = source.snapshots()

    def prune_source() -> None:
        with open_repository(pair.store, pair.path / "pruner") as other:
            forget(other, [first.id, second.id])
            assert prune_all(other, wait_s=0).outcome == Outcome.DONE

    hooked = Interrupting(pair.store, "read_range", layout.PACKS, prune_source, skip=3)
    with pair.source(hooked) as source, pair.destination() as destination:
        result = copy_all(source, destination)
    assert hooked.happened
    assert result.damaged == []
    assert len(result.copied) + result.vanished == 3
    assert result.copied
    pair_ids = {one.old_id for one in result.copied}
    with pair.source() as source, pair.destination(cache="fresh") as destination:
        assert {one.id for one in source.snapshots()} <= pair_ids
        assert check_all(destination).ok
        left = [
            (o.old_id, o.new_id or "")
            for o in result.copied
            if o.old_id == source.snapshots()[0].id
        ]
        assert_equal_content(source, destination, left)


def whole_cycle(pair: Pair) -> None:
    """Another host backs up, forgets that and prunes the destination, waiting for nobody."""
    with pair.destination(cache="pruner") as other:
        made = back_up(other, pair.files, host="other").snapshot
        assert made is not None
        forget(other, [made])
        assert prune_all(other, wait_s=0).outcome == Outcome.DONE


@pytest.mark.parametrize("skip", [0, 1, 2])
def test_the_destination_is_pruned_meanwhile(pair: Pair, skip: int) -> None:
    """The commit is void, and the copy begins again."""

    hooked = Interrupting(
        pair.there, "create", layout.SNAPSHOTS, lambda: whole_cycle(pair), skip=skip
    )
    with pair.source() as source, pair.destination(hooked) as destination:
        assert len(copy_all(source, destination).copied) == 3
    assert hooked.happened
    pair.assert_complete()


def test_two_copies_at_once(pair: Pair) -> None:
    """The second one runs while the first is about to commit: nothing is there twice but packs."""

    def copy_too() -> None:
        with (
            open_repository(pair.store, pair.path / "second") as source,
            pair.destination(cache="second") as destination,
        ):
            assert len(copy_all(source, destination).copied) == 3

    hooked = Interrupting(pair.there, "create", layout.INDEX, copy_too)
    with pair.source() as source, pair.destination(hooked) as destination:
        result = copy_all(source, destination)
    assert (result.copied, result.skipped) == ([], 3)
    pair.assert_complete()


def test_two_copies_that_commit_at_once_leave_two_sound_copies(pair: Pair) -> None:
    def copy_too() -> None:
        with (
            open_repository(pair.store, pair.path / "second") as source,
            pair.destination(cache="second") as destination,
        ):
            copy_all(source, destination)

    hooked = Interrupting(pair.there, "create", layout.SNAPSHOTS, copy_too)
    with pair.source() as source, pair.destination(hooked) as destination:
        copy_all(source, destination)
    with pair.destination(cache="fresh") as destination:
        assert check_all(destination).ok
        origins = [one.original for one in destination.snapshots()]
    with pair.source() as source:
        assert set(origins) == {one.id for one in source.snapshots()}


def test_a_prune_that_is_always_faster_ends_the_copy(rekeyed: Pair) -> None:
    class Pruning(HookedBackend):
        def perform(self, kind, name, action):  # type: ignore[no-untyped-def]
            if kind == "create" and name.startswith(layout.SNAPSHOTS):
                whole_cycle(rekeyed)
            return action()

    with (
        pytest.raises(CommitVoidError),
        rekeyed.source() as source,
        rekeyed.destination(Pruning(rekeyed.there)) as destination,
    ):
        copy_all(source, destination)


# -- mirrors ------------------------------------------------------------------------------------


def test_a_mirror_gets_packs_as_they_are(mirrored: Pair) -> None:
    result = mirrored.copy()
    assert result.packs_copied >= 3
    assert result.blobs_read == 0
    for info in mirrored.there.list(layout.PACKS):
        assert mirrored.there.read(info.name) == mirrored.store.read(info.name)
    with mirrored.source() as source, mirrored.destination() as destination:
        assert source.cache.directory != destination.cache.directory
        assert [one.root for one in source.snapshots()] == [
            one.root for one in destination.snapshots()
        ]


def test_of_a_pack_that_is_hardly_needed_only_the_blobs_come(mirrored: Pair) -> None:
    """The third snapshot has next to nothing of the first one's pack but what is common."""
    third = mirrored.back_up(random_files(1, [60_000]))
    result = mirrored.copy(ids=[third])
    assert len(result.copied) == 1
    assert result.blobs_read > 0
    with mirrored.destination() as destination:
        assert check_all(destination).ok


def late_delete_everything_doomed(pair: Pair, names: set[str]) -> None:
    """A pruner that slept since then deletes what it had read to be doomed."""
    for name in names:
        if any(info.name == name for info in pair.there.list(layout.PACKS)):
            pair.there.delete(name)


def test_a_doomed_pack_never_comes_back_under_its_name(mirrored: Pair) -> None:
    mirrored.copy()
    doomed = {info.name for info in mirrored.there.list(layout.PACKS)}
    with mirrored.destination() as destination:
        forget(destination, [one.id for one in destination.snapshots()])
        assert prune_all(destination, wait_s=0).outcome == Outcome.DONE
        prune_all(destination, wait_s=0)
    assert not list(mirrored.there.list(layout.PACKS))
    result = mirrored.copy()
    assert (len(result.copied), result.packs_copied) == (3, 0)
    assert doomed.isdisjoint(info.name for info in mirrored.there.list(layout.PACKS))
    late_delete_everything_doomed(mirrored, doomed)
    mirrored.assert_complete()


def test_a_pack_that_was_written_here_never_comes_back(mirrored: Pair) -> None:
    """It went to the mirror and was doomed here; then the mirror is copied back."""
    mirrored.copy()
    doomed = {info.name for info in mirrored.store.list(layout.PACKS)}
    with mirrored.source() as source:
        forget(source, [one.id for one in source.snapshots()])
        prune_all(source, wait_s=0)
        prune_all(source, wait_s=0)
    assert not list(mirrored.store.list(layout.PACKS))
    with mirrored.source() as source, mirrored.destination() as destination:
        result = copy_all(destination, source)
        assert (len(result.copied), result.packs_copied) == (3, 0)
        assert doomed.isdisjoint(info.name for info in mirrored.store.list(layout.PACKS))
        assert check_all(source).ok


def test_a_mirror_of_a_mirror_gets_packs_too(mirrored: Pair, tmp_path: Path) -> None:
    mirrored.copy()
    third = mirror_of(mirrored.there, tmp_path / "cache")
    with mirrored.destination() as source, open_repository(third, tmp_path / "cache") as last:
        assert copy_all(source, last).packs_copied >= 3
    # What was written first in the very first repository does not come back to it on this way.
    with mirrored.source() as first:
        forget(first, [one.id for one in first.snapshots()])
        prune_all(first, wait_s=0)
        prune_all(first, wait_s=0)
        with open_repository(third, tmp_path / "cache") as last:
            assert copy_all(last, first).packs_copied == 0
        assert check_all(first).ok


def test_of_two_runs_that_claim_names_at_once_one_gets_them_at_most(mirrored: Pair) -> None:
    with mirrored.source() as source:
        source.load_index()
        packs = [pack_id for _, pack_id in source.index.pack_ids()]
        inner: list[set[str]] = []

        def claim_too() -> None:
            with mirrored.destination(cache="second") as other:
                inner.append(set(NameClaims(source, other, packs, host="b").claim(packs)))

        for kind, skip in (("create", 0), ("list", 1), ("list", 0)):
            inner.clear()
            there = copy_store(mirrored.there)
            mirrored.there, kept = there, mirrored.there
            hooked = Interrupting(there, kind, layout.COPIES, claim_too, skip=skip)
            with mirrored.destination(hooked) as destination:
                outer = NameClaims(source, destination, packs, host="a").claim(packs)
            mirrored.there = kept
            assert hooked.happened
            assert not (set(outer) & inner[0])
            assert len(outer) + len(inner[0]) in (0, len(packs))


def test_a_damaged_list_allows_no_pack(mirrored: Pair) -> None:
    mirrored.there.create(layout.copy_name("a" * 32), b"hfst no list")
    result = mirrored.copy()
    assert (len(result.copied), result.packs_copied) == (3, 0)
    with mirrored.destination() as destination:
        found = check_all(destination)
        assert [one.kind for one in found.damage] == ["copy list"]


def test_a_pack_that_rots_at_the_source_is_not_taken_over(mirrored: Pair) -> None:
    """Its padding is spoilt, so every blob is sound; the copy packs them anew."""
    name = next(info.name for info in mirrored.store.list(layout.PACKS) if info.size > 500_000)
    data = mirrored.store.read(name)
    replace_object(mirrored.store, name, flip(data, -40))
    result = mirrored.copy()
    assert result.blobs_read > 0
    assert result.damaged == []
    assert all(info.name != name for info in mirrored.there.list(layout.PACKS))
    mirrored.assert_complete()


def test_prune_leaves_copy_lists_alone(mirrored: Pair) -> None:
    mirrored.copy()
    lists = ids_below(mirrored.there, layout.COPIES)
    assert lists
    with mirrored.destination() as destination:
        forget(destination, [one.id for one in destination.snapshots()])
        prune_all(destination, wait_s=0)
    assert ids_below(mirrored.there, layout.COPIES) == lists


def test_both_sides_of_a_mirror_may_be_written_to(mirrored: Pair) -> None:
    mirrored.copy()
    write_tree(mirrored.files, {**TREES[0], b"here": random_files(7, [300_000])[b"d0/f7-0"]})
    with mirrored.destination() as destination:
        back_up(destination, mirrored.files, host="other")
    with mirrored.source() as source, mirrored.destination() as destination:
        result = copy_all(destination, source)
        assert (len(result.copied), result.skipped) == (1, 3)
        assert check_all(source).ok
    assert mirrored.copy().copied == []
