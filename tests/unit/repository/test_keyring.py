"""Which slot a secret opens, and what is remembered of that."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.memory import MemoryBackend
from holdfast.backends.meter import Meter, MeteredBackend, RequestKind
from holdfast.crypto.secrets import KeyFile
from holdfast.errors import WrongKeyError
from holdfast.operations.keys import add_slot, remove_slot
from holdfast.repository.keyring import SlotMemory
from support.faults import bit_flipped, corrupt
from support.sessions import KEY_FILE, create, open_repository

OTHER = KeyFile(bytes(reversed(range(32))))


@pytest.fixture
def backend() -> Backend:
    return create()


def requests_to_open(backend: Backend, cache: Path, secret: KeyFile = KEY_FILE) -> tuple[int, int]:
    """Return the LISTs and GETs of opening."""
    meter = Meter()
    with open_repository(MeteredBackend(backend, meter), cache, secret=secret):
        pass
    counts = meter.counts()
    return counts[RequestKind.LIST].requests, counts[RequestKind.GET].requests


def test_the_slot_that_was_opened_last_is_tried_first(backend: Backend, tmp_path: Path) -> None:
    with open_repository(backend, tmp_path) as repository:
        add_slot(repository, OTHER)
    cold, warm = tmp_path / "cold", tmp_path
    assert requests_to_open(backend, cold) == (1, 3)
    assert requests_to_open(backend, warm) == (0, 2)
    assert requests_to_open(backend, warm, OTHER) == (1, 4)
    assert requests_to_open(backend, warm, OTHER) == (0, 2)


def test_a_damaged_slot_leads_to_the_others(backend: Backend, tmp_path: Path) -> None:
    with open_repository(backend, tmp_path) as repository:
        damaged = repository.slot_id
        sound = add_slot(repository, KEY_FILE).id
    assert isinstance(backend, MemoryBackend)
    corrupt(backend, f"keys/{damaged}", bit_flipped(100))
    for _ in range(2):
        with open_repository(backend, tmp_path) as repository:
            assert repository.slot_id == sound


def test_a_removed_slot_opens_nothing(backend: Backend, tmp_path: Path) -> None:
    with open_repository(backend, tmp_path) as repository:
        removed = repository.slot_id
        add_slot(repository, OTHER)
    with open_repository(backend, tmp_path / "elsewhere", secret=OTHER) as repository:
        remove_slot(repository, removed)
    with pytest.raises(WrongKeyError):
        open_repository(backend, tmp_path)
    with open_repository(backend, tmp_path, secret=OTHER):
        pass


@pytest.mark.parametrize("content", [b"", b"\xff", b"../../config", b"0" * 32])
def test_a_strange_memory_does_no_harm(backend: Backend, tmp_path: Path, content: bytes) -> None:
    with open_repository(backend, tmp_path) as repository:
        memory = Path(repository.cache.directory) / "slot"
    memory.write_bytes(content)
    with open_repository(backend, tmp_path) as repository:
        slot_id = repository.slot_id
    assert memory.read_text() == slot_id


def test_a_memory_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    memory = SlotMemory(str(tmp_path / "absent"))
    memory.remember("00" * 16)
    assert memory.recall() == ""
