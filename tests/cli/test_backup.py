"""`backup`, and what `snapshots`, `ls` and `cat` show of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast_cli.times import format_rfc3339
from support.command_line import NOISE, Outcome, Runner
from support.json_keys import BACKUP_SUMMARY, SNAPSHOT, SNAPSHOT_STATS


def summary(outcome: Outcome) -> dict[str, Any]:
    """The last event."""
    event = outcome.events[-1]
    assert event["event"] == "summary"
    return event


def listed(hold: Runner, *arguments: str | Path) -> list[str]:
    """Paths that `ls --json` shows, relative to the first of them."""
    return [entry["path"] for entry in hold("ls", "--json", *arguments).document]


@contextmanager
def standard_input(content: bytes, tmp_path: Path) -> Iterator[None]:
    """Make `content` what stands on standard input."""
    path = tmp_path / "standard-input"
    path.write_bytes(content)
    with path.open() as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", stream)
        yield


def test_a_backup_ends_with_a_summary(hold: Runner, source: Path) -> None:
    first = summary(hold("backup", source, "--json"))
    assert list(first) == BACKUP_SUMMARY
    assert (first["files_new"], first["files_unmodified"], first["findings"]) == (3, 0, 0)
    assert first["bytes_read"] == first["logical_bytes"] == 6 + 128_000 + 3
    assert first["parent"] is None
    second = summary(hold("backup", source, "--json"))
    assert (second["files_new"], second["files_unmodified"]) == (0, 3)
    assert second["bytes_read"] == 0
    assert second["parent"] == first["snapshot"]
    outcome = hold("backup", source)
    assert outcome.out.splitlines()[1] == "files: 0 new, 0 changed, 3 unmodified, 125 KiB in total"
    assert hold("backup", source, "-q").out == ""


def test_snapshots_lists_what_was_saved(hold: Runner, source: Path) -> None:
    assert hold("snapshots", "--json").document == []
    assert hold("snapshots").err == "no snapshots\n"
    tags = ("--tag", "a,b", "--tag", "c")
    hold("backup", source, *tags, "--host", "web1", "--time", "2026-01-02 03:04")
    hold("backup", source / "inner")
    first, second = hold("snapshots", "--json").document
    assert list(first) == SNAPSHOT
    assert list(first["stats"]) == SNAPSHOT_STATS
    assert first["time"] == "2026-01-02T03:04:00.000000000Z"
    assert first["tags"] == ["a", "b", "c"]
    assert (first["host"], second["host"]) == ("web1", socket.gethostname())
    assert first["paths"] == [str(source)]
    assert first["partial"] is False
    text = hold("snapshots").out
    assert first["id"][:12] in text
    assert "a, b, c" in text
    assert text.splitlines()[0].split() == [
        "ID", "Time", "Host", "Tags", "Files", "Size", "New", "Paths",
    ]  # fmt: skip


def test_snapshots_are_narrowed_by_filters_and_names(hold: Runner, source: Path) -> None:
    for number, host in enumerate(["a", "b", "a", "b"]):
        time = format_rfc3339(number * 10**9)
        hold("backup", source, "--host", host, "--tag", f"t{number}", "--time", time)
    hold("backup", source / "inner", "--host", "a", "--time", "2026-01-01")
    everything = hold("snapshots", "--json").document

    def shown(*arguments: str | Path) -> list[int]:
        ids = [item["id"] for item in hold("snapshots", "--json", *arguments).document]
        return [number for number, item in enumerate(everything) if item["id"] in ids]

    assert shown() == [0, 1, 2, 3, 4]
    assert shown("--host", "a") == [0, 2, 4]
    assert shown("--host", "a", "--host", "b", "--tag", "t1") == [1]
    assert shown("--path", source) == [0, 1, 2, 3]
    assert shown("--latest", "1") == [2, 3, 4]
    assert shown("--latest", "1", "--host", "b") == [3]
    assert shown("latest") == [4]
    assert shown("latest", "--host", "b") == [3]
    assert shown(everything[1]["id"][:10], "latest") == [1, 4]
    assert shown("--host", "nobody") == []
    missing = hold("snapshots", "latest", "--host", "nobody", "--tag", "x", code=1)
    assert missing.err == (
        "holdfast: there is no snapshot yet that matches host nobody, tag x; "
        "`holdfast backup PATH` makes one\n"
    )


def test_excluded_files_are_left_out(hold: Runner, source: Path, tmp_path: Path) -> None:
    patterns = tmp_path / "patterns"
    patterns.write_text("# comment\n\n*.bin\n")
    cache = source / "cache"
    cache.mkdir()
    (cache / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55")
    (cache / "junk").touch()
    marked = source / "marked"
    marked.mkdir()
    (marked / ".nobackup").touch()
    (marked / "junk").touch()

    def saved(*arguments: str | Path) -> set[str]:
        hold("backup", source, *arguments)
        paths = listed(hold, "-R", f"latest:{source}")
        return {Path(path).name for path in paths if "odd" not in path}

    everything = {"a.txt", "inner", "b.bin", "link"}
    everything |= {"cache", "CACHEDIR.TAG", "junk", "marked", ".nobackup"}
    assert saved() == everything
    assert saved("--exclude", "*.txt", "--exclude", "junk") == everything - {"a.txt", "junk"}
    assert saved("--iexclude", "*.TXT") == everything - {"a.txt"}
    assert saved("--exclude", "*.TXT") == everything
    assert saved("--exclude-file", patterns) == everything - {"b.bin"}
    assert saved("--exclude", source / "inner") == everything - {"inner", "b.bin"}
    assert saved("--exclude-larger-than", "100K") == everything - {"b.bin"}
    without_junk = saved("--exclude-caches", "--exclude-if-present", ".nobackup")
    assert "junk" not in without_junk
    hold("backup", source, "--exclude", "a", "--iexclude", "b")
    snapshot = hold("cat", "snapshot").document
    assert snapshot["snapshot"]["excludes"] == ["a", "b"]


def test_lists_of_files_are_read_by_line_or_zero_byte(
    hold: Runner, source: Path, tmp_path: Path
) -> None:
    lines, zeros = tmp_path / "lines", tmp_path / "zeros"
    lines.write_bytes(os.fsencode(source / "a.txt") + b"\n\n")
    zeros.write_bytes(os.fsencode(source / "inner") + b"\0" + os.fsencode(source / "link") + b"\0")
    hold("backup", "--files-from", lines, "--files-from", zeros, source / "a.txt")
    names = {Path(path).name for path in listed(hold, "-R", f"latest:{source}")}
    assert names == {"a.txt", "inner", "b.bin", "link"}
    with standard_input(lines.read_bytes(), tmp_path):
        hold("backup", "--files-from", "-")
    assert listed(hold, f"latest:{source}") == [str(source / "a.txt")]


def test_standard_input_becomes_a_file(hold: Runner, tmp_path: Path) -> None:
    with standard_input(b"dump", tmp_path):
        hold("backup", "--stdin", "--stdin-filename", "db/shop.sql", "--profile", "dump")
    assert hold("cat", "latest:/db/shop.sql").out == "dump"
    assert hold("cat", "snapshot").document["snapshot"]["profile"] == "dump"


def test_the_output_of_a_command_becomes_a_file(hold: Runner) -> None:
    command = ("--stdin-from-command", "--", "printf", "%s", "--json")
    event = summary(hold("backup", "--json", *command))
    assert event["files_new"] == 1
    assert hold("cat", "latest:stdin").out == "--json"


def test_a_dry_run_stores_nothing(hold: Runner, source: Path, tmp_path: Path) -> None:
    before = sorted((tmp_path / "repository").rglob("*"))
    event = summary(hold("backup", source, "--dry-run", "--json"))
    assert (event["snapshot"], event["dry_run"], event["files_new"]) == (None, True, 3)
    assert hold("backup", source, "-n").out.startswith("dry run of ")
    assert sorted((tmp_path / "repository").rglob("*")) == before


def test_unchanged_sources_are_skipped_on_request(hold: Runner, source: Path) -> None:
    hold("backup", source)
    hold("backup", source)  # the first one made the cache in a directory above the source
    assert hold("backup", source, "--skip-if-unchanged").out.startswith("nothing has changed")
    assert summary(hold("backup", source, "--skip-if-unchanged", "--json"))["snapshot"] is None
    (source / "new").touch()
    assert summary(hold("backup", source, "--skip-if-unchanged", "--json"))["snapshot"] is not None


def test_parents_are_chosen_named_or_ignored(hold: Runner, source: Path) -> None:
    first = summary(hold("backup", source, "--json"))["snapshot"]
    forced = summary(hold("backup", source, "--json", "--force"))
    assert forced["bytes_read"] == forced["logical_bytes"]
    named = summary(hold("backup", source, "--json", "--parent", first[:8]))
    assert named["parent"] == first
    assert hold("backup", source, "--parent", "0000", code=1).err.startswith(
        "holdfast: no snapshot"
    )


def test_the_slow_chunker_is_told(
    hold: Runner, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hold("backup", source).err == ""
    monkeypatch.setattr("holdfast_cli.slow_chunker.IMPLEMENTATION", "Python")
    assert "the fast chunker is not installed" in hold("backup", source).err
    assert hold("backup", source, "--quiet").err == ""


@pytest.mark.parametrize("level", ["off", "-7", "1", "19"])
def test_levels_of_compression(hold: Runner, source: Path, level: str) -> None:
    hold("backup", source, "--compression", level)
    assert hold("cat", f"latest:{source}/a.txt").out == "alpha\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "nothing to back up; name a path, --files-from or --stdin"),
        (["--stdin", "x"], "--stdin takes no paths"),
        (["--stdin", "--stdin-from-command", "true"], "--stdin and --stdin-from-command exclude"),
        (["--stdin-from-command"], "--stdin-from-command needs a command"),
        (["--files-from", "/no/such/list"], "cannot read the list of files /no/such/list: no such"),
        (
            ["/", "--exclude-file", "/no/such"],
            "cannot read the exclude file /no/such: no such",
        ),
        (["/", "--exclude", "a["], "'a['"),
        (["/", "--compression", "99"], "write a number from -7 to 22, or off"),
        (["/", "--compression", "high"], "write a number from -7 to 22, or off"),
        (["/", "--time", "yesterday"], "'yesterday' is not a time"),
        (
            ["/", "--profile", "video"],
            "'video' is not a way to cut files; write files, dump, pages, image",
        ),
        (["/", "--exclude-larger-than", "big"], "'big' is not a size"),
    ],
)
def test_options_that_make_no_sense(hold: Runner, arguments: list[str], sentence: str) -> None:
    assert sentence in hold("backup", *arguments, code=2).err


def test_ls_shows_a_directory_or_everything(hold: Runner, source: Path) -> None:
    hold("backup", source)
    assert hold("ls", f"latest:{source}").out_bytes.splitlines() == [
        os.fsencode(source) + b"/a.txt",
        os.fsencode(source) + b"/inner/",
        os.fsencode(source) + b"/link",
        os.fsencode(source) + b"/odd\xe9\\x1b[31m",
    ]
    assert hold("ls", "latest").out.count("\n") == 1
    assert listed(hold, "-R", f"latest:{source}/inner") == [f"{source}/inner/b.bin"]
    assert listed(hold, f"latest:{source}/a.txt") == [f"{source}/a.txt"]
    assert listed(hold, f"latest:{source}/inner/") == [f"{source}/inner/b.bin"]
    names = [Path(path).name for path in listed(hold, "-R", "--sort", "size", f"latest:{source}")]
    assert names[:3] == ["b.bin", "a.txt", "odd\udce9\x1b[31m"]
    os.utime(source / "a.txt", (4e9, 4e9))
    hold("backup", source)
    assert listed(hold, "--sort", "time", f"latest:{source}")[0] == f"{source}/a.txt"


def test_ls_tells_all_about_an_entry(hold: Runner, source: Path) -> None:
    os.chmod(source / "a.txt", 0o4750)
    os.utime(source / "a.txt", ns=(0, 1_000_000_001))
    hold("backup", source)
    entry, *_ = hold("ls", "--json", f"latest:{source}").document
    status = (source / "a.txt").stat()
    assert entry == {
        "path": f"{source}/a.txt",
        "type": "file",
        "mode": "4750",
        "uid": status.st_uid,
        "gid": status.st_gid,
        "user": (source / "a.txt").owner(),
        "group": (source / "a.txt").group(),
        "size": 6,
        "mtime": "1970-01-01T00:00:01.000000001Z",
        "links": 1,
    }
    (link,) = hold("ls", "--json", f"latest:{source}/link").document
    assert (link["type"], link["target"]) == ("symlink", "a.txt")
    lines = hold("ls", "--long", f"latest:{source}").out.splitlines()
    assert lines[0].startswith("-rwsr-x--- ")
    assert lines[0].endswith(f" 6 1970-01-01 00:00:01 {source}/a.txt")
    assert lines[1].startswith("drwx")
    assert lines[2].endswith("/link -> a.txt")


def test_cat_writes_the_bytes_of_a_file(
    hold: Runner, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = os.urandom(3_000_000)
    (source / "big").write_bytes(big)
    hold("backup", source, "--profile", "dump")
    monkeypatch.setattr("holdfast.operations.read_file._WINDOW", 100_000)
    assert hold("cat", f"latest:{source}/big").out_bytes == big
    assert hold("cat", f"latest:{source}/inner/b.bin").out_bytes == NOISE
    assert hold("cat", f"latest:{source}/inner", code=2).err == (
        f"holdfast: {source}/inner is no file; `holdfast ls` shows what it is\n"
    )


def test_cat_shows_objects_as_json(hold: Runner, source: Path) -> None:
    first = summary(hold("backup", source, "--json"))["snapshot"]
    assert hold("cat", "config").document["slice_size"] == 1 << 20
    snapshot = hold("cat", "snapshot", first[:8], "--json").document
    assert snapshot["snapshot"]["id"] == first
    assert snapshot["commit"]["host_sequence"] == 1
    (index_id,) = hold("cat", "index").document
    assert snapshot["commit"]["index_ids"] == [index_id]
    packs = hold("cat", "index", index_id[:6]).document
    assert {pack["kind"] for pack in packs} == {"data", "tree"}
    assert sum(blob["length"] for pack in packs for blob in pack["blobs"]) > 128_000
    assert "0 index objects begin with zz" in hold("cat", "index", "zz", code=2).err
    assert "is nothing to show" in hold("cat", "nonsense", code=2).err
    assert "one file at a time" in hold("cat", "latest:/a", "b", code=2).err
    assert "names no snapshot" in hold("cat", ":/a", code=2).err


def test_chunks_have_the_size_that_the_profile_asks_for(hold: Runner, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(NOISE[:100_000])
    first = summary(hold("backup", tmp_path / "data", "--profile", "fixed:8K", "--json"))
    again = summary(hold("backup", tmp_path / "data", "--profile", "fixed:8192", "--json"))
    assert again["parent"] == first["snapshot"]
    assert hold("stats", "--json").document["blobs"] >= 100_000 // 8192
    other = summary(hold("backup", tmp_path / "data", "--profile", "gear:4M", "--json"))
    assert (other["parent"], other["bytes_read"]) == (None, 100_000)
    refused = hold("backup", tmp_path / "data", "--profile", "rabin:8K", code=2)
    assert "'rabin:8K' is not a way to cut files" in refused.err
