"""Create a mirror: an empty repository with the keys of another.

It has the same repository id, root key and key slots, so whatever opens the one opens the other,
and packs can be copied as they are. What is true of one of them only, its log of prune and its
cache, must not be taken for the other's: a mirror's config has an instance of its own.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from holdfast.backends.base import Backend
from holdfast.clock import Clock
from holdfast.crypto.aead import Suite
from holdfast.errors import AlreadyExistsError, NotFoundError, RepositoryExistsError
from holdfast.format.config import CONFIG_NAME, encode_config
from holdfast.format.envelope import Envelope, ObjectKind
from holdfast.operations.init import OTHER_PROCESS, InitResult, with_maintainer
from holdfast.repository import layout
from holdfast.repository.keyring import read_slots
from holdfast.repository.lock_ledger import span_days
from holdfast.repository.repository import Repository
from holdfast.version import VERSION

_INSTANCE_LENGTH: Final = 16


def init_mirror(
    source: Repository,
    backend: Backend,
    *,
    clock: Clock,
    host: str = "",
    maintainer: str = "",
    object_lock_days: int = 0,
    probe: bool = True,
) -> InitResult:
    """Create an empty mirror of a repository in an empty location; durable on return.

    Args:
        source: opened; its parameters and key slots are taken over.
        backend: where the mirror is to be.
        clock: for its time.
        host: as in `InitOptions`.
        maintainer: as in `InitOptions`.
        object_lock_days: as in `InitOptions`; that of the source means nothing here.
        probe: as in `InitOptions`.

    Raises:
        RepositoryExistsError: the location holds something already.
        ConfigurationError: the storage needs a maintainer and no host was named, or it is to
            protect objects and cannot.
        IntegrityError: no key slot of the source is sound.
    """
    config = msgspec.structs.replace(
        source.config,
        created_ns=clock.now_ns(),
        program_version=VERSION,
        exclusive_create=True,
        maintainer="",
        object_lock_days=object_lock_days,
        instance=os.urandom(_INSTANCE_LENGTH),
    )
    backend.initialize()
    if probe:
        config = with_maintainer(config, backend, host=host, maintainer=maintainer)
    backend.protect(span_days(object_lock_days))
    envelope = Envelope(source.repository_id, source.keys.objects, Suite.AES_256_GCM)
    data = envelope.seal(ObjectKind.CONFIG, CONFIG_NAME, encode_config(config))
    try:
        copied = _copy_slots(source, backend)
        backend.create(CONFIG_NAME, data)
    except AlreadyExistsError as error:
        raise RepositoryExistsError(backend.location, OTHER_PROCESS) from error
    if not config.exclusive_create and backend.read(CONFIG_NAME) != data:
        raise RepositoryExistsError(backend.location, OTHER_PROCESS)
    return InitResult(source.repository_id.hex(), copied[0], config.maintainer)


def _copy_slots(source: Repository, backend: Backend) -> list[str]:
    """Copy the key slots byte for byte; return their ids."""
    slots, problems = read_slots(source.backend, source.repository_id)
    copied: list[str] = []
    for slot_id in slots:
        name = layout.key_name(slot_id)
        try:
            data = source.backend.read(name)
        except NotFoundError:
            continue  # removed just now
        backend.create(name, data)
        copied.append(slot_id)
    if not copied:
        raise problems[0] if problems else NotFoundError(source.backend.location, layout.KEYS)
    return copied
