"""Key slots: list, add, remove, change the password, make a recovery key.

Removing a slot does not revoke what was copied: who has kept a slot's object and knows its
secret still has the root key. The documentation says so.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from holdfast.crypto.kdf import Argon2Parameters
from holdfast.crypto.secrets import Password, RecoveryKey, Secret, recovery_words
from holdfast.errors import KeySlotError
from holdfast.format.keyslot import KeySlot, SlotKind, encode_slot, make_slot
from holdfast.ids import ObjectId, new_object_id
from holdfast.repository import layout
from holdfast.repository.keyring import read_slots
from holdfast.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """One key slot as people see it."""

    id: str
    kind: str
    """"password", "key-file" or "recovery"."""
    label: str
    created_ns: int
    opened: bool
    """Whether this session was opened with it."""


def list_slots(repository: Repository) -> list[SlotInfo]:
    """Return all sound slots, oldest first."""
    slots, _ = read_slots(repository.backend, repository.repository_id)
    return [_describe(repository, slot_id, slot) for slot_id, slot in slots.items()]


def add_slot(
    repository: Repository,
    secret: Secret,
    *,
    label: str = "",
    argon2: Argon2Parameters | None = None,
) -> SlotInfo:
    """Wrap the root key for one more secret; durable on return."""
    slot_id = new_object_id()
    slot = make_slot(
        secret,
        repository.root_key,
        repository.repository_id,
        label=label,
        created_ns=repository.clock.now_ns(),
        argon2=argon2 or Argon2Parameters(),
    )
    repository.backend.create(layout.key_name(slot_id), encode_slot(slot, repository.repository_id))
    return _describe(repository, slot_id, slot)


def find_slot(repository: Repository, prefix: str) -> SlotInfo:
    """Return the slot whose id begins with `prefix`.

    Raises:
        KeySlotError: none or several do.
    """
    found = [slot for slot in list_slots(repository) if prefix and slot.id.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    what = (
        f"{len(found)} key slots begin with {prefix}"
        if found
        else f"no key slot begins with {prefix}"
    )
    raise KeySlotError(what, "`holdfast key list` shows them")


def remove_slot(repository: Repository, prefix: str, *, dry_run: bool = False) -> SlotInfo:
    """Delete a slot.

    Raises:
        KeySlotError: it is unknown, or the one this session was opened with. So the last slot
            that works for anybody cannot be removed.
    """
    slot = find_slot(repository, prefix)
    if slot.opened:
        raise KeySlotError(
            f"key slot {slot.id[:12]} is the one you opened the repository with",
            "open it with another key to remove this one, so that nobody is locked out",
        )
    if not dry_run:
        repository.backend.delete(layout.key_name(slot.id))
    return slot


def change_password(repository: Repository, password: Password) -> SlotInfo:
    """Replace the slot of this session by one with another password.

    The new slot is durable before the old one goes.

    Raises:
        KeySlotError: the session was not opened with a password.
    """
    old = find_slot(repository, repository.slot_id)
    if old.kind != SlotKind.PASSWORD.label:
        raise KeySlotError(
            f"this session was opened with a {old.kind} slot",
            "open the repository with the password that is to change, or use `holdfast key add`",
        )
    slots, _ = read_slots(repository.backend, repository.repository_id)
    cost = slots[ObjectId(old.id)].argon2()  # what its owner chose; never less than before
    new = add_slot(repository, password, label=old.label, argon2=cost)
    repository.backend.delete(layout.key_name(old.id))
    repository.slot_id = ObjectId(new.id)
    return new


def add_recovery(repository: Repository, *, label: str = "recovery") -> tuple[SlotInfo, str]:
    """Make a recovery key; return its slot and the 24 words, which are stored nowhere."""
    recovery = RecoveryKey(os.urandom(32))
    return add_slot(repository, recovery, label=label), recovery_words(recovery)


def _describe(repository: Repository, slot_id: str, slot: KeySlot) -> SlotInfo:
    return SlotInfo(
        slot_id,
        SlotKind(slot.kind).label,
        slot.label,
        slot.created_ns,
        slot_id == repository.slot_id,
    )
