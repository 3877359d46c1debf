"""What MemoryBackend promises beyond the contract."""

from __future__ import annotations

import pytest

from holdfast.backends.memory import MemoryBackend
from holdfast.errors import NotFoundError


class StoppedClock:
    """A clock that shows one moment."""

    def now_ns(self) -> int:
        return 1_700_000_000_500_000_000

    def monotonic_s(self) -> float:
        return 0.0

    def sleep_s(self, seconds: float) -> None:
        raise NotImplementedError


def test_objects_bear_the_time_of_the_given_clock() -> None:
    backend = MemoryBackend(clock=StoppedClock())
    backend.create("a", b"")
    assert [info.modified_s for info in backend.list("")] == [1_700_000_000.5]


def test_close_keeps_the_objects() -> None:
    backend = MemoryBackend()
    backend.create("a", b"data")
    backend.close()
    assert backend.read("a") == b"data"


def test_errors_name_the_given_location() -> None:
    with pytest.raises(NotFoundError, match="attic"):
        MemoryBackend("attic").read("a")
