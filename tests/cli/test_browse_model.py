"""The browser's model: text for a screen, order, series of snapshots, marks, previews, folders."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from holdfast.format.node import Node, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.operations.restore import Overwrite
from holdfast.policy.selection import SnapshotFilter
from holdfast_cli.browse import folder as folder_module
from holdfast_cli.browse.entries import (
    Entry,
    NameFilter,
    Order,
    Sign,
    compare_nodes,
    parent_of,
    sort_entries,
)
from holdfast_cli.browse.folder import Listing, read_folder
from holdfast_cli.browse.library import Head, Library
from holdfast_cli.browse.marks import ExactPaths, Marks, plan_restore
from holdfast_cli.browse.preview import compare_lines, content_lines, describe_snapshot
from holdfast_cli.browse.restoring import RestoreJob
from holdfast_cli.browse.rows import COVERED, MARKED, folder_row
from holdfast_cli.browse.searches import ChangeSearch, NameSearch, VersionSearch
from holdfast_cli.browse.series import Series, deepest_common
from holdfast_cli.browse.text import clip, clip_path, hex_lines, is_text, moment, screen_name
from holdfast_cli.opening import open_repository
from holdfast_cli.options import SecretKind, SecretSource, Settings
from support.command_line import Runner, damage, largest_pack

ROOT = b"\0" * 32
DAY = 86_400 * 10**9


def snapshot(
    number: int, *, host: str = "h", paths: tuple[bytes, ...] = (b"/a",), partial: bool = False
) -> Snapshot:
    return Snapshot(
        id=f"{number:032x}",
        time_ns=number * DAY,
        host=host,
        user="u",
        raw_paths=paths,
        root=ROOT,
        partial=partial,
    )


def node(
    name: bytes,
    *,
    type_: NodeType = NodeType.FILE,
    size: int = 0,
    mtime: int = 0,
    mode: int = 0o644,
    content: bytes = b"",
) -> Node:
    return Node(name, type_.value, mode, 0, 0, size, mtime, 0, 0, 0, content)


def entry(path: bytes, number: int = 1, **values: object) -> Entry:
    name = path.rpartition(b"/")[2]
    return Entry(snapshot(number), path, node(name, **values))  # type: ignore[arg-type]


# -- text ---------------------------------------------------------------------------------------


@given(st.binary(max_size=60))
def test_no_name_can_order_the_terminal_about(name: bytes) -> None:
    shown = screen_name(name)
    assert shown.isprintable()
    shown.encode("utf-8")  # no surrogates either: the terminal's stream could not write them


def test_odd_names_are_shown_as_escapes() -> None:
    assert screen_name(b"a\x1b[31m\xe9\n") == r"a\x1b[31m\xe9\x0a"
    assert screen_name("x\u202ey".encode()) == r"x\u202ey"
    assert screen_name("Größe 文件".encode()) == "Größe 文件"


@given(st.text(st.characters(exclude_categories=("C", "Z", "M")), max_size=40), st.integers(0, 30))
def test_clipped_text_has_exactly_the_cells_there_are(text: str, width: int) -> None:
    assert cell_len(clip(text, width)) == width
    assert cell_len(clip_path(text, width)) <= width


def test_of_long_paths_the_end_is_kept() -> None:
    assert clip_path("/home/anna/letters", 9) == "…/letters"
    assert clip("letters", 9, right=True) == "  letters"


def test_text_is_told_from_other_bytes() -> None:
    assert is_text("Größe\n".encode(), whole=True)
    assert is_text("Größe".encode()[:3], whole=False)  # a character that is cut off
    assert not is_text("Größe".encode()[:3], whole=True)
    assert not is_text(b"GIF89a\x00\x01", whole=True)
    assert hex_lines(b"0123456789abcdef\x00", 16) == [
        "00000010  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  0123456789abcdef",
        "00000020  00                                                ·",
    ]


def test_moments_name_the_day_and_survive_years_beyond_calendars() -> None:
    assert moment(0) == "Thu 1970-01-01 00:00:00"
    assert moment(2**62 * 1000) == f"@{2**62 * 1000 // 10**9}"


# -- entries ------------------------------------------------------------------------------------


def test_directories_come_first_in_each_order() -> None:
    entries = [
        entry(b"/b", size=1, mtime=5),
        entry(b"/A", size=7, mtime=3),
        entry(b"/z", type_=NodeType.DIRECTORY),
    ]
    assert [item.path for item in sort_entries(entries, Order.NAME)] == [b"/z", b"/A", b"/b"]
    assert [item.path for item in sort_entries(entries, Order.SIZE)] == [b"/z", b"/A", b"/b"]
    assert [item.path for item in sort_entries(entries, Order.TIME)] == [b"/z", b"/b", b"/A"]
    assert Order.TIME.next() == Order.NAME


@pytest.mark.parametrize(
    ("text", "name", "fits"),
    [
        ("", b"x", True),
        ("LET", b"my letter", True),
        ("*.odt", b"a.ODT", True),
        ("*.odt", b"a.odt.bak", False),
        (r"\x1b", b"\x1b[0m", True),
        ("[", b"a[1]", False),  # a pattern, though none that fits
    ],
)
def test_names_are_found_as_they_are_seen(text: str, name: bytes, *, fits: bool) -> None:
    assert NameFilter(text).matches(name) is fits


def test_what_changed_is_told_by_one_sign() -> None:
    old = node(b"f", size=1, content=b"1" * 32)
    assert compare_nodes(old, node(b"f", size=1, content=b"1" * 32)) == Sign.SAME
    assert compare_nodes(old, node(b"f", size=1, content=b"2" * 32)) == Sign.CONTENT
    assert compare_nodes(old, node(b"f", size=1, content=b"1" * 32, mode=0o600)) == Sign.METADATA
    assert compare_nodes(old, node(b"f", type_=NodeType.DIRECTORY)) == Sign.TYPE


# -- series -------------------------------------------------------------------------------------


def test_series_follow_one_host_and_its_paths() -> None:
    first, partial, last = snapshot(1), snapshot(4, partial=True), snapshot(5)
    other_host, other_paths = snapshot(2, host="w"), snapshot(3, paths=(b"/b",))
    series = Series([first, other_host, other_paths, partial, last])
    assert [host.name for host in series.hosts] == ["h", "w"]
    assert series.line_of(last) == [first, partial, last]
    assert series.previous(last) is first  # not the partial one: it lacks what was never read
    assert series.previous(first) is None
    assert series.previous(snapshot(9)) is None
    assert series.neighbour(last, -1) is partial
    assert series.neighbour(last, 1) is None


def test_a_snapshot_is_entered_where_there_is_something_to_choose() -> None:
    assert deepest_common([b"/home/anna/x", b"/home/bert"]) == b"/home"
    assert deepest_common([b"/home/anna"]) == b"/home/anna"
    assert deepest_common([b"/etc", b"/home"]) == b"/"
    assert deepest_common([b"dump.sql"]) == deepest_common([]) == b"/"
    assert parent_of(b"/a/b") == b"/a"
    assert parent_of(b"/a") == parent_of(b"/") == b"/"


# -- marks --------------------------------------------------------------------------------------


def test_marks_are_kept_by_snapshot_and_path() -> None:
    marks = Marks()
    one, folder = entry(b"/a/f", size=3), entry(b"/a/d", type_=NodeType.DIRECTORY)
    marks.toggle(one)
    assert [item in marks for item in (one, entry(b"/a/f", 2))] == [True, False]
    assert marks.size == 3
    marks.toggle_all([one, folder])
    assert len(marks) == 2
    assert [marks.size] == [None]
    inside = entry(b"/a/d/e/f")
    assert marks.covers(inside)
    assert not marks.covers(folder)
    assert [folder_row(item, marks).mark for item in (folder, inside)] == [MARKED, COVERED]
    marks.toggle_all([one, folder])
    assert not len(marks)


def test_marked_entries_keep_their_places_below_the_folder_that_holds_all() -> None:
    entries = [entry(b"/home/anna/letters/a"), entry(b"/home/anna/notes")]
    (part,) = plan_restore(entries, b"/out")
    assert part.base == b"/home/anna"
    assert [part.place_of(path) for path in part.paths] == [b"/out/letters/a", b"/out/notes"]
    (part,) = plan_restore(entries, b"/out", full_paths=True)
    assert part.place_of(entries[1].path) == b"/out/home/anna/notes"
    (part,) = plan_restore(entries, b"/", full_paths=True)
    assert (part.base, part.target) == (b"/home/anna", b"/home/anna")  # nothing above is touched
    (part,) = plan_restore([entry(b"/home/anna/notes")], b"/out")
    assert part.place_of(b"/home/anna/notes") == b"/out/notes"
    (part,) = plan_restore([entry(b"/", type_=NodeType.DIRECTORY)], b"/out")
    assert part.place_of(b"/") == b"/out"


def test_marks_of_several_snapshots_do_not_meet() -> None:
    parts = plan_restore([entry(b"/a/f", 1), entry(b"/a/f", 2)], b"/out")
    places = [part.place_of(b"/a/f") for part in parts]
    assert places == [
        b"/out/1970-01-02T00-00-00-00000000/f",
        b"/out/1970-01-03T00-00-00-00000000/f",
    ]


def test_exact_paths_let_pass_what_is_marked_and_nothing_like_it() -> None:
    wanted = ExactPaths([b"/a/[x]*", b"/b/\xff\n"])
    assert wanted.includes(b"/a/[x]*", False)
    assert not wanted.includes(b"/a/xx", False)
    assert wanted.may_contain(b"/a")
    assert not wanted.may_contain(b"/a/[x]*")
    assert not wanted.may_contain(b"/c")
    assert not wanted.is_empty


# -- previews -----------------------------------------------------------------------------------


def test_content_is_shown_as_text_or_as_hex() -> None:
    lines, is_hex = content_lines(Head(b"a\tb\nc\x1b[1m\n", whole=True))
    assert [line.text for line in lines] == ["a       b", r"c\x1b[1m"]
    assert not is_hex
    lines, is_hex = content_lines(Head(b"\0\1", whole=True))
    assert is_hex
    lines, _ = content_lines(Head(b"abc", whole=False))
    assert "only the first 3 B" in lines[-1].text
    lines, _ = content_lines(Head(b"", whole=True))
    assert lines[0].text == "(empty)"


def test_versions_are_compared_line_by_line() -> None:
    old, new = Head(b"a\nb\n", whole=True), Head(b"a\nc\n", whole=True)
    texts = [line.text for line in compare_lines(old, new, ("then", "now"))]
    assert texts == ["--- then", "+++ now", "@@ -1,2 +1,2 @@", " a", "-b", "+c"]
    (line,) = compare_lines(old, old, ("then", "now"))
    assert line.text == "the content is the same"
    lines = compare_lines(old, Head(b"\0", whole=True), ("then", "now"))
    assert "not text" in lines[0].text
    (line,) = compare_lines(old, Head(b"a", whole=False), ("then", "now"))
    assert "too large" in line.text


def test_a_partial_snapshot_says_so() -> None:
    texts = [line.text for line in describe_snapshot(snapshot(1, partial=True))]
    assert any(text.startswith("partial") for text in texts)


# -- reading a repository -----------------------------------------------------------------------


@contextmanager
def library_of(tmp_path: Path) -> Iterator[Library]:
    """The library of the fixture `hold`'s repository."""
    settings = Settings(
        repository=str(tmp_path / "repository"),
        secret=SecretSource(SecretKind.KEY_FILE, str(tmp_path / "key")),
        cache_dir=str(tmp_path / "cache"),
    )
    with open_repository(settings) as repository:
        library = Library(repository, settings, SnapshotFilter())
        try:
            yield library
        finally:
            library.close()


def listing_of(library: Library, folder: Entry, earlier: Entry | None, text: str = "") -> Listing:
    listing = Listing()
    for _ in read_folder(
        library, folder, earlier, NameFilter(text), listing, stopped=lambda: False
    ):
        pass
    return listing


@pytest.fixture
def two_snapshots(hold: Runner, source: Path) -> Path:
    """A repository with two snapshots of `source`, which changed in between."""
    hold("backup", source)
    (source / "a.txt").write_bytes(b"alpha\nbeta\n")
    (source / "inner" / "b.bin").rename(source / "inner" / "moved.bin")
    (source / "link").unlink()
    (source / "new").write_bytes(b"new")
    hold("backup", source)
    return source


def test_a_folder_tells_what_changed_since_the_snapshot_before(
    two_snapshots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with library_of(tmp_path) as library:
        old, new = library.load().snapshots
        folder = library.start_of(new)
        assert folder.path == os.fsencode(two_snapshots)
        listing = listing_of(library, folder, library.find_like(folder, old))
        assert {item.node.name: item.sign for item in listing.entries} == {
            b"a.txt": Sign.CONTENT,
            b"inner": Sign.CONTENT,
            b"new": Sign.ADDED,
            b"odd\xe9\x1b[31m": Sign.SAME,
        }
        assert (listing.total, listing.removed, listing.done) == (4, 1, True)
        filtered = listing_of(library, folder, None, "n*")
        assert [item.node.name for item in filtered.entries] == [b"new"]
        assert (filtered.total, filtered.matching) == (4, 1)
        monkeypatch.setattr(folder_module, "MOST_ENTRIES", 3)
        assert listing_of(library, folder, None).left_out == 1


def test_searches_find_names_changes_and_versions(two_snapshots: Path, tmp_path: Path) -> None:
    with library_of(tmp_path) as library:
        series = library.load()
        old, new = series.snapshots
        folder = library.start_of(new)
        names = NameSearch(library, folder, NameFilter("*.bin"))
        assert [item.path for item in names.run() if item] == [folder.path + b"/inner/moved.bin"]
        changes = ChangeSearch(library, folder, old)
        found = {item.node.name: (item.sign, item.snapshot.id) for item in changes.run() if item}
        assert found[b"a.txt"] == (Sign.CONTENT, new.id)
        assert found[b"link"] == (Sign.REMOVED, old.id)
        assert found[b"moved.bin"] == (Sign.RENAMED, new.id)
        assert found[b"new"] == (Sign.ADDED, new.id)
        assert changes.summary() == "1 added, 1 removed, 1 modified, 1 renamed; +8 B −0 B"
        file = library.find(new, folder.path + b"/a.txt")
        versions = VersionSearch(library, file, series.line_of(new))
        assert [(item.snapshot.id, item.node.size) for item in versions.run() if item] == [
            (new.id, 11),
            (old.id, 6),
        ]
        gone = library.find(old, folder.path + b"/link")
        versions = VersionSearch(library, gone, series.line_of(new))
        assert [item.snapshot.id for item in versions.run() if item] == [old.id]


def test_a_restore_brings_back_what_is_marked(two_snapshots: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with library_of(tmp_path) as library:
        old, new = library.load().snapshots
        base = os.fsencode(two_snapshots)
        wanted = [library.find(old, base + path) for path in (b"/odd\xe9\x1b[31m", b"/inner/b.bin")]
        target.mkdir(mode=0o711)
        target.chmod(0o711)
        job = RestoreJob(library, plan_restore(wanted, os.fsencode(target)), Overwrite.NEVER)
        job.start()
        job.wait()
        state = job.state
        assert (state.done, state.error, state.files) == (True, "", 2)
        assert (target / "inner" / "b.bin").stat().st_size == wanted[1].node.size
        assert sorted(os.listdir(os.fsencode(target))) == [b"inner", b"odd\xe9\x1b[31m"]
        assert stat.S_IMODE(target.stat().st_mode) == 0o711  # not that of the source's folder
        again = RestoreJob(library, plan_restore(wanted, os.fsencode(target)), Overwrite.NEVER)
        again.start()
        again.wait()
        assert (again.state.files, again.state.kept >= 2) == (0, True)
        assert new.id != old.id


def test_a_restore_that_is_stopped_says_so(two_snapshots: Path, tmp_path: Path) -> None:
    with library_of(tmp_path) as library:
        _, new = library.load().snapshots
        parts = plan_restore([library.start_of(new)], os.fsencode(tmp_path / "out"))
        job = RestoreJob(library, parts, Overwrite.NEVER)
        job.stop()
        job.start()
        job.wait()
        assert job.state.stopped
        assert job.state.done
        assert not job.state.results


def test_many_threads_may_read(two_snapshots: Path, tmp_path: Path) -> None:
    with library_of(tmp_path) as library:
        old, _ = library.load().snapshots
        file = library.find(old, os.fsencode(two_snapshots) + b"/inner/b.bin")
        heads: list[Head] = []

        def read() -> None:
            library.load()
            heads.append(library.head(file, 1000))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {(len(head.data), head.whole, head.error) for head in heads} == {(1000, False, None)}


def test_a_damaged_folder_says_so_each_time(two_snapshots: Path, tmp_path: Path) -> None:
    for pack in (tmp_path / "repository" / "packs").glob("*/*"):
        damage(pack)
    with library_of(tmp_path) as library:
        _, new = library.load().snapshots
        folder = library.start_of(new)
        for _ in range(2):
            listing = listing_of(library, folder, None)
            assert (listing.entries, listing.damaged, listing.done) == ([], True, True)
        assert library.damage


def test_damage_is_shown_where_it_is_and_remembered(two_snapshots: Path, tmp_path: Path) -> None:
    with library_of(tmp_path) as library:
        old, _ = library.load().snapshots
        file = library.find(old, os.fsencode(two_snapshots) + b"/inner/b.bin")
        pack = largest_pack(tmp_path / "repository")
        pack.chmod(0o600)
        data = bytearray(pack.read_bytes())
        data[1000:-1000] = bytes(len(data) - 2000)
        pack.write_bytes(data)
        head = library.head(file, 1 << 20)
        assert head.error is not None
        assert not head.whole
        assert len(library.damage) == 1
        assert "cannot be read" in content_lines(head)[0][-2].text
