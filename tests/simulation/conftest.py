"""For simulations: the machine they run on, and the count of what they explore."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from simulation.world import Counts, Machine
from support.repos import MEMORY_DIRECTORY


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """What the simulations of a test share."""
    with tempfile.TemporaryDirectory(prefix="holdfast-test-", dir=MEMORY_DIRECTORY) as directory:
        yield Machine.prepare(Path(directory), monkeypatch)


@pytest.fixture
def counts(record_property: Callable[[str, object], None]) -> Counts:
    """What the test explores; told at the end of the session."""
    counts = Counts()
    record_property("simulation", counts.totals)  # the report is made after the test has counted
    return counts
