"""Diffs of a snapshot and a local directory: what is believed, read, left out, renamed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.errors import ConfigurationError, IntegrityError
from holdfast.findings import Finding
from holdfast.format.node import Node
from holdfast.operations.diff import (
    ChangeKind,
    DiffOptions,
    Field,
    LocalOptions,
    diff_directory,
)
from holdfast.operations.diff_local import LocalTree
from holdfast.policy.filters import ExcludeFilter
from support.trees import DictSource, hash_data, snapshot_tree

ADDED, REMOVED, RENAMED = ChangeKind.ADDED, ChangeKind.REMOVED, ChangeKind.RENAMED
MODIFIED, METADATA = ChangeKind.MODIFIED, ChangeKind.METADATA
DEFAULTS = DiffOptions()
TIME = (1_600_000_000_000_000_000, 1_600_000_000_000_000_000)


class Folder:
    """A directory, a snapshot of it, and what a diff says since."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.raw = os.fsencode(path)
        self.source = DictSource(chunk_size=1000, page_length=3)
        self.node: Node | None = None
        self.findings: list[Finding] = []
        self.damaged: list[bytes] = []

    def write(self, name: str, data: bytes, *, again: bool = False) -> Path:
        """Write a file and give it the time that all have."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if not again:
            os.utime(path, ns=TIME)
        return path

    def save(self) -> None:
        self.node = snapshot_tree(self.source, self.raw, b"folder")

    def diff(
        self, options: DiffOptions = DEFAULTS, **local: object
    ) -> list[tuple[ChangeKind, str]]:
        """Return kinds and paths below the folder; a renamed one with where it was."""
        found = []
        base = len(self.raw) + 1
        values: dict[str, object] = {"directory": self.raw, "hash_data": hash_data, **local}
        for change in diff_directory(
            self.source,
            self.node,
            LocalOptions(**values),  # type: ignore[arg-type]
            options,
            path=self.raw,
            on_damage=lambda path, _: self.damaged.append(path),
            on_finding=self.findings.append,
        ):
            name = os.fsdecode(change.path[base:])
            if change.kind == RENAMED and change.old_path is not None:
                name = os.fsdecode(change.old_path[base:]) + " " + name
            found.append((change.kind, name))
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "folder")
    made.write("a", b"alpha" * 1000)
    made.write("d/b", b"beta" * 1000)
    made.write("d/e/c", b"gamma")
    os.symlink("a", made.path / "link")
    made.save()
    return made


def test_nothing_has_happened(folder: Folder) -> None:
    assert folder.diff() == folder.diff(content=True) == []
    assert folder.source.fetched == []


def test_size_and_time_are_believed_unless_content_is_asked_for(folder: Folder) -> None:
    folder.write("a", b"other" * 1000)
    assert folder.diff() == []
    assert folder.diff(content=True) == [(MODIFIED, "a")]


def test_another_time_of_the_same_size_is_looked_into(folder: Folder) -> None:
    folder.write("a", b"alpha" * 1000, again=True)
    folder.write("d/b", b"BETA" * 1000, again=True)
    assert folder.diff() == [(METADATA, "a"), (MODIFIED, "d/b")]


def test_every_kind(folder: Folder) -> None:
    folder.path.joinpath("a").unlink()
    folder.path.joinpath("a").mkdir()
    folder.write("a/inner", b"new")
    folder.path.joinpath("d/b").chmod(0o600)
    folder.path.joinpath("d/e/c").unlink()
    folder.path.joinpath("link").unlink()
    os.symlink("b", folder.path / "link")
    assert folder.diff() == [
        (ChangeKind.TYPE, "a"),
        (ADDED, "a/inner"),
        (METADATA, "d/b"),
        (REMOVED, "d/e/c"),
        (MODIFIED, "link"),
    ]


def test_attributes(folder: Folder) -> None:
    try:
        os.setxattr(folder.path / "a", "user.note", b"x")
    except OSError:
        pytest.skip("the file system of temporary files has no extended attributes")
    (change,) = diff_directory(
        folder.source,
        folder.node,
        LocalOptions(directory=folder.raw, hash_data=hash_data),
        path=folder.raw,
        on_finding=folder.findings.append,
    )
    assert change.fields == {Field.XATTRS}


@pytest.mark.parametrize("content", [False, True])
def test_a_renamed_file(folder: Folder, content: bool) -> None:
    os.rename(folder.path / "a", folder.path / "d" / "z")
    assert folder.diff(content=content) == [(RENAMED, "a d/z")]


def test_a_copy_of_another_time_is_renamed_only_if_every_file_is_read(folder: Folder) -> None:
    folder.path.joinpath("d/b").unlink()
    folder.write("other", b"Beta" * 1000)
    folder.write("copy", b"beta" * 1000, again=True)
    assert folder.diff(content=True) == [(RENAMED, "d/b copy"), (ADDED, "other")]
    assert folder.diff() == [(ADDED, "copy"), (REMOVED, "d/b"), (ADDED, "other")]


@pytest.mark.parametrize("content", [False, True])
def test_a_renamed_directory(folder: Folder, content: bool) -> None:
    os.rename(folder.path / "d", folder.path / "new")
    assert folder.diff(content=content) == [(RENAMED, "d new")]
    folder.write("new/more", b"x")
    assert folder.diff(content=content) == [
        (REMOVED, "d"),
        (ADDED, "new"),
        (RENAMED, "d/b new/b"),
        (RENAMED, "d/e new/e"),
        (ADDED, "new/more"),
    ]


def test_holes_are_compared_as_zeros(folder: Folder) -> None:
    path = folder.path / "sparse"
    with path.open("wb") as file:
        file.write(b"begin")
        file.truncate(1 << 20)
        file.seek((1 << 20) - 3)
        file.write(b"end")
    os.utime(path, ns=TIME)
    folder.save()
    assert folder.diff(content=True) == []
    data = path.read_bytes()
    folder.write("sparse", data)
    assert folder.diff(content=True) == []
    folder.write("sparse", data[:500_000] + b"x" + data[500_001:])
    assert folder.diff(content=True) == [(MODIFIED, "sparse")]


def test_what_a_backup_leaves_out_is_not_new(folder: Folder) -> None:
    folder.write("x.tmp", b"1")
    folder.write("cache/deep/file", b"1")
    folder.write("kept", b"1")
    options = DiffOptions(not_added=ExcludeFilter(["*.tmp", "cache"]))
    assert folder.diff(options) == [(ADDED, "kept")]
    os.rename(folder.path / "a", folder.path / "a.tmp")
    assert folder.diff(options) == [(REMOVED, "a"), (ADDED, "kept")]


def test_beside_the_sources_nothing_is_looked_at(tmp_path: Path) -> None:
    above = Folder(tmp_path / "above")
    above.write("x/saved/f", b"1")
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", above.path / "linked")
    above.write("linked/saved/g", b"2")
    above.save()
    saved = [above.raw + b"/x/saved", above.raw + b"/linked/saved"]
    above.write("x/not-saved", b"1")
    above.write("other/not-saved", b"1")
    above.write("x/saved/new", b"1")
    found = above.diff(sources=saved)
    # The tree was read with the link as a link; a backup of what is behind it has a directory.
    assert found == [
        (ChangeKind.TYPE, "linked"),
        (ADDED, "linked/saved"),
        (ADDED, "linked/saved/g"),
        (ADDED, "x/saved/new"),
    ]
    assert (ADDED, "other") in above.diff()


@pytest.mark.skipif(not os.path.ismount("/proc"), reason="nothing is mounted on /proc")
@pytest.mark.parametrize("stays", [False, True])
def test_other_file_systems(stays: bool) -> None:
    options = LocalOptions(directory=b"/", hash_data=hash_data, one_file_system=stays)
    tree = LocalTree(options, base=b"/")
    root = tree.root(None)
    (proc,) = (node for node in tree.entries(root, b"", ()) if node and node.name == b"proc")
    assert any(tree.entries(proc, b"/proc", ())) is not stays


def test_a_directory_in_another_place(folder: Folder, tmp_path: Path) -> None:
    os.rename(folder.path, tmp_path / "moved")
    found = list(
        diff_directory(
            folder.source,
            folder.node,
            LocalOptions(directory=os.fsencode(tmp_path / "moved"), hash_data=hash_data),
            path=folder.raw,
            on_finding=folder.findings.append,
        )
    )
    assert found == []


def test_one_directory_by_itself(folder: Folder) -> None:
    folder.write("d/e/new", b"1")
    assert folder.diff(DiffOptions(recursive=False)) == [(MODIFIED, "d")]


def test_a_single_file(folder: Folder) -> None:
    folder.write("a", b"changed")
    node = snapshot_tree(folder.source, folder.raw + b"/d/b", b"b")
    local = LocalOptions(directory=folder.raw + b"/a", hash_data=hash_data)
    (change,) = diff_directory(
        folder.source, node, local, path=b"/b", on_finding=folder.findings.append
    )
    assert (change.kind, change.old_path, change.new_path) == (MODIFIED, b"/b", folder.raw + b"/a")


def test_what_is_not_there(folder: Folder) -> None:
    local = LocalOptions(directory=folder.raw + b"/none", hash_data=hash_data)
    with pytest.raises(ConfigurationError, match="no such file"):
        list(diff_directory(folder.source, folder.node, local, on_finding=folder.findings.append))


@pytest.fixture
def nobody() -> Iterator[None]:
    """Give up the right to read everything, where the tests have it."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.fixture
def closed(folder: Folder) -> Folder:
    """A folder of which a file and a directory may not be read by anybody else."""
    for path in (folder.path, *folder.path.parents):
        if path.stat().st_uid == os.geteuid() and path != Path("/"):
            path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o755)
    folder.write("a", b"ALPHA" * 1000, again=True).chmod(0)
    folder.path.joinpath("d").chmod(0)
    folder.save()
    os.utime(folder.path / "a")
    return folder


def test_what_cannot_be_read_is_told_and_not_called_changed(closed: Folder, nobody: None) -> None:
    assert closed.diff() == []
    assert [(os.path.basename(found.path), found.problem) for found in closed.findings] == [
        ("a", "permission denied"),
        ("d", "permission denied"),
    ]
    closed.findings.clear()
    assert closed.diff(DiffOptions(recursive=False)) == [(MODIFIED, "d")]


def test_damage_of_the_snapshot(folder: Folder) -> None:
    assert folder.node is not None
    folder.source.damaged.add(folder.node.blob_ids[0])
    folder.write("new", b"1")
    assert folder.diff() == []
    assert folder.damaged == [folder.raw]
    local = LocalOptions(directory=folder.raw, hash_data=hash_data)
    with pytest.raises(IntegrityError):
        list(diff_directory(folder.source, folder.node, local, on_finding=folder.findings.append))


def test_ids_that_cannot_be_read(folder: Folder) -> None:
    folder.source.blobs.clear()
    folder.write("a", b"alpha" * 1000, again=True)
    assert folder.diff() == []
    assert folder.damaged == [folder.raw + b"/a"]
