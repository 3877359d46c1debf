"""Fixtures of the tests that mount: they skip where there is no FUSE."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.mounting import Store, reason_against


@pytest.fixture(scope="session", autouse=True)
def fuse() -> None:
    """Skips every test here, with the reason, where nothing can be mounted."""
    if reason := reason_against():
        pytest.skip(reason)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A fresh repository."""
    return Store(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small tree."""
    root = tmp_path / "source"
    (root / "inner").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"alpha\n")
    (root / "inner" / "b.txt").write_bytes(b"beta\n")
    os.symlink("a.txt", root / "link")
    return root
