"""Create a repository: config and first key slot.

Before anything is stored the storage is tried out: where it does not create objects only if they
are absent, the config names the one host that may prune.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

import msgspec

from holdfast.backends.base import Backend
from holdfast.clock import Clock
from holdfast.crypto.aead import Suite
from holdfast.crypto.kdf import Argon2Parameters
from holdfast.crypto.keys import REPOSITORY_ID_LENGTH, Subkeys, new_root_key
from holdfast.crypto.secrets import KeyFile, Password
from holdfast.errors import AlreadyExistsError, ConfigurationError, RepositoryExistsError
from holdfast.format.config import (
    CONFIG_NAME,
    DEFAULT_PACK_SIZE,
    DEFAULT_SLICE_SIZE,
    Config,
    check_config,
    encode_config,
)
from holdfast.format.envelope import Envelope, ObjectKind
from holdfast.format.keyslot import encode_slot, make_slot
from holdfast.ids import new_object_id
from holdfast.operations.probe import probe_exclusive_create
from holdfast.repository import layout
from holdfast.repository.lock_ledger import span_days
from holdfast.version import VERSION

OTHER_PROCESS: Final = "another process is creating one there"
"""Why a location is not empty after all."""
SUITES = {"aes-256-gcm": Suite.AES_256_GCM, "chacha20-poly1305": Suite.CHACHA20_POLY1305}


@dataclass(frozen=True, slots=True, kw_only=True)
class InitOptions:
    """How a repository is created."""

    secret: Password | KeyFile
    label: str = ""
    """Of the first key slot; for people."""
    suite: str = "aes-256-gcm"
    pack_size: int = DEFAULT_PACK_SIZE
    slice_size: int = DEFAULT_SLICE_SIZE
    argon2_memory_kib: int = 64 * 1024
    host: str = ""
    """This host's name."""
    maintainer: str = ""
    """The host that alone may prune where the storage cannot keep two apart; empty for this one."""
    object_lock_days: int = 0
    """Have the storage protect what snapshots need for so many days; `require_object_lock` says
    whether it does. 0 for no protection."""
    probe: bool = True
    """Try out the storage. Not for a dry run, whose writes vanish."""


@dataclass(frozen=True, slots=True)
class InitResult:
    """What was created."""

    repository_id: str
    slot_id: str
    maintainer: str = ""
    """The host that alone may prune; empty if any host may."""


def plan_config(options: InitOptions, *, clock: Clock) -> Config:
    """Return the config that the options lead to.

    Raises:
        ConfigurationError: they make no sense together.
    """
    if options.suite not in SUITES:
        raise ConfigurationError(
            f"unknown cipher {options.suite!r}", f"choose {' or '.join(SUITES)}"
        )
    config = Config(
        created_ns=clock.now_ns(),
        pack_size=options.pack_size,
        slice_size=options.slice_size,
        suite=SUITES[options.suite],
        program_version=VERSION,
        object_lock_days=options.object_lock_days,
    )
    if reason := check_config(config):
        raise ConfigurationError(reason, "choose another size")
    return config


def init_repository(backend: Backend, options: InitOptions, *, clock: Clock) -> InitResult:
    """Create a repository in an empty location; durable on return.

    The key slot is stored first and the config last: a repository exists once its config does.

    Raises:
        RepositoryExistsError: the location holds something already.
        ConfigurationError: the options make no sense, the storage needs a maintainer and no host
            was named, or it is to protect objects and cannot.
        BackendError: the storage failed; the location still counts as empty, unless the key slot
            was stored.
    """
    config = plan_config(options, clock=clock)
    argon2 = Argon2Parameters(memory_kib=options.argon2_memory_kib)
    if not argon2.are_acceptable():
        raise ConfigurationError("Argon2id memory out of range", "choose 64 MiB to 4 GiB")
    backend.initialize()
    if options.probe:
        config = with_maintainer(config, backend, host=options.host, maintainer=options.maintainer)
    backend.protect(span_days(config.object_lock_days))
    repository_id, root_key, slot_id = (
        os.urandom(REPOSITORY_ID_LENGTH),
        new_root_key(),
        new_object_id(),
    )
    slot = make_slot(
        options.secret,
        root_key,
        repository_id,
        label=options.label,
        created_ns=config.created_ns,
        argon2=argon2,
    )
    # The suite of the config is fixed: it must be readable before it can name another.
    envelope = Envelope(
        repository_id, Subkeys.derive(root_key, repository_id).objects, Suite.AES_256_GCM
    )
    try:
        backend.create(layout.key_name(slot_id), encode_slot(slot, repository_id))
        data = envelope.seal(ObjectKind.CONFIG, CONFIG_NAME, encode_config(config))
        backend.create(CONFIG_NAME, data)
    except AlreadyExistsError as error:
        raise RepositoryExistsError(backend.location, OTHER_PROCESS) from error
    if not config.exclusive_create and backend.read(CONFIG_NAME) != data:
        raise RepositoryExistsError(backend.location, OTHER_PROCESS)
    return InitResult(repository_id.hex(), slot_id, config.maintainer)


def with_maintainer(config: Config, backend: Backend, *, host: str, maintainer: str) -> Config:
    """Try out the storage and note in the config what that showed.

    Raises:
        ConfigurationError: the storage needs a maintainer and no host was named.
    """
    if probe_exclusive_create(backend):
        return config
    maintainer = maintainer or host
    if not maintainer:
        raise ConfigurationError(
            "this storage needs one host that alone may prune", "name it with --maintainer HOST"
        )
    return msgspec.structs.replace(config, exclusive_create=False, maintainer=maintainer)
