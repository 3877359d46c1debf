"""The key slots of a repository: finding the one that a secret opens."""

from __future__ import annotations

import os

from holdfast.backends.base import Backend
from holdfast.crypto.secrets import Secret, describe
from holdfast.errors import IntegrityError, NotFoundError, WrongKeyError
from holdfast.format.keyslot import KeySlot, decode_slot, open_slot
from holdfast.ids import ObjectId, is_object_id
from holdfast.repository import layout
from holdfast.repository.listing import list_objects


def read_slots(
    backend: Backend, repository_id: bytes
) -> tuple[dict[ObjectId, KeySlot], list[IntegrityError]]:
    """Read every key slot.

    Returns:
        The sound slots by id, oldest first, and the errors of damaged ones.
    """
    slots: dict[ObjectId, KeySlot] = {}
    problems: list[IntegrityError] = []
    for slot_id, info in list_objects(backend, layout.KEYS).items():
        try:
            found_id, slot = decode_slot(backend.read(info.name), slot_id)
            if found_id != repository_id:
                raise IntegrityError("key slot", slot_id, "it belongs to another repository")
        except IntegrityError as error:
            problems.append(error)
            continue
        slots[slot_id] = slot
    return dict(sorted(slots.items(), key=lambda item: (item[1].created_ns, item[0]))), problems


def unlock(
    backend: Backend, secret: Secret, repository_id: bytes, *, likely: str = ""
) -> tuple[ObjectId, bytes]:
    """Return the slot that `secret` opens, and the root key (32 bytes).

    Args:
        backend: of the repository.
        secret: opens a slot.
        repository_id: of the repository.
        likely: id of the slot that was opened last time; tried first, which saves a LIST.

    Raises:
        WrongKeyError: it opens none.
        IntegrityError: it opens none, and a slot is damaged that it might have opened.
    """
    root_key = _try_slot(backend, secret, repository_id, likely)
    if root_key is not None:
        return ObjectId(likely), root_key
    slots, problems = read_slots(backend, repository_id)
    for slot_id, slot in slots.items():
        root_key = open_slot(slot, secret, repository_id)
        if root_key is not None:
            return slot_id, root_key
    if problems:
        raise problems[0]
    raise WrongKeyError(backend.location, describe(secret))


def _try_slot(backend: Backend, secret: Secret, repository_id: bytes, slot_id: str) -> bytes | None:
    """Return the root key if that slot exists, is sound and opens."""
    if not is_object_id(slot_id):
        return None
    try:
        found_id, slot = decode_slot(backend.read(layout.key_name(slot_id)), ObjectId(slot_id))
    except (IntegrityError, NotFoundError):
        return None
    return open_slot(slot, secret, repository_id) if found_id == repository_id else None


class SlotMemory:
    """Which slot was opened last; a file beside the cache that may vanish at any time.

    Args:
        directory: of the cache of one repository.
    """

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, "slot")

    def recall(self) -> str:
        """Return the slot's id, or something that is none."""
        try:
            with open(self._path, encoding="ascii") as file:
                return file.read(64)
        except (OSError, UnicodeDecodeError):
            return ""

    def remember(self, slot_id: str) -> None:
        """Write down a slot, as far as that is possible."""
        try:
            with open(self._path, "w", encoding="ascii") as file:
                file.write(slot_id)
        except OSError:
            pass
