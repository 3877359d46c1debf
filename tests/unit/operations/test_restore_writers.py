"""Files written by threads land where they belong, whatever is closed meanwhile."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from holdfast.fs import target_tree
from support.restoring import run_restore
from support.trees import DictSource, directory_node, file_node


def test_more_directories_than_may_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_tree, "MAX_OPEN", 4)
    source = DictSource()
    directories = [
        directory_node(
            source,
            b"%03d" % number,
            [
                file_node(source, b"f%d" % index, b"%d in %d" % (index, number))
                for index in range(5)
            ],
        )
        for number in range(100)
    ]
    result = run_restore(source, directory_node(source, b"d", directories), tmp_path / "target")
    assert result.findings == []
    for number in range(100):
        for index in range(5):
            path = tmp_path / "target" / f"{number:03}" / f"f{index}"
            assert path.read_bytes() == b"%d in %d" % (index, number)


def test_every_file_that_fails_is_reported(tmp_path: Path) -> None:
    source = DictSource()
    target = tmp_path / "target"
    nodes = [file_node(source, b"%03d" % number, b"%d" % number) for number in range(200)]

    class Blocking(DictSource):
        def fetch(self, ids):  # type: ignore[no-untyped-def]
            for item in super().fetch(ids):
                blocked = target / "100"
                if not blocked.exists():
                    blocked.mkdir(parents=True)
                yield item

    source.__class__ = Blocking
    result = run_restore(source, directory_node(source, b"d", nodes), target)
    assert [finding.path for finding in result.findings] == ["/100"]
    assert result.files == 199
    assert sorted(os.listdir(target)) == sorted(f"{number:03}" for number in range(200))


def test_the_switch_interval_is_put_back(tmp_path: Path) -> None:
    before = sys.getswitchinterval()
    source = DictSource()
    node = directory_node(source, b"d", [file_node(source, b"f", b"content")])
    run_restore(source, node, tmp_path / "target")
    assert sys.getswitchinterval() == before
