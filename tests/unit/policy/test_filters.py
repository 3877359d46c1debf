"""Filters: gitignore's rules for names of any bytes, compared with git itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.policy.filters import ExcludeFilter, IncludeFilter, PatternSet
from holdfast.policy.patterns import compile_patterns, last_match, parse_pattern_lines


def excluded(patterns: list[str], path: bytes, *, directory: bool = False) -> bool:
    return ExcludeFilter(patterns).excludes(path, directory)


@pytest.mark.parametrize(
    ("pattern", "path", "directory", "expected"),
    [
        ("cache", b"/home/u/cache", True, True),
        ("cache", b"/home/u/cache", False, True),
        ("cache", b"/home/u/cached", False, False),
        ("cache/", b"/home/u/cache", True, True),
        ("cache/", b"/home/u/cache", False, False),
        ("/home/u/cache", b"/home/u/cache", True, True),
        ("/home/u/cache", b"/srv/home/u/cache", True, False),
        ("home/u", b"/home/u", True, True),
        ("home/u", b"/x/home/u", True, False),
        ("/tmp", b"/tmp", True, True),
        ("/tmp", b"/home/tmp", True, False),
        ("*.pyc", b"/a/b.pyc", False, True),
        ("*.pyc", b"/a/.pyc", False, True),
        ("*.pyc", b"/a/b.pyc.x", False, False),
        ("*.d/", b"/a/b.d", False, False),
        ("*.d/", b"/a/b.d", True, True),
        ("*", b"/a", False, True),
        ("*/", b"/a", False, False),
        ("*/", b"/a", True, True),
        ("**/", b"/a/b", True, True),
        ("**/", b"/a/b", False, False),
        ("**", b"/a", False, True),
        ("/*", b"/a", False, True),
        ("/*", b"/a/b", False, False),
        ("/a/**", b"/a", True, False),
        ("/a/**", b"/a/b", False, True),
        ("/a/**/", b"/a", True, False),
        ("/a/**/", b"/a/b", True, True),
        ("/a/**/", b"/a/b", False, False),
        ("/a/**/c", b"/a/c", False, True),
        ("/a/**/c", b"/a/x/y/c", False, True),
        ("/a/*/c", b"/a/x/y/c", False, False),
        ("**/c", b"/a/b/c", False, True),
        ("?", b"/\xc3\xa4", False, True),
        ("?", b"/\xff", False, True),
        ("[ab]x", b"/bx", False, True),
        ("[!ab]x", b"/bx", False, False),
        ("[[]x", b"/[x", False, True),
        ("\\#x", b"/#x", False, True),
        ("\\!x", b"/!x", False, True),
        ("\\*", b"/*", False, True),
        ("\\*", b"/a", False, False),
        ("ä", "/ä".encode(), False, True),
        ("-x", b"/-x", False, True),
        ("a b", b"/a b", False, True),
        ("trail\\ ", b"/trail ", False, True),
    ],
)
def test_one_pattern(pattern: str, path: bytes, directory: bool, expected: bool) -> None:
    assert excluded([pattern], path, directory=directory) is expected


def test_newlines_are_ordinary_bytes() -> None:
    assert excluded(["*.o"], b"/a\nb.o")
    assert excluded(["/x/**/y?z"], b"/x/\n/y\nz")
    assert not excluded(["name"], b"/name\n")
    assert not excluded(["n*e"], b"/name\n")
    assert excluded(["new\nline"], b"/new\nline")


def test_invalid_utf8_in_patterns_and_names() -> None:
    assert excluded([os.fsdecode(b"\xff\xfe")], b"/d/\xff\xfe")
    assert excluded([os.fsdecode(b"*\xff")], b"/d/\xfe\xff")
    assert excluded([os.fsdecode(b"?\xff?")], b"/d/\xfe\xff\xfd")


def test_the_last_pattern_decides() -> None:
    patterns = ["*.log", "!keep.log", "/srv/keep.log"]
    assert excluded(patterns, b"/a/x.log")
    assert not excluded(patterns, b"/a/keep.log")
    assert excluded(patterns, b"/srv/keep.log")


def test_negation_speaks_of_the_entry_not_of_what_lies_below() -> None:
    assert excluded(["*", "!*.py"], b"/d.py/x")
    assert not excluded(["*", "!*.py"], b"/d.py", directory=True)


def test_ignoring_case() -> None:
    chosen = ExcludeFilter(["*.TMP"], ["*.jpg", "/Home/U/Cache"])
    assert chosen.excludes(b"/a/B.JPG", False)
    assert chosen.excludes(b"/home/u/CACHE", True)
    assert not chosen.excludes(b"/a/b.tmp", False)


def test_an_empty_filter_says_so() -> None:
    assert ExcludeFilter().is_empty
    assert not ExcludeFilter(["x"]).is_empty
    assert not ExcludeFilter().excludes(b"/x", False)


@pytest.mark.parametrize(
    "pattern", ["", "/", "//", "#x", "!", "[a", "a\\", "[z-a]", "[[:alpha:]]", "   ", "\ud800"]
)
def test_impossible_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError):
        ExcludeFilter([pattern])
    with pytest.raises(ConfigurationError):
        IncludeFilter([], [pattern])


def test_pattern_files() -> None:
    data = b"# comment\n\n*.o\r\n  \n!keep.o\n/caf\xc3\xa9/\xff\n"
    assert parse_pattern_lines(data, "list") == [
        "*.o",
        "!keep.o",
        os.fsdecode(b"/caf\xc3\xa9/\xff"),
    ]


def test_errors_in_pattern_files_name_file_and_line() -> None:
    with pytest.raises(ConfigurationError, match=r"/etc/excludes, line 3: .*\[a"):
        parse_pattern_lines(b"ok\n\n[a\n", "/etc/excludes")


def test_includes() -> None:
    chosen = IncludeFilter(["/home/u/x", "/home/*/y", "/srv/"])
    assert chosen.includes(b"/home/u/x", False)
    assert chosen.includes(b"/home/v/y", False)
    assert not chosen.includes(b"/home", True)
    assert chosen.may_contain(b"/home")
    assert chosen.may_contain(b"/home/v")
    assert not chosen.may_contain(b"/etc")
    assert IncludeFilter().includes(b"/anything", False)
    assert IncludeFilter(["*.txt", "/a"]).may_contain(b"/etc")
    assert IncludeFilter([], ["/HOME/u"]).may_contain(b"/home")


def test_may_contain_never_hides_a_match() -> None:
    chosen = IncludeFilter(["/a/b*/c", "/a/**/z"])
    assert chosen.includes(b"/a/bb/c", False)
    assert chosen.may_contain(b"/a/bb")
    assert chosen.may_contain(b"/a/q/r/s")
    assert not chosen.may_contain(b"/b")


_PIECES = ["a", "b", "ab", "*", "?", "*b", "a*", "**", "[ab]", "[!a]", ".x", "*.x", "a.x"]
_patterns = st.builds(
    lambda bang, slash, parts, end: bang + slash + "/".join(parts) + end,
    st.sampled_from(["", "", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(st.sampled_from(_PIECES), min_size=1, max_size=3),
    st.sampled_from(["", "", "/"]),
)
_names = ["a", "b", "ab", "a.x", ".x", "c"]


@given(st.lists(_patterns, min_size=1, max_size=5))
def test_the_quick_comparison_equals_the_ordered_search(patterns: list[str]) -> None:
    compiled = compile_patterns(patterns)
    chosen = PatternSet(compiled)
    for path, directory in _some_paths():
        decisive = last_match(compiled, path, is_directory=directory)
        expected = decisive is not None and not decisive.negated
        assert chosen.selects(path, is_directory=directory) is expected


def _some_paths() -> Iterator[tuple[bytes, bool]]:
    for first in _names:
        yield f"/{first}".encode(), True
        yield f"/{first}".encode(), False
        for second in _names:
            yield f"/{first}/{second}".encode(), True
            yield f"/{first}/{second}/a".encode(), False


@pytest.fixture(scope="module")
def git_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work tree whose directories are named `_names` plus "d", and whose files end with "f"."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed; the other tests state its rules one by one")
    root = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    for first in _names:
        for second in _names:
            (root / first / second).mkdir(parents=True)
            (root / first / second / "a").touch()
    (root / "b.x").touch()
    return root


def _excluded_by_walking(chosen: ExcludeFilter, root: Path) -> set[bytes]:
    """What a walk leaves out, with everything below excluded directories."""
    found: set[bytes] = set()

    def walk(path: bytes, below_excluded: bool) -> None:
        for entry in os.scandir(os.fsencode(root) + path):
            if entry.name in (b".git", b".gitignore"):
                continue
            inner = path + b"/" + entry.name
            out = below_excluded or chosen.excludes(inner, entry.is_dir())
            if out:
                found.add(inner)
            if entry.is_dir():
                walk(inner, out)

    walk(b"", False)
    return found


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(_patterns, min_size=1, max_size=4))
def test_git_agrees(git_tree: Path, patterns: list[str]) -> None:
    (git_tree / ".gitignore").write_text("\n".join(patterns) + "\n")
    everything = sorted(
        os.fsencode(path.relative_to(git_tree))
        for path in git_tree.rglob("*")
        if ".git" not in path.parts[len(git_tree.parts) :] and path.name != ".gitignore"
    )
    answer = subprocess.run(
        [
            "git",
            "-C",
            str(git_tree),
            "-c",
            "core.excludesFile=",
            "check-ignore",
            "--no-index",
            "-z",
            "--stdin",
        ],
        input=b"\0".join(everything),
        stdout=subprocess.PIPE,
        check=False,
    )
    ignored = {b"/" + name for name in answer.stdout.split(b"\0") if name}
    assert _excluded_by_walking(ExcludeFilter(patterns), git_tree) == ignored
