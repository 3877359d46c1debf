"""The walk of a source: files as a backup would take them, and everything odd that there is."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from holdfast.benchmark.survey import Problems, SourceWalk, WalkRules, content_length
from holdfast.findings import Finding
from holdfast.policy.filters import ExcludeFilter
from holdfast.progress import NullProgress

TAG = "Signature: 8a477f597d28d172789f06886806bc55"


class Findings(NullProgress):
    def __init__(self) -> None:
        self.all: list[Finding] = []

    def finding(self, finding: Finding) -> None:
        self.all.append(finding)


def names(source: Path | bytes, rules: WalkRules | None = None) -> list[bytes]:
    """Names of the files of a source; nothing may be wrong with it."""
    found, problems, _ = walk(source, rules)
    assert not problems.unreadable + problems.vanished
    return found


def walk(
    source: Path | bytes, rules: WalkRules | None = None
) -> tuple[list[bytes], Problems, list[Finding]]:
    findings = Findings()
    problems = Problems(findings)
    path = source if isinstance(source, bytes) else bytes(source)
    files = SourceWalk(path, rules or WalkRules(), problems).files()
    return [file.name for file in files], problems, findings.all


def fill(directory: Path, *paths: str, text: str = "x") -> None:
    for name in paths:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_files_come_in_the_order_of_a_backup(tmp_path: Path) -> None:
    fill(tmp_path, "b", "a/z", "a/b/c", "a.txt", "c/d")
    (tmp_path / "empty").mkdir()
    assert names(tmp_path) == [b"a/b/c", b"a/z", b"a.txt", b"b", b"c/d"]


def test_a_source_may_be_a_file_or_a_link(tmp_path: Path) -> None:
    fill(tmp_path, "tree/file")
    (tmp_path / "link").symlink_to("tree")
    assert names(tmp_path / "tree/file") == [b""]
    assert names(tmp_path / "link") == [b"file"]
    assert names(b"/dev/null") == []


def test_only_regular_files_count_and_links_are_not_followed(tmp_path: Path) -> None:
    fill(tmp_path, "file")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "up").symlink_to("..")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert names(tmp_path) == [b"file"]


def test_names_of_any_bytes(tmp_path: Path) -> None:
    odd = [b"\xff\xfe", b"a\nb", b"-rf", b" "]
    for name in odd:
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_bytes(b"1")
    assert names(tmp_path) == sorted(odd)


def test_hard_links_count_once_in_each_source(tmp_path: Path) -> None:
    fill(tmp_path, "a", "b")
    (tmp_path / "c").hardlink_to(tmp_path / "a")
    assert names(tmp_path) == names(tmp_path) == [b"a", b"b"]


def test_what_is_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "keep", "x.o", "build/a", "cache/big")
    fill(tmp_path, "cache/CACHEDIR.TAG", text=TAG)
    rules = WalkRules(exclude=ExcludeFilter(["*.o", "build/"]), exclude_caches=True)
    assert names(tmp_path, rules) == [b"cache/CACHEDIR.TAG", b"keep"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
def test_one_file_system() -> None:
    mounted = Path("/proc")
    inside = names_below(mounted, WalkRules(one_file_system=True))
    assert not any(name.startswith(b"proc/") for name in inside)


def names_below(mount: Path, rules: WalkRules) -> list[bytes]:
    """Names in the directory above a mount point, as far as they are quickly there."""
    exclude = ExcludeFilter([f"/{name}" for name in os.listdir("/") if name != mount.name])
    return names(mount.parent, WalkRules(exclude=exclude, one_file_system=rules.one_file_system))


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    found, problems, findings = walk(tmp_path / "gone")
    assert (found, problems.vanished, problems.unreadable) == ([], 1, 0)
    assert findings == [Finding(str(tmp_path / "gone"), "no such file or directory")]


def test_paths_that_are_too_long_are_findings(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(20):
            os.mkdir(b"d" * 250, dir_fd=here)
            below = os.open(b"d" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
    found, problems, findings = walk(tmp_path)
    assert (found, problems.unreadable) == ([], 1)
    assert findings[0].problem == "file name too long"


def test_holes_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(b"x" * 4096)
        file.truncate(10 << 20)
    fill(tmp_path, "text")
    files = list(SourceWalk(bytes(tmp_path), WalkRules(), Problems(NullProgress())).files())
    assert [file.size for file in files] == [10 << 20, 1]
    assert content_length(files[0]) <= 64 << 10
    assert content_length(files[1]) == 1
    path.unlink()
    assert content_length(files[0]) == 0


def test_a_huge_hole_is_a_file_and_the_memory_of_the_machine_is_none(tmp_path: Path) -> None:
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(2 << 40)
    (hole,) = SourceWalk(bytes(tmp_path), WalkRules(), Problems(NullProgress())).files()
    assert (hole.size, content_length(hole)) == (2 << 40, 0)
    if Path("/proc/kcore").is_file():
        assert names(b"/proc/kcore") == []
