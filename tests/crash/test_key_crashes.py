"""The process dies while key slots change: nobody who had access is locked out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.memory import MemoryBackend
from holdfast.clock import SystemClock
from holdfast.crypto import kdf
from holdfast.crypto.kdf import Argon2Parameters
from holdfast.crypto.secrets import KeyFile, Password, Secret
from holdfast.errors import WrongKeyError
from holdfast.operations import keys
from holdfast.operations.init import InitOptions, init_repository
from holdfast.operations.keys import add_slot, change_password, list_slots, remove_slot
from support.faults import CrashingBackend, RecordingBackend, SimulatedCrash, power_losses
from support.repos import SECRET, check_all, copy_store, new_store, open_repository

OTHER = KeyFile(bytes(range(32, 64)))
OLD_PASSWORD, NEW_PASSWORD = Password("old"), Password("new")


def opens(store: Backend, cache: Path, secret: Secret) -> bool:
    """Tell whether a secret opens the repository, which is sound then."""
    try:
        with open_repository(store, cache, secret) as repository:
            assert check_all(repository).ok
            return True
    except WrongKeyError:
        return False


Look = Callable[[MemoryBackend], tuple[bool, bool]]


def outcomes(store: MemoryBackend, run: Callable[[Backend], None], look: Look) -> set[object]:
    """Return what `look` sees after each crash, each power cut and a run that survives."""
    seen: set[object] = set()
    crashed, number = True, 0
    while crashed:
        for last_happened in (False, True):
            left = copy_store(store)
            try:
                run(CrashingBackend(left, number, last_happened=last_happened))
                crashed = False
            except SimulatedCrash:
                pass
            seen.add(look(left))
        number += 1
    assert number > 1
    recording = RecordingBackend(copy_store(store))
    run(recording)
    seen.update(map(look, power_losses(recording)))
    return seen


def test_adding_a_key_dies(ram_path: Path) -> None:
    def run(backend: Backend) -> None:
        with open_repository(backend, ram_path) as repository:
            add_slot(repository, OTHER)

    def look(store: MemoryBackend) -> tuple[bool, bool]:
        return opens(store, ram_path, SECRET), opens(store, ram_path, OTHER)

    assert outcomes(new_store(), run, look) == {(True, False), (True, True)}


def test_removing_a_key_dies(ram_path: Path) -> None:
    store = new_store()
    with open_repository(store, ram_path) as repository:
        add_slot(repository, OTHER)

    def run(backend: Backend) -> None:
        with open_repository(backend, ram_path) as repository:
            (other,) = (slot for slot in list_slots(repository) if not slot.opened)
            remove_slot(repository, other.id)

    def look(store: MemoryBackend) -> tuple[bool, bool]:
        return opens(store, ram_path, SECRET), opens(store, ram_path, OTHER)

    assert outcomes(store, run, look) == {(True, True), (True, False)}


@pytest.fixture
def weak_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id costs next to nothing."""
    monkeypatch.setattr(kdf, "MIN_MEMORY_KIB", 64)
    monkeypatch.setattr(kdf, "MIN_PASSES", 1)
    weak = Argon2Parameters(memory_kib=64, passes=1, lanes=1)
    monkeypatch.setattr(keys, "Argon2Parameters", lambda: weak)


@pytest.mark.usefixtures("weak_passwords")
def test_changing_the_password_dies(ram_path: Path) -> None:
    """At each moment the old password opens, or the new one, or both."""
    store = MemoryBackend()
    options = InitOptions(secret=OLD_PASSWORD, argon2_memory_kib=64)
    init_repository(store, options, clock=SystemClock())

    def run(backend: Backend) -> None:
        with open_repository(backend, ram_path, OLD_PASSWORD) as repository:
            change_password(repository, NEW_PASSWORD)

    def look(store: MemoryBackend) -> tuple[bool, bool]:
        return opens(store, ram_path, OLD_PASSWORD), opens(store, ram_path, NEW_PASSWORD)

    assert outcomes(store, run, look) == {(True, False), (True, True), (False, True)}
