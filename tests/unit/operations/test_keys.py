"""Key slots: add, list, remove, change; nobody is locked out and no cost is lowered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.memory import MemoryBackend
from holdfast.crypto.kdf import Argon2Parameters
from holdfast.crypto.secrets import KeyFile, Password, parse_recovery_words
from holdfast.errors import KeySlotError, WrongKeyError
from holdfast.operations.init import InitOptions, init_repository
from holdfast.operations.keys import (
    add_recovery,
    add_slot,
    change_password,
    find_slot,
    list_slots,
    remove_slot,
)
from holdfast.repository.keyring import read_slots
from holdfast.repository.repository import Repository
from support.sessions import (
    CLOCK,
    KEY_FILE,
    create,
    flip,
    names_in,
    open_repository,
    replace_object,
)

OTHER = KeyFile(b"o" * 32)


@pytest.fixture
def backend() -> Backend:
    return create()


@pytest.fixture
def repository(backend: Backend, tmp_path: Path) -> Iterator[Repository]:
    with open_repository(backend, tmp_path) as opened:
        yield opened


def test_an_added_key_opens_and_is_listed(
    repository: Repository, backend: Backend, tmp_path: Path
) -> None:
    added = add_slot(repository, OTHER, label="laptop")
    assert [(slot.label, slot.opened) for slot in list_slots(repository)] == [
        ("", True),
        ("laptop", False),
    ]
    assert (added.kind, added.opened) == ("key-file", False)
    with open_repository(backend, tmp_path, secret=OTHER) as other:
        assert other.slot_id == added.id
        assert other.root_key == repository.root_key
        assert [slot.opened for slot in list_slots(other)] == [False, True]


def test_a_removed_key_opens_nothing(
    repository: Repository, backend: Backend, tmp_path: Path
) -> None:
    added = add_slot(repository, OTHER)
    assert remove_slot(repository, added.id[:6], dry_run=True) == added
    assert len(list_slots(repository)) == 2
    assert remove_slot(repository, added.id[:6]) == added
    with pytest.raises(WrongKeyError):
        open_repository(backend, tmp_path, secret=OTHER)


def test_the_key_in_use_is_not_removed(repository: Repository) -> None:
    with pytest.raises(KeySlotError, match="you opened"):
        remove_slot(repository, repository.slot_id)
    assert len(list_slots(repository)) == 1


def test_prefixes_mean_one_slot_or_none(repository: Repository) -> None:
    for number in range(20):  # more slots than first digits: two share one
        add_slot(repository, KeyFile(bytes([number]) * 32))
    first = [slot.id[0] for slot in list_slots(repository)]
    shared = next(digit for digit in first if first.count(digit) > 1)
    with pytest.raises(KeySlotError, match="key slots begin with"):
        find_slot(repository, shared)
    for nothing in ("", "xyz"):
        with pytest.raises(KeySlotError, match="no key slot"):
            find_slot(repository, nothing)
    assert find_slot(repository, repository.slot_id).opened


def test_a_recovery_key_opens_from_its_words(
    repository: Repository, backend: Backend, tmp_path: Path
) -> None:
    slot, words = add_recovery(repository, label="safe")
    assert (slot.kind, slot.label) == ("recovery", "safe")
    stored = b"".join(backend.read(name) for name in names_in(backend, ""))
    assert parse_recovery_words(words).seed not in stored
    with open_repository(backend, tmp_path, secret=parse_recovery_words(words)) as other:
        assert other.slot_id == slot.id
        assert other.root_key == repository.root_key


def test_a_password_is_changed_and_stays_as_costly(tmp_path: Path) -> None:
    backend = MemoryBackend()
    memory_kib = Argon2Parameters().memory_kib + 1024
    options = InitOptions(secret=Password("old"), label="me", argon2_memory_kib=memory_kib)
    first = init_repository(backend, options, clock=CLOCK)
    with open_repository(backend, tmp_path, secret=Password("old")) as repository:
        changed = change_password(repository, Password("new"))
        assert changed.id != first.slot_id
        assert changed.label == "me"
        assert [slot.opened for slot in list_slots(repository)] == [True]
    slots, _ = read_slots(backend, bytes.fromhex(first.repository_id))
    assert [slot.memory_kib for slot in slots.values()] == [memory_kib]
    with pytest.raises(WrongKeyError):
        open_repository(backend, tmp_path, secret=Password("old"))
    open_repository(backend, tmp_path, secret=Password("new")).close()


def test_a_key_file_has_no_password_to_change(repository: Repository) -> None:
    with pytest.raises(KeySlotError, match="key-file"):
        change_password(repository, Password("x"))
    assert len(list_slots(repository)) == 1


def test_damaged_and_foreign_slots_are_passed_over(
    repository: Repository, backend: Backend, tmp_path: Path
) -> None:
    damaged = add_slot(repository, OTHER)
    name = f"keys/{damaged.id}"
    replace_object(backend, name, flip(backend.read(name), 40))
    foreign = create()
    (foreign_name,) = names_in(foreign, "keys/")
    backend.create(foreign_name, foreign.read(foreign_name))
    backend.create("keys/readme", b"not a slot")
    slots, problems = read_slots(backend, repository.repository_id)
    assert list(slots) == [repository.slot_id]
    assert {problem.name for problem in problems} == {damaged.id, foreign_name[5:]}
    open_repository(backend, tmp_path, secret=KEY_FILE).close()
