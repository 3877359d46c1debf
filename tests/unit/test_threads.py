"""How many threads there are to be."""

from __future__ import annotations

import os

import pytest

from holdfast.threads import working_threads


@pytest.mark.parametrize(("cores", "threads"), [(None, 2), (1, 2), (2, 2), (5, 5), (8, 8), (64, 8)])
def test_threads_follow_the_cores_within_bounds(
    cores: int | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert working_threads() == threads
