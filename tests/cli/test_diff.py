"""`diff`."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from support.command_line import Runner, largest_pack
from support.json_keys import DIFF_CHANGE, DIFF_FIELDS, DIFF_SUMMARY

TIME = (1_600_000_000_000_000_000, 1_600_000_000_000_000_000)


def back_up(hold: Runner, *arguments: str | Path) -> str:
    """Make a snapshot; return its id."""
    time.sleep(0.03)  # files younger than a tick of the kernel's clock would be read again
    event = hold("backup", *arguments, "--json", "-q").events[-1]
    assert isinstance(event["snapshot"], str)
    return event["snapshot"]


def change_everything(source: Path) -> None:
    """One change of each kind in the fixture's tree."""
    (source / "a.txt").chmod(0o600)
    (source / "new.txt").write_bytes(b"x" * 2048)
    os.rename(source / "inner", source / "outer")
    (source / "link").unlink()
    (source / "link").symlink_to("b.txt")
    odd = os.fsencode(source) + b"/odd\xe9\x1b[31m"
    os.unlink(odd)
    os.mkdir(odd)


EXPECTED = r"""metadata       6 B       6 B  {0}/a.txt  (mode 0644 -> 0600)
modified         -         -  {0}/link  (target a.txt -> b.txt)
added            -  2.00 KiB  {0}/new.txt
type           3 B         -  {0}/odd{1}\x1b[31m/  (file -> directory)
renamed          -         -  {0}/inner/ -> {0}/outer/
"""


@pytest.fixture
def changed(hold: Runner, source: Path) -> tuple[str, str]:
    """Two snapshots of the source with a change of each kind."""
    (source / "a.txt").chmod(0o644)
    old = back_up(hold, source)
    change_everything(source)
    return old, back_up(hold, source)


def test_two_snapshots_for_people(hold: Runner, source: Path, changed: tuple[str, str]) -> None:
    old, new = changed
    lines = EXPECTED.format(source, "\udce9")
    found = hold("diff", old[:8], new[:8]).out
    assert found.startswith(lines)
    sums = found.removeprefix(lines).splitlines()
    assert (sums[0][:12], sums[0].split(" -> ")[1][:12]) == (old[:12], new[:12])
    assert sums[1:] == [
        "entries: 1 added, 1 modified, 1 renamed, 1 of another type, 1 with other metadata",
        "files: 1 new, 1 gone; bytes: 2.00 KiB more, 3 B less",
    ]
    assert hold("diff", "latest").out == found
    assert hold("diff", old, "latest", "-q").out == lines
    assert hold("diff", new, new).out.endswith("no differences\n")


def test_a_snapshot_and_a_directory(hold: Runner, source: Path) -> None:
    (source / "a.txt").chmod(0o644)
    back_up(hold, source)
    assert hold("diff", "latest", "--to", source).out.endswith("no differences\n")
    change_everything(source)
    lines = EXPECTED.format(source, "\udce9")
    assert hold("diff", "latest", "--to", source, "-q").out == lines
    assert hold("diff", "latest:/", "--to", "/", "-q").out == lines
    assert hold("diff", "latest", "--to", source, "--content", "-x", "-q").out == lines
    outcome = hold("--json", "diff", "latest", "--to", source).events[-1]
    assert (outcome["new"], outcome["new_path"]) == (None, str(source))


def test_json(hold: Runner, source: Path, changed: tuple[str, str]) -> None:
    events = hold("diff", *changed, "--json").events
    *changes, summary = events
    assert all(list(change) == DIFF_CHANGE for change in changes)
    assert list(summary) == DIFF_SUMMARY
    assert set(DIFF_FIELDS) >= {name for change in changes for name in change["fields"]}
    by_kind = {change["change"]: change for change in changes}
    assert by_kind["metadata"]["fields"] == {"mode": ["0644", "0600"]}
    assert by_kind["modified"]["fields"]["target"] == ["a.txt", "b.txt"]
    added = by_kind["added"]
    assert (added["old_path"], added["old_type"], added["old_size"]) == (None, None, None)
    assert (added["path"], added["type"], added["size"]) == (f"{source}/new.txt", "file", 2048)
    renamed = by_kind["renamed"]
    assert (renamed["old_path"], renamed["path"]) == (f"{source}/inner", f"{source}/outer")
    assert by_kind["type"]["path"] == f"{source}/odd\udce9\x1b[31m"
    numbers = {name: summary[name] for name in ("added", "removed", "renamed", "bytes_added")}
    assert numbers == {"added": 1, "removed": 0, "renamed": 1, "bytes_added": 2048}
    (removed,) = hold("diff", *changed[::-1], "--only", "removed", "--json").events[:-1]
    assert (removed["path"], removed["old_path"]) == (f"{source}/new.txt",) * 2
    assert (removed["type"], removed["size"], removed["old_size"]) == (None, None, 2048)


def test_what_is_reported_can_be_narrowed(
    hold: Runner, source: Path, changed: tuple[str, str]
) -> None:
    def names(*arguments: str) -> list[str]:
        found = hold("diff", *changed, "--name-only", *arguments).out.splitlines()
        return [os.path.relpath(name, source) for name in found]

    odd = "odd\udce9\\x1b[31m"
    assert names() == ["a.txt", "link", "new.txt", odd, "outer"]
    assert names("--no-metadata") == ["link", "new.txt", odd, "outer"]
    assert names("--no-renames", "--only", "added", "--only", "removed") == [
        "inner", "inner/b.bin", "new.txt", "outer", "outer/b.bin",
    ]  # fmt: skip
    assert names("--exclude", "*.txt", "--iexclude", "LINK") == [odd, "outer"]
    assert "." in set(names("--directory-times")) - set(names())
    summary = hold("diff", *changed, "--summary", "--only", "added").out.splitlines()
    assert summary[1:] == [
        "entries: 1 added", "files: 1 new, 0 gone; bytes: 2.00 KiB more, 0 B less",
    ]  # fmt: skip


def test_paths(hold: Runner, source: Path, changed: tuple[str, str]) -> None:
    old, new = changed
    one = hold("diff", f"{old}:{source}/a.txt", new, "-q").out
    assert one == hold("diff", old, f"{new}:{source}/a.txt", "-q").out
    assert one == hold("diff", f"{new}:{source}/a.txt", "-q").out
    assert one == EXPECTED.format(source, "").splitlines(keepends=True)[0]
    other = hold("diff", f"{old}:{source}/inner", f"{new}:{source}/outer").out
    assert other.endswith("no differences\n")
    gone = hold("diff", f"{old}:{source}/inner", new, "--name-only").out
    assert gone == f"{source}/inner\n{source}/inner/b.bin\n"
    error = hold("diff", f"{old}:/nowhere", new, "--json", code=1).error
    assert (error["error"], error["path"]) == ("PathNotFoundError", "/nowhere")


def test_what_the_patterns_of_the_backup_left_out_is_not_new(hold: Runner, source: Path) -> None:
    (source / "big.iso").touch()
    back_up(hold, source, "--exclude", "*.iso")
    assert hold("diff", "latest", "--to", source).out.endswith("no differences\n")


def test_other_cuts_are_read(hold: Runner, source: Path) -> None:
    old = back_up(hold, source)
    new = back_up(hold, source, "--profile", "pages", "--force")
    assert hold("diff", old, new).out.endswith("no differences\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("latest", "latest", "--to", "/"), "leave out --to or latest"),
        (("latest", "--content"), "--content is for directories; name one with --to DIR"),
        (("latest", "-x"), "--one-file-system is for directories"),
        (("latest", "--name-only", "--summary"), "exclude each other"),
        (("latest",), "there is no snapshot of the same host and paths before"),
        (("latest:/", "--to", "/no/such"), "cannot read /no/such: no such file or directory"),
        ((":/x", "latest"), "names no snapshot"),
    ],
)
def test_bad_input(hold: Runner, source: Path, arguments: tuple[str, ...], message: str) -> None:
    back_up(hold, source)
    assert message in hold("diff", *arguments, code=2).err


def test_damage(hold: Runner, source: Path, changed: tuple[str, str], tmp_path: Path) -> None:
    """The pack with the trees of the newer snapshot is the one that has no data."""
    packs = sorted((tmp_path / "repository" / "packs").glob("*/*"), key=os.path.getmtime)
    newest = packs[-2:]
    assert largest_pack(tmp_path / "repository") not in newest
    for pack in newest:
        pack.chmod(0o600)
        pack.unlink()
    outcome = hold("diff", *changed, "--json", code=13)
    *changes, summary = outcome.events
    assert (changes, summary["damaged"]) == ([], 1)
    assert "there may be more changes" in outcome.err


def give_to_nobody(*roots: Path) -> None:
    """Let a user without rights see what lies below, and how to get there."""
    for root in roots:
        for above in root.parents:
            if above != Path("/") and not above.stat().st_mode & 0o001:
                above.chmod(0o755)
        for path in (root, *root.rglob("*")):
            os.chown(path, 65534, 65534, follow_symlinks=False)


def test_local_problems(hold: Runner, source: Path, tmp_path: Path, key_file: Path) -> None:
    back_up(hold, source)
    (source / "b").touch()
    hold("diff", "latest", "--to", source)  # imports what a user without rights may not read
    if os.geteuid() == 0:
        give_to_nobody(tmp_path / "repository", tmp_path / "cache", key_file)
    (source / "inner").chmod(0)
    is_root = os.geteuid() == 0
    os.seteuid(65534 if is_root else os.geteuid())
    try:
        outcome = hold("diff", "latest", "--to", source, "--only", "added", code=3)
        events = hold("diff", "latest", "--to", source, "--no-metadata", "--json", code=3).events
    finally:
        if is_root:
            os.seteuid(0)
        (source / "inner").chmod(0o755)
    assert outcome.out.startswith(f"added            -       0 B  {source}/b\n")
    assert f"{source}/inner: permission denied\n" in outcome.err
    assert [event["event"] for event in events] == ["change", "finding", "summary"]
    assert (events[1]["path"], events[-1]["findings"]) == (f"{source}/inner", 1)
