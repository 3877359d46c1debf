"""For the crash tests: hundreds of caches that are each used for a moment need no disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.repos import MEMORY_DIRECTORY


@pytest.fixture
def ram_path(tmp_path: Path) -> Iterator[Path]:
    """An empty directory, in memory where that is possible."""
    if MEMORY_DIRECTORY is None:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="holdfast-test-", dir=MEMORY_DIRECTORY) as directory:
        yield Path(directory)
