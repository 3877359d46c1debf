"""The cache that threads share: each value is made once, and memory is bounded."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast.repository.shared_cache import SharedCache


def make(value: bytes) -> tuple[bytes, int]:
    return value, len(value)


def test_a_value_is_made_once_however_many_threads_want_it() -> None:
    cache: SharedCache[str, bytes] = SharedCache(100)
    made: list[str] = []
    gate = threading.Event()

    def slowly() -> tuple[bytes, int]:
        made.append("a")
        assert gate.wait(10)
        return b"value", 5

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(cache.load, "a", slowly) for _ in range(8)]
        while not made:
            pass
        gate.set()
        assert {future.result() for future in waiting} == {b"value"}
    assert made == ["a"]


def test_what_fails_is_told_to_all_and_tried_again() -> None:
    cache: SharedCache[str, bytes] = SharedCache(100)
    assert cache.claim("a")

    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(cache.load, "a", lambda: make(b"other")) for _ in range(2)]
        cache.fail("a", OSError("storage"))
        outcomes = [future.exception() or future.result() for future in waiting]
    assert all(one == b"other" or isinstance(one, OSError) for one in outcomes)
    assert cache.load("a", lambda: make(b"new")) in (b"new", b"other")

    def fail() -> tuple[bytes, int]:
        raise KeyError("b")

    with pytest.raises(KeyError):
        cache.load("b", fail)
    assert cache.load("b", lambda: make(b"now")) == b"now"


def test_claims_are_settled_for_those_who_wait() -> None:
    cache: SharedCache[str, bytes] = SharedCache(100)
    assert cache.claim("a")
    assert not cache.claim("a")
    assert "a" in cache
    assert cache.get("a") is None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(cache.load, "a", lambda: make(b"never made"))
        cache.settle("a", b"promised", 8)
        assert waiting.result() == b"promised"
    assert cache.get("a") == b"promised"
    assert not cache.claim("a")


def test_the_least_recently_used_go() -> None:
    cache: SharedCache[int, bytes] = SharedCache(30)
    for key in range(3):
        cache.load(key, lambda: make(b"x" * 10))
    cache.load(0, lambda: make(b""))  # used again
    cache.load(3, lambda: make(b"y" * 10))
    assert [key for key in range(4) if cache.get(key) is not None] == [0, 2, 3]
    assert cache.size == 30


def test_one_value_may_be_larger_than_all() -> None:
    cache: SharedCache[int, bytes] = SharedCache(30)
    assert cache.load(0, lambda: make(b"x" * 100)) == b"x" * 100
    assert cache.get(0) == b"x" * 100
    cache.load(1, lambda: make(b"y"))
    assert cache.get(0) is None
    assert cache.size == 1


def test_what_was_made_first_goes_first_where_that_is_wanted() -> None:
    cache: SharedCache[int, bytes] = SharedCache(30, keep_used=False)
    for key in range(3):
        cache.load(key, lambda: make(b"x" * 10))
    cache.load(0, lambda: make(b""))  # used again
    cache.load(3, lambda: make(b"y" * 10))
    assert [key for key in range(4) if cache.get(key) is not None] == [1, 2, 3]
