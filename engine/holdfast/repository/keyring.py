"""The key slots of a repository: finding the one that a secret opens."""

from __future__ import annotations

from holdfast.backends.base import Backend
from holdfast.crypto.secrets import Secret, describe
from holdfast.errors import IntegrityError, WrongKeyError
from holdfast.format.keyslot import KeySlot, decode_slot, open_slot
from holdfast.ids import ObjectId
from holdfast.repository import layout


def read_slots(
    backend: Backend, repository_id: bytes
) -> tuple[dict[ObjectId, KeySlot], list[IntegrityError]]:
    """Read every key slot.

    Returns:
        The sound slots by id, oldest first, and the errors of damaged ones.
    """
    slots: dict[ObjectId, KeySlot] = {}
    problems: list[IntegrityError] = []
    for info in backend.list(layout.KEYS):
        slot_id = layout.id_of(info.name)
        if slot_id is None:
            continue
        try:
            found_id, slot = decode_slot(backend.read(info.name), slot_id)
            if found_id != repository_id:
                raise IntegrityError("key slot", slot_id, "it belongs to another repository")
        except IntegrityError as error:
            problems.append(error)
            continue
        slots[slot_id] = slot
    return dict(sorted(slots.items(), key=lambda item: (item[1].created_ns, item[0]))), problems


def unlock(backend: Backend, secret: Secret, repository_id: bytes) -> tuple[ObjectId, bytes]:
    """Return the slot that `secret` opens, and the root key (32 bytes).

    Raises:
        WrongKeyError: it opens none.
        IntegrityError: it opens none, and a slot is damaged that it might have opened.
    """
    slots, problems = read_slots(backend, repository_id)
    for slot_id, slot in slots.items():
        root_key = open_slot(slot, secret, repository_id)
        if root_key is not None:
            return slot_id, root_key
    if problems:
        raise problems[0]
    raise WrongKeyError(backend.location, describe(secret))
