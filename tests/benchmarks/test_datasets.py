"""Data sets: seeded, cached by their manifest, and different from night to night."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import datasets
from data_set import DataSet
from datasets import KINDS, Kind, prepare, register
from manifest import extent_of
from postgres_server import find_binaries

SCALE = 0.003


def kind(name: str) -> Kind:
    return next(one for one in KINDS if one.name == name)


def content(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", ["small-files", "media", "image"])
def test_seeds_give_the_same_nights_everywhere(tmp_path: Path, name: str) -> None:
    if name == "image" and shutil.which("mke2fs") is None:
        pytest.skip("needs mke2fs and debugfs")
    first = prepare(kind(name), tmp_path / "a", scale=SCALE, nights=2)
    second = prepare(kind(name), tmp_path / "b", scale=SCALE, nights=2)
    assert first.extents == second.extents
    assert first.extents[0] != first.extents[1]


def test_a_changed_file_leaves_the_night_before_alone(tmp_path: Path) -> None:
    """Nights share files by hard links: whoever writes into one changes both."""
    made = prepare(kind("small-files"), tmp_path, scale=SCALE, nights=2)
    before, after = (content(night) for night in made.nights)
    shared = before.keys() & after.keys()
    assert 0 < sum(before[name] != after[name] for name in shared) < len(shared) // 10
    assert before.keys() - after.keys()
    assert after.keys() - before.keys()


def test_media_are_renamed_and_get_new_headers(tmp_path: Path) -> None:
    made = prepare(kind("media"), tmp_path, scale=SCALE, nights=2)
    before, after = (content(night) for night in made.nights)
    renamed = [name for name in after.keys() - before.keys() if after[name] in before.values()]
    assert renamed
    changed = [name for name in before.keys() & after.keys() if before[name] != after[name]]
    assert changed
    assert all(before[name][-1000:] == after[name][-1000:] for name in changed)


@pytest.mark.skipif(find_binaries() is None, reason="needs a PostgreSQL server")
def test_a_database_changes_a_little_from_night_to_night(tmp_path: Path) -> None:
    made = prepare(kind("dumps"), tmp_path, scale=SCALE, nights=2)
    before, after = ((night / "shop.sql").read_text().splitlines() for night in made.nights)
    assert any(line.startswith("COPY public.orders") for line in before)
    common = len(set(before) & set(after))
    assert 0.9 * len(before) < common < len(before)


def test_a_set_is_used_again_unless_it_was_made_otherwise(tmp_path: Path) -> None:
    def mark(made: DataSet) -> None:
        (made.nights[0] / "mark").touch()

    small = kind("small-files")
    mark(prepare(small, tmp_path / "a", scale=SCALE, nights=1))
    (tmp_path / "a").rename(tmp_path / "b")
    again = prepare(small, tmp_path / "b", scale=SCALE, nights=1)
    assert (again.nights[0] / "mark").exists()
    other = prepare(small, tmp_path / "b", scale=SCALE, nights=2)
    assert not (other.nights[0] / "mark").exists()


def test_a_set_that_was_not_finished_is_made_anew(tmp_path: Path) -> None:
    half = tmp_path / "small-files" / "night-1"
    half.mkdir(parents=True)
    (half / "left over").touch()
    made = prepare(kind("small-files"), tmp_path, scale=SCALE, nights=1)
    assert not (half / "left over").exists()
    assert made.extents[0] == extent_of(half)


def test_given_directories_are_not_copied(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "a").write_bytes(b"12345")
    made = register(kind("kernel"), tmp_path / "data", [given])
    assert made.nights == (given,)
    assert made.told.endswith("(given)")
    assert (made.extents[0].files, made.extents[0].size) == (1, 5)


def test_an_unknown_set_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["datasets.py", str(tmp_path), "--sets", "nonsense"])
    assert datasets.main() == 2
    assert "no such data set: nonsense" in capsys.readouterr().err


class TestExtent:
    def test_tells_names_links_and_content_apart(self, tmp_path: Path) -> None:
        seen = set()
        for number, (name, body) in enumerate([("a", b"x"), ("b", b"x"), ("a", b"y"), ("ab", b"")]):
            root = tmp_path / str(number)
            root.mkdir()
            (root / name).write_bytes(body)
            seen.add(extent_of(root).blake3)
        root = tmp_path / "link"
        root.mkdir()
        (root / "a").symlink_to("x")
        seen.add(extent_of(root).blake3)
        assert len(seen) == 5

    def test_does_not_depend_on_times_or_the_place(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / name / "sub").mkdir(parents=True)
            (tmp_path / name / "sub" / "file").write_bytes(b"same")
        assert extent_of(tmp_path / "one") == extent_of(tmp_path / "two")
