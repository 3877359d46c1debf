"""Ctrl-C between any two instructions of writing: what is taken over afterwards is sound."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

from holdfast.repository import pack_stream, writer
from support.repos import (
    MEMORY_DIRECTORY,
    back_up,
    check_all,
    new_store,
    open_repository,
    random_files,
    write_tree,
)

WATCHED: Final = {pack_stream.__file__, writer.__file__}
INTERRUPTS: Final = 20


class Interrupter:
    """Raises KeyboardInterrupt before one of the instructions of the watched modules."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.count = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        if frame.f_code.co_filename not in WATCHED:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            self.count += 1
            if self.count == self.at:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self


def run(source: Path, at: int | None) -> int:
    """Back up until instruction `at`, then again to the end; return the instructions of the first."""
    store = new_store()
    interrupter = Interrupter(at)
    with tempfile.TemporaryDirectory(dir=MEMORY_DIRECTORY) as cache:
        with open_repository(store, cache) as repository:
            sys.settrace(interrupter)
            try:
                back_up(repository, source)
            except KeyboardInterrupt:
                assert at is not None
            finally:
                sys.settrace(None)
        with open_repository(store, cache) as repository:
            back_up(repository, source)
            assert check_all(repository).damage == [], f"interrupted before instruction {at}"
    return interrupter.count


def test_what_an_interrupt_leaves_is_sound(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", random_files(1, [300_000] * 5 + [9_000] * 30))
    total = run(source, None)
    assert total > 10_000
    chance = random.Random(7)
    for _ in range(INTERRUPTS):
        run(source, chance.randrange(1, total))


@pytest.mark.parametrize("name", ["add", "take", "_ship", "_store_oldest", "_write", "_close"])
def test_instructions_that_lay_down_bytes(name: str, tmp_path: Path) -> None:
    """Each instruction of one call in the middle of a pack."""
    source = write_tree(tmp_path / "source", random_files(2, [150_000] * 9 + [9_000] * 20))
    found: list[int] = []

    class Finder(Interrupter):
        calls = 0

        def __call__(
            self, frame: FrameType, event: str, argument: Any
        ) -> Callable[..., Any] | None:
            traced = super().__call__(frame, event, argument)
            if traced is not None and frame.f_code.co_name == name:
                if event == "call":
                    self.calls += 1
                elif event == "opcode" and self.calls == 3:
                    found.append(self.count)
            return traced

    finder = Finder(None)
    with open_repository(new_store(), tmp_path / "whole") as repository:
        sys.settrace(finder)
        try:
            back_up(repository, source)
        finally:
            sys.settrace(None)
    for at in found[:: max(1, len(found) // 8)]:
        run(source, at)
