"""Check: a sound repository is found sound, and each damage is named with what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.backends.base import Backend
from holdfast.format.pack import BlobKind
from holdfast.ids import ObjectId
from holdfast.operations.check import CheckOptions, CheckResult, check
from holdfast.policy.subset import ALL_DATA, DataSubset
from holdfast.repository.layout import pack_name
from holdfast.repository.repository import Repository
from support.sessions import (
    backup,
    create,
    flip,
    names_in,
    open_repository,
    packs_of,
    random_bytes,
    replace_object,
)

READ = CheckOptions(read_data=ALL_DATA)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    for number in range(60):
        path = directory / f"d{number % 3}" / f"f{number:02}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random_bytes(60_000, number))
    return directory


@pytest.fixture
def backend() -> Backend:
    return create()


@pytest.fixture
def repository(backend: Backend, source: Path, tmp_path: Path) -> Iterator[Repository]:
    """A repository with a backup, opened."""
    with open_repository(backend, tmp_path / "cache") as opened:
        backup(opened, source)
        yield opened


def pack_of(repository: Repository, kind: BlobKind) -> ObjectId:
    return next(entry.pack_id for entry in packs_of(repository) if entry.kind == kind)


def change_pack(repository: Repository, kind: BlobKind, change: Callable[[bytes], bytes]) -> str:
    pack_id = pack_of(repository, kind)
    name = pack_name(pack_id)
    replace_object(repository.backend, name, change(repository.backend.read(name)))
    return pack_id


def fresh_check(
    backend: Backend, tmp_path: Path, options: CheckOptions | None = None
) -> CheckResult:
    with open_repository(backend, tmp_path / "fresh") as repository:
        return check(repository, options)


def paths(result: CheckResult, source: Path) -> set[str]:
    return {str(Path(found.path).relative_to(source)) for found in result.files}


def test_a_sound_repository(repository: Repository, source: Path) -> None:
    backup(repository, source)
    structure, data = check(repository), check(repository, READ)
    for result in (structure, data):
        assert result.ok
        assert (result.snapshots, result.index_objects, result.unused_packs) == (2, 1, 0)
        assert result.packs == len(names_in(repository.backend, "packs/"))
        assert result.blobs == sum(len(entry.lengths) for entry in packs_of(repository))
    assert (structure.packs_read, structure.bytes_read) == (0, 0)
    assert data.packs_read == data.packs
    assert data.bytes_read == sum(info.size for info in repository.backend.list("packs/"))


def test_an_empty_repository(backend: Backend, tmp_path: Path) -> None:
    result = fresh_check(backend, tmp_path, READ)
    assert result.ok
    assert (result.snapshots, result.packs) == (0, 0)


def test_packs_that_nobody_lists_are_counted_and_no_damage(repository: Repository) -> None:
    repository.backend.create("packs/ab/" + "ab" * 16, b"left by an interrupted run")
    result = check(repository)
    assert result.ok
    assert result.unused_packs == 1


@pytest.mark.parametrize("options", [CheckOptions(), READ], ids=["structure", "data"])
def test_a_missing_pack(options: CheckOptions, repository: Repository, source: Path) -> None:
    lost = next(entry for entry in packs_of(repository) if entry.kind == BlobKind.DATA)
    repository.backend.delete(pack_name(lost.pack_id))
    result = check(repository, options)
    assert not result.ok
    assert [(d.kind, d.name) for d in result.damage] == [("pack", lost.pack_id)]
    assert "missing" in result.damage[0].problem
    # Each file has its own blobs here: those of the lost pack are the files that are lost.
    assert len(paths(result, source)) >= 10
    assert len(paths(result, source)) < 60


def test_a_missing_pack_of_trees(repository: Repository, source: Path) -> None:
    lost = pack_of(repository, BlobKind.TREE)
    repository.backend.delete(pack_name(lost))
    result = check(repository)
    assert [d.name for d in result.damage] == [lost]
    assert [found.path for found in result.files] == ["/"]
    assert "directory" in result.files[0].problem


def test_a_pack_that_was_cut_off(repository: Repository) -> None:
    pack_id = change_pack(repository, BlobKind.DATA, lambda data: data[:-5])
    result = check(repository)
    assert [(d.kind, d.name) for d in result.damage] == [("pack", pack_id)]
    assert "bytes instead of" in result.damage[0].problem
    assert any(d.name == pack_id for d in check(repository, READ).damage)


def test_a_pack_with_more_behind_its_end(repository: Repository) -> None:
    pack_id = change_pack(repository, BlobKind.DATA, lambda data: data + b"\0")
    assert [d.name for d in check(repository).damage] == [pack_id]
    assert {d.name for d in check(repository, READ).damage} == {pack_id}


def test_a_flipped_byte_of_data_names_pack_and_files(
    repository: Repository, source: Path, tmp_path: Path
) -> None:
    pack_id = change_pack(repository, BlobKind.DATA, lambda data: flip(data, 144 + 70_000))
    assert check(repository).ok, "structure alone cannot see it"
    result = fresh_check(repository.backend, tmp_path, READ)
    assert {(d.kind, d.name) for d in result.damage} == {("pack", pack_id)}
    # One slice of 64 KiB: it holds parts of two or three files of 60 kB.
    assert 2 <= len(paths(result, source)) <= 3
    (snapshot,) = repository.snapshots()
    assert {found.snapshot for found in result.files} == {snapshot.id}
    assert all(pack_id in found.problem for found in result.files)


@pytest.mark.parametrize("at", [0, 5, 30, 60, 143, -1, -33, -60, -61, -70])
def test_a_flipped_byte_elsewhere_in_a_pack_names_the_pack(
    at: int, repository: Repository, tmp_path: Path
) -> None:
    """Header, directory, padding, footer and trailer: no file is lost, but it is not sound."""
    pack_id = change_pack(repository, BlobKind.DATA, lambda data: flip(data, at))
    result = fresh_check(repository.backend, tmp_path, READ)
    assert {d.name for d in result.damage} == {pack_id}
    assert result.files == []


def test_a_flipped_byte_of_a_tree_names_the_directory(
    repository: Repository, tmp_path: Path
) -> None:
    pack_id = change_pack(repository, BlobKind.TREE, lambda data: flip(data, 200))
    for options in (None, READ):
        result = fresh_check(repository.backend, tmp_path, options)
        assert not result.ok
        assert result.files
        assert "directory" in result.files[0].problem
    assert pack_id in {d.name for d in result.damage}


@pytest.mark.parametrize("prefix", ["index/", "snapshots/", "keys/"])
@pytest.mark.parametrize("change", ["flipped", "cut off", "empty"])
def test_a_damaged_object_is_named(
    prefix: str, change: str, repository: Repository, tmp_path: Path
) -> None:
    name = names_in(repository.backend, prefix)[-1]
    data = repository.backend.read(name)
    changed = {"flipped": flip(data, len(data) // 2), "cut off": data[:-1], "empty": b""}[change]
    replace_object(repository.backend, name, changed)
    result = check(repository)
    assert len(result.damage) == 1
    assert name.endswith(result.damage[0].name)
    assert bool(result.files) == (prefix == "index/")


def test_a_missing_index_object(repository: Repository, tmp_path: Path) -> None:
    (name,) = names_in(repository.backend, "index/")
    repository.backend.delete(name)
    result = check(repository)
    assert "missing" in result.damage[0].problem
    assert [found.path for found in result.files] == ["/"]


def test_damage_that_costs_nothing_of_one_snapshot_is_not_laid_to_it(
    repository: Repository, source: Path, tmp_path: Path
) -> None:
    (first,) = repository.snapshots()
    for path in (source / "d0").iterdir():
        path.unlink()
    (source / "d0" / "new").write_bytes(random_bytes(50_000, 999))
    known = {entry.pack_id for entry in packs_of(repository)}
    backup(repository, source)
    (added,) = [
        entry
        for entry in packs_of(repository)
        if entry.kind == BlobKind.DATA and entry.pack_id not in known
    ]
    repository.backend.delete(pack_name(added.pack_id))
    result = check(repository)
    assert paths(result, source) == {"d0/new"}
    assert first.id not in {found.snapshot for found in result.files}


def test_subsets_read_what_they_say(repository: Repository) -> None:
    packs = len(names_in(repository.backend, "packs/"))
    assert packs >= 4
    parts = [
        check(repository, CheckOptions(read_data=DataSubset(part=part, parts=3))).packs_read
        for part in (1, 2, 3)
    ]
    assert sum(parts) == packs
    some = CheckOptions(read_data=DataSubset(share=0.5), random_seed=1)
    assert check(repository, some).packs_read == round(packs * 0.5)
    little = check(repository, CheckOptions(read_data=DataSubset(size=1)))
    assert little.packs_read == 1


def test_a_check_believes_nothing_cached(repository: Repository, tmp_path: Path) -> None:
    assert check(repository).ok
    (name,) = names_in(repository.backend, "snapshots/")
    replace_object(repository.backend, name, flip(repository.backend.read(name), 100))
    assert [d.kind for d in check(repository).damage] == ["snapshot"]
