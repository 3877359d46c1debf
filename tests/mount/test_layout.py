"""The directories above snapshots, as a program sees them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.operations import backup_session
from support.mounting import MountProcess, Store
from support.repos import write_tree

SECOND = 10**9
AT = 1_700_000_000 * SECOND
TIME = "2023-11-14T22-13-%02d"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("layout")
    for name in ("home", "etc"):
        (root / name).mkdir()
        (root / name / "file").write_text(name)
    return root


@pytest.fixture(scope="module")
def store(root: Path) -> Store:
    store = Store(root)
    home, etc = root / "home", root / "etc"
    store.back_up(home, time_ns=AT, host="pc", tags=("nightly",))
    store.back_up(etc, time_ns=AT + SECOND, host="server", tags=("nightly", "a/b"))
    for number in range(3):  # of one second
        store.back_up(home, time_ns=AT + 2 * SECOND + number, host="pc")
    store.back_up(home, etc, time_ns=AT + 3 * SECOND, host="a/../host")
    return store


@pytest.fixture(scope="module")
def mounted(store: Store) -> Iterator[MountProcess]:
    with store.mount() as mounted:
        yield mounted


def listed(path: Path) -> dict[str, str]:
    """Name -> target of everything in a directory of links."""
    return {name: os.readlink(path / name) for name in sorted(os.listdir(path))}


ALL = [TIME % 20, TIME % 21, TIME % 22, f"{TIME % 22}-2", f"{TIME % 22}-3", TIME % 23]


def test_snapshots_by_time(mounted: MountProcess, root: Path) -> None:
    assert sorted(os.listdir(mounted.snapshots)) == ALL
    assert os.readlink(mounted.mountpoint / "latest") == f"snapshots/{TIME % 23}"
    for number, name in enumerate(ALL):
        status = (mounted.snapshots / name).stat()
        assert status.st_mtime_ns // SECOND == AT // SECOND + [0, 1, 2, 2, 2, 3][number]
    assert (mounted.at(root / "etc/file")).read_text() == "etc"


def test_hosts_and_tags(mounted: MountProcess) -> None:
    hosts, tags = mounted.mountpoint / "hosts", mounted.mountpoint / "tags"
    assert sorted(os.listdir(hosts)) == ["a_.._host", "pc", "server"]
    assert listed(hosts / "server") == {
        "latest": f"../../snapshots/{TIME % 21}",
        TIME % 21: f"../../snapshots/{TIME % 21}",
    }
    assert listed(hosts / "pc")["latest"] == f"../../snapshots/{TIME % 22}-3"
    assert sorted(os.listdir(tags)) == ["a_b", "nightly"]
    assert len(listed(tags / "nightly")) == 3
    assert (tags / "a_b" / "latest").is_dir()


def test_paths_lead_into_the_snapshot(mounted: MountProcess, root: Path) -> None:
    path = mounted.mountpoint / "paths" / str(root)[1:]
    assert sorted(os.listdir(path)) == ["etc", "home"]
    assert (path / "home/latest/file").read_text() == "home"
    assert sorted(os.listdir(path / "etc")) == [TIME % 21, TIME % 23, "latest"]
    assert all((path / "home" / name / "file").read_text() == "home"
               for name in os.listdir(path / "home"))  # fmt: skip


def test_ids(mounted: MountProcess, store: Store) -> None:
    with store.open() as repository:
        ids = {snapshot.id[:12] for snapshot in repository.snapshots()}
    assert set(os.listdir(mounted.mountpoint / "ids")) == ids
    assert all((mounted.mountpoint / "ids" / one).is_dir() for one in ids)


def test_what_is_not_there(mounted: MountProcess) -> None:
    for name in ("nothing", "snapshots/nothing", "latest/nothing", "hosts/pc/nothing", "\udcff"):
        assert not (mounted.mountpoint / name).exists()
    with pytest.raises(NotADirectoryError):
        os.listdir(mounted.at("/") / str(mounted.mountpoint.parent / "home" / "file")[1:])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--host", "server"], [TIME % 21]),
        (["--tag", "nightly"], [TIME % 20, TIME % 21]),
        (["--path", "etc"], [TIME % 21, TIME % 23]),
        (["--host", "nobody"], []),
    ],
)
def test_filters(store: Store, root: Path, words: list[str], expected: list[str]) -> None:
    words = [str(root / word) if word == "etc" else word for word in words]
    with store.mount(*words, name="filtered") as mounted:
        assert sorted(os.listdir(mounted.snapshots)) == expected
        assert len(os.listdir(mounted.mountpoint / "ids")) == len(expected)
        assert os.path.lexists(mounted.mountpoint / "latest") == bool(expected)


def test_an_empty_repository(tmp_path: Path) -> None:
    with Store(tmp_path).mount() as mounted:
        assert sorted(os.listdir(mounted.mountpoint)) == [
            "hosts", "ids", "paths", "snapshots", "tags",
        ]  # fmt: skip
        assert os.listdir(mounted.snapshots) == []


def test_a_partial_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup that was interrupted shows what it had, but `latest` is complete."""
    store = Store(tmp_path)
    source = write_tree(
        tmp_path / "s", {b"%04d" % number: b"%d" % number for number in range(1500)}, old=False
    )
    complete = tmp_path / "complete"
    complete.mkdir()
    store.back_up(complete, time_ns=AT)
    monkeypatch.setattr(backup_session, "CHECKPOINT_BLOBS", 100)
    monkeypatch.setattr(backup_session, "CHECKPOINT_S", 0)
    monkeypatch.setattr(backup_session.BackupSession, "finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.back_up(source, time_ns=AT + SECOND)
    with store.mount() as mounted:
        assert sorted(os.listdir(mounted.snapshots)) == [TIME % 20, f"{TIME % 21}-partial"]
        assert os.readlink(mounted.mountpoint / "latest") == f"snapshots/{TIME % 20}"
        found = mounted.at(source, f"snapshots/{TIME % 21}-partial")
        names = os.listdir(found)
        assert 0 < len(names) <= 1500
        assert (found / names[0]).read_bytes() == b"%d" % int(names[0])


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt
