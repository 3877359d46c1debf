"""Whatever bytes the storage serves, the engine raises its own errors and says what is affected.

Every object of a small repository is cut off, flipped, emptied, lengthened, removed, swapped,
and forged with a fitting checksum. What can then still be read is compared with what can be
known from the layout of the packs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast.backends.memory import MemoryBackend
from holdfast.clock import SystemClock
from holdfast.crypto.secrets import KeyFile
from holdfast.errors import HoldfastError, IntegrityError, RepositoryError, WrongKeyError
from holdfast.format.node import NodeType
from holdfast.format.pack import PACK_HEADER_LENGTH
from holdfast.fs.source import display
from holdfast.hashing import trailer
from holdfast.operations.check import CheckResult
from holdfast.operations.keys import add_slot, list_slots
from holdfast.operations.restore import RestoreOptions, restore
from holdfast.operations.tree_walk import root_node
from holdfast.progress import NullProgress
from holdfast.repository import layout
from holdfast.repository.reader import BlobReader
from support.faults import Damage, bit_flips, damages
from support.ground_truth import (
    Objects,
    Sound,
    expected_damage,
    expected_files,
    lost_blobs,
)
from support.repos import (
    SECRET,
    Content,
    back_up,
    check_all,
    contents,
    new_store,
    open_repository,
    random_files,
    read_all,
    read_snapshot,
    read_tree_files,
    store_of,
    write_tree,
)

OTHER_SECRET = KeyFile(bytes(range(32, 64)))
OLD_TREE = {
    **random_files(1, [150_000] * 3 + [500_000]),
    **random_files(2, range(1, 3000, 300), folders=4),
}
NEW_TREE = {
    **{path: data for path, data in OLD_TREE.items() if not path.endswith(b"1")},
    **random_files(3, [700_000, 90_000, 90]),
}


# -- what is there ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """A repository with two snapshots and two key slots."""
    work = tmp_path_factory.mktemp("sound")
    source = write_tree(work / "source", OLD_TREE)
    store = new_store()
    with open_repository(store, work / "cache") as repository:
        add_slot(repository, OTHER_SECRET)
        back_up(repository, source)
        write_tree(source, NEW_TREE)
        back_up(repository, source)
        found = Sound(source, contents(store), work / "cache")
        for snapshot, content in read_all(repository):
            found.snapshots.append(snapshot)
            assert content.damaged == {}
            found.trees[snapshot.id] = content.files
        for info in store.list(layout.INDEX):
            found.index[info.name] = repository.read_index(info.name.rpartition("/")[2])
        with BlobReader(repository) as reader:
            pending = [page for snapshot in found.snapshots for page in snapshot.root_pages]
            while pending:
                page = pending.pop()
                found.pages[page] = reader.read_page(page)
                for node in found.pages[page]:
                    if node.type == NodeType.DIRECTORY:
                        pending += node.blob_ids
    assert len(found.named(layout.PACKS)) >= 4
    assert len(found.index) == 2
    return found


# -- looking ------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What a person with this repository and no cache sees."""

    result: CheckResult
    contents: dict[str, Content]
    problems: list[IntegrityError]


def look(objects: Objects, work: Path, secret: KeyFile = SECRET) -> Seen:
    """Open, list, read everything, check everything; only the engine's own errors may come."""
    with open_repository(store_of(objects), work, secret) as repository:
        list_slots(repository)
        found = {snapshot.id: content for snapshot, content in read_all(repository)}
        problems = list(repository.problems)
        return Seen(check_all(repository), found, problems)


def assert_as_expected(sound: Sound, objects: Objects, seen: Seen) -> None:
    """Assert that exactly what is lost is missing, from reading and from the check's report."""
    lost = lost_blobs(sound, objects)
    reported = {(file.snapshot, file.path) for file in seen.result.files}
    expected = set()
    for snapshot in sound.snapshots:
        name = layout.snapshot_name(snapshot.id)
        if objects.get(name) != sound.objects[name]:
            assert snapshot.id not in seen.contents
            continue
        affected = expected_damage(sound, snapshot, lost)
        expected |= {(snapshot.id, display(path)) for path in affected}
        content = seen.contents[snapshot.id]
        assert set(content.damaged) == affected
        assert content.files == expected_files(sound.trees[snapshot.id], affected)
    assert reported == expected


def is_reported(seen: Seen, name: str) -> bool:
    """Tell whether the check names the object."""
    return name.rpartition("/")[2] in damaged_names(seen.result)


def damaged_names(result: CheckResult) -> set[str]:
    return {damage.name.rpartition("/")[2] for damage in result.damage}


def forged(how: Damage) -> Damage:
    """The same damage, with a trailer that fits again."""

    def apply(data: bytes) -> bytes:
        content = how.apply(data)[:-32]
        return content + trailer(content)

    return Damage(f"forged {how}", apply)


def spoilt(sound: Sound, name: str, how: Damage) -> dict[str, bytes]:
    data = how.apply(sound.objects[name])
    assert data != sound.objects[name]
    return {**sound.objects, name: data}


def all_damages(size: int) -> Iterator[Damage]:
    yield from damages(size, flips=12)
    yield from map(forged, bit_flips(size - 32, max(1, size // 8)))


# -- packs, index objects, snapshots --------------------------------------------------------------


@pytest.mark.parametrize("prefix", [layout.PACKS, layout.INDEX, layout.SNAPSHOTS])
def test_damaged_objects(
    sound: Sound, ram_path: Path, prefix: str, record_property: Callable[[str, object], None]
) -> None:
    explored = 0
    for name in sound.named(prefix):
        for how in all_damages(len(sound.objects[name])):
            objects = spoilt(sound, name, how)
            seen = look(objects, ram_path / f"{explored}")
            explored += 1
            assert_as_expected(sound, objects, seen)
            if "forged" not in str(how) or prefix != layout.PACKS or lost_blobs(sound, objects):
                # Not authenticated in a pack: padding, for whoever can forge its checksum.
                assert is_reported(seen, name), (name, how)
                assert not seen.result.ok
    record_property("damages", explored)
    assert explored > 50


@pytest.mark.parametrize("prefix", [layout.PACKS, layout.INDEX, layout.SNAPSHOTS])
def test_lost_objects(sound: Sound, ram_path: Path, prefix: str) -> None:
    for number, name in enumerate(sound.named(prefix)):
        objects = {other: data for other, data in sound.objects.items() if other != name}
        seen = look(objects, ram_path / f"{number}")
        if prefix == layout.SNAPSHOTS:
            continue  # nothing tells that it was ever there; all it brought is readable or not
        assert_as_expected(sound, objects, seen)
        assert is_reported(seen, name)


def test_swapped_objects(sound: Sound, ram_path: Path) -> None:
    """The storage cannot serve one object for another, of its own kind or of another."""
    groups = [sound.named(layout.PACKS), sound.named(layout.INDEX), sound.named(layout.SNAPSHOTS)]
    pairs = [(group[0], group[1]) for group in groups]
    index = groups[1][0]
    elsewhere = next(n for n in groups[0] if sound.pack(n) not in sound.index[index])
    pairs += [(elsewhere, index), (index, groups[2][0]), (groups[2][1], groups[0][1])]
    for number, (one, other) in enumerate(pairs):
        swapped = {one: sound.objects[other], other: sound.objects[one]}
        objects = {**sound.objects, **swapped}
        seen = look(objects, ram_path / f"{number}")
        assert_as_expected(sound, objects, seen)
        assert is_reported(seen, one)
        assert is_reported(seen, other)


def test_objects_of_another_repository(sound: Sound, ram_path: Path) -> None:
    """Not even with the same key file are they taken for ours."""
    other = new_store()
    with open_repository(other, ram_path / "other") as repository:
        back_up(repository, sound.source)
    strangers = contents(other)
    for number, prefix in enumerate((layout.PACKS, layout.INDEX, layout.SNAPSHOTS)):
        name = sound.named(prefix)[0]
        stranger = next(data for key, data in strangers.items() if key.startswith(prefix))
        objects = {**sound.objects, name: stranger}
        seen = look(objects, ram_path / f"{number}")
        assert_as_expected(sound, objects, seen)
        assert is_reported(seen, name)
    mixed = {**sound.objects, **{k: v for k, v in strangers.items() if k.startswith("snap")}}
    seen = look(mixed, ram_path / "mixed")
    assert_as_expected(sound, mixed, seen)
    assert not seen.result.ok


def test_check_does_not_believe_the_cache(sound: Sound, ram_path: Path) -> None:
    """A damaged object is reported even if the cache still has a good copy of it."""
    for prefix in (layout.SNAPSHOTS, layout.INDEX, layout.PACKS):
        for name in sound.named(prefix):
            store = store_of(sound.objects)
            with open_repository(store, ram_path) as repository:
                assert check_all(repository).ok
                assert len(repository.snapshots()) == 2
            store.delete(name)
            store.create(name, sound.objects[name][:-1] + b"?")
            with open_repository(store, ram_path) as repository:
                result = check_all(repository)
            assert name.rpartition("/")[2] in damaged_names(result)


# -- config and key slots -------------------------------------------------------------------------


def test_damaged_config(sound: Sound, ram_path: Path) -> None:
    """Without its config the repository does not open, and says so."""
    for how in all_damages(len(sound.objects["config"])):
        with pytest.raises((IntegrityError, RepositoryError)) as caught:
            look(spoilt(sound, "config", how), ram_path / "cache")
        assert not isinstance(caught.value, WrongKeyError), how


def test_damaged_key_slots(sound: Sound, ram_path: Path) -> None:
    """One slot's damage never locks out another; nobody is told that a good key is wrong."""
    explored = 0
    for name in sound.named(layout.KEYS):
        for how in damages(len(sound.objects[name]), flips=32):
            objects = spoilt(sound, name, how)
            outcomes = [try_to_open(objects, ram_path, key) for key in (SECRET, OTHER_SECRET)]
            opened = [outcome for outcome in outcomes if isinstance(outcome, Seen)]
            refused = [outcome for outcome in outcomes if isinstance(outcome, IntegrityError)]
            assert (len(opened), len(refused)) == (1, 1), (how, outcomes)
            assert is_reported(opened[0], name)
            assert_as_expected(sound, objects, opened[0])
            explored += 1
    assert explored > 50


def test_forged_key_slots(sound: Sound, ram_path: Path) -> None:
    """Parts of a slot are in clear: label and time can be forged, but nothing crashes."""
    name = sound.named(layout.KEYS)[0]
    size = len(sound.objects[name])
    for position in range(size - 32):
        for value in (0x00, 0x7F, 0x80, 0xC0, 0xFF, 0xCF):
            data = bytearray(sound.objects[name])
            data[position] = value
            content = bytes(data[:-32])
            objects = {**sound.objects, name: content + trailer(content)}
            store = store_of(objects)
            for secret in (SECRET, OTHER_SECRET):
                try:
                    with open_repository(store, ram_path / "cache", secret) as repository:
                        list_slots(repository)
                except (IntegrityError, WrongKeyError):
                    pass


def try_to_open(objects: Objects, work: Path, secret: KeyFile) -> Seen | HoldfastError:
    try:
        return look(objects, work / "cache", secret)
    except HoldfastError as error:
        return error


# -- what can still be done -----------------------------------------------------------------------


def test_restore_brings_back_what_is_left(sound: Sound, ram_path: Path) -> None:
    """Damaged files are reported and absent, never silently wrong; all others are exact."""
    for number, name in enumerate(sound.named(layout.PACKS)):
        size = len(sound.objects[name])
        how = list(bit_flips(size, size // 3))[number % 3]
        objects = spoilt(sound, name, how)
        lost = lost_blobs(sound, objects)
        with open_repository(store_of(objects), ram_path / f"{number}") as repository:
            repository.load_view(for_writing=True)
            for snapshot in sound.snapshots:
                affected = expected_damage(sound, snapshot, lost)
                target = ram_path / f"{number}-{snapshot.id}"
                with BlobReader(repository) as reader:
                    result = restore(
                        reader,
                        root_node(snapshot.root),
                        RestoreOptions(target=bytes(target)),
                        hash_data=repository.keys.data_hash(),
                        clock=SystemClock(),
                        progress=NullProgress(),
                    )
                assert result.damaged == len(affected)
                left = expected_files(sound.trees[snapshot.id], affected)
                assert read_tree_files(target) == {path[1:]: data for path, data in left.items()}


@pytest.mark.parametrize("with_cache", [False, True])
@pytest.mark.parametrize("prefix", [layout.PACKS, layout.INDEX])
def test_the_next_backup_heals_what_is_lost(
    sound: Sound, ram_path: Path, prefix: str, with_cache: bool
) -> None:
    """A lost pack or index object costs nothing that the source still has."""
    for number, name in enumerate(sound.named(prefix)):
        work = ram_path / f"{number}"
        store = store_of(sound.objects)
        if with_cache:
            with open_repository(store, work) as repository:
                repository.load_view(for_writing=True)
        store.delete(name)
        assert_healed_by_backup(sound, store, work)


@pytest.mark.parametrize("with_cache", [False, True])
def test_the_next_backup_notices_damaged_trees(
    sound: Sound, ram_path: Path, with_cache: bool
) -> None:
    """It reads the parent's pages, so it does not build upon those that cannot be read."""
    for number, name in enumerate(sound.named(layout.PACKS)):
        if sound.pack(name).kind.name != "TREE":
            continue
        work = ram_path / f"{number}"
        store = store_of(sound.objects)
        if with_cache:
            with open_repository(store, work) as repository:
                repository.load_view(for_writing=True)
        data = bytearray(store.read(name))
        data[PACK_HEADER_LENGTH + 20] ^= 1
        store.delete(name)
        store.create(name, bytes(data))
        assert_healed_by_backup(sound, store, work)


@pytest.mark.parametrize("prefix", [layout.SNAPSHOTS, layout.INDEX])
def test_the_next_backup_does_without_what_is_damaged(
    sound: Sound, ram_path: Path, prefix: str
) -> None:
    for number, name in enumerate(sound.named(prefix)):
        objects = spoilt(sound, name, next(bit_flips(len(sound.objects[name]))))
        assert_healed_by_backup(sound, store_of(objects), ram_path / f"{number}")


def test_a_damaged_pack_is_healed_once_it_is_gone(sound: Sound, ram_path: Path) -> None:
    """A backup does not read old data. Whoever removes a damaged pack lets it be stored again."""
    name = next(n for n in sound.named(layout.PACKS) if sound.pack(n).kind.name == "DATA")
    objects = spoilt(sound, name, next(bit_flips(len(sound.objects[name]))))
    store = store_of(objects)
    with open_repository(store, ram_path) as repository:
        assert not check_all(repository).ok
    store.delete(name)
    assert_healed_by_backup(sound, store, ram_path)


def test_a_second_copy_is_used(sound: Sound, ram_path: Path) -> None:
    """Of a blob in several packs one sound copy is enough, wherever it is."""
    for number, name in enumerate(sound.named(layout.PACKS)):
        store = store_of(sound.objects)
        store.delete(name)
        with open_repository(store, ram_path / f"{number}") as repository:
            last = back_up(repository, sound.source, force=True).snapshot
        data = bytearray(sound.objects[name])
        data[PACK_HEADER_LENGTH : len(data) // 2] = bytes(len(data) // 2 - PACK_HEADER_LENGTH)
        store.create(name, bytes(data))
        seen = look(contents(store), ram_path / f"{number}-none")
        assert is_reported(seen, name)
        assert last not in {file.snapshot for file in seen.result.files}
        assert seen.contents[str(last)].damaged == {}
        assert seen.contents[str(last)].below(sound.source) == NEW_TREE


def assert_healed_by_backup(sound: Sound, store: MemoryBackend, work: Path) -> None:
    """Back up the present tree: that snapshot is whole, for a reader without cache too."""
    with open_repository(store, work) as repository:
        made = back_up(repository, sound.source)
    for cache in (work, work / "none"):
        with open_repository(store, cache) as repository:
            snapshots = {snapshot.id: snapshot for snapshot in repository.snapshots()}
            assert made.snapshot is not None
            content = read_snapshot(repository, snapshots[made.snapshot])
            assert content.damaged == {}
            assert content.below(sound.source) == NEW_TREE
            result = check_all(repository)
        assert made.snapshot not in {file.snapshot for file in result.files}
