"""Creating repositories, and opening them again."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.backends.local import LocalBackend
from holdfast.backends.memory import MemoryBackend
from holdfast.crypto.aead import Suite
from holdfast.crypto.secrets import KeyFile, Password, RecoveryKey
from holdfast.errors import (
    ConfigurationError,
    IntegrityError,
    RepositoryExistsError,
    RepositoryNotFoundError,
    UnsupportedVersionError,
    WrongKeyError,
)
from holdfast.hashing import Bytes, trailer
from holdfast.operations.init import InitOptions, init_repository
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


def test_what_is_created(tmp_path: Path) -> None:
    backend = MemoryBackend()
    options = InitOptions(secret=KEY_FILE, label="desk", pack_size=2 << 20, slice_size=128 << 10)
    result = init_repository(backend, options, clock=CLOCK)
    assert names_in(backend, "") == ["config", f"keys/{result.slot_id}"]
    with open_repository(backend, tmp_path) as repository:
        assert repository.repository_id.hex() == result.repository_id
        assert repository.slot_id == result.slot_id
        assert (repository.config.pack_size, repository.config.slice_size) == (2 << 20, 128 << 10)
        assert repository.snapshots() == []
        assert repository.problems == []
    assert (tmp_path / result.repository_id / "lmdb").is_dir()


@pytest.mark.parametrize(("name", "suite"), [("aes-256-gcm", 1), ("chacha20-poly1305", 2)])
def test_suites(name: str, suite: int, tmp_path: Path) -> None:
    with open_repository(create(suite=name), tmp_path) as repository:
        assert repository.envelope.suite == Suite(suite)


def test_two_repositories_share_no_secret(tmp_path: Path) -> None:
    with (
        open_repository(create(), tmp_path) as one,
        open_repository(create(), tmp_path) as other,
    ):
        assert one.repository_id != other.repository_id
        assert one.root_key != other.root_key
        assert one.keys.chunker != other.keys.chunker


@pytest.mark.parametrize(
    "change",
    [
        {"suite": "rot13"},
        {"pack_size": 1000},
        {"slice_size": 1},
        {"slice_size": 16 << 20, "pack_size": 8 << 20},
        {"argon2_memory_kib": 1024},
        {"argon2_memory_kib": 8 << 20},
    ],
)
def test_impossible_options_create_nothing(change: dict[str, object]) -> None:
    backend = MemoryBackend()
    with pytest.raises(ConfigurationError):
        init_repository(backend, InitOptions(secret=KEY_FILE, **change), clock=CLOCK)  # type: ignore[arg-type]
    assert names_in(backend, "") == []


def test_a_location_in_use_is_left_alone(tmp_path: Path) -> None:
    backend = create()
    before = {name: backend.read(name) for name in names_in(backend, "")}
    with pytest.raises(RepositoryExistsError):
        create(backend)
    assert {name: backend.read(name) for name in names_in(backend, "")} == before
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("mine")
    with pytest.raises(RepositoryExistsError):
        create(LocalBackend(str(tmp_path / "used")))
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["file"]


class _Race(MemoryBackend):
    """Another process creates its config just before ours."""

    def create(self, name: str, data: Bytes) -> None:
        if name == "config":
            super().create(name, b"theirs")
        super().create(name, data)


def test_of_two_at_once_one_wins() -> None:
    backend = _Race()
    with pytest.raises(RepositoryExistsError, match="another process"):
        create(backend)
    assert backend.read("config") == b"theirs"


def test_opening_nothing(tmp_path: Path) -> None:
    with pytest.raises(RepositoryNotFoundError):
        open_repository(MemoryBackend(), tmp_path)


@pytest.mark.parametrize(
    ("secret", "kind"),
    [
        (KeyFile(b"x" * 32), "key file"),
        (Password("x"), "password"),
        (RecoveryKey(bytes(32)), "recovery key"),
    ],
)
def test_wrong_secrets(secret: KeyFile | Password | RecoveryKey, kind: str, tmp_path: Path) -> None:
    with pytest.raises(WrongKeyError, match=f"wrong {kind}"):
        open_repository(create(), tmp_path, secret=secret)
    assert list(tmp_path.iterdir()) == []


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    backend = create()
    config = bytearray(backend.read("config"))
    config[4] = 9
    replace_object(backend, "config", bytes(config[:-32]) + trailer(bytes(config[:-32])))
    with pytest.raises(UnsupportedVersionError) as caught:
        open_repository(backend, tmp_path)
    assert caught.value.found == 9


@pytest.mark.parametrize("at", [0, 5, 20, 30, 60, 100, -1])
def test_a_damaged_config(at: int, tmp_path: Path) -> None:
    backend = create()
    replace_object(backend, "config", flip(backend.read("config"), at))
    with pytest.raises(IntegrityError):
        open_repository(backend, tmp_path)


def test_a_damaged_slot_is_not_called_a_wrong_key(tmp_path: Path) -> None:
    backend = create()
    (name,) = names_in(backend, "keys/")
    replace_object(backend, name, flip(backend.read(name), -50))
    with pytest.raises(IntegrityError):
        open_repository(backend, tmp_path)


def test_the_backend_is_closed_also_if_opening_fails(tmp_path: Path) -> None:
    closed = []

    class Closing(MemoryBackend):
        def close(self) -> None:
            closed.append(True)

    backend = Closing()
    create(backend)
    with pytest.raises(WrongKeyError):
        open_repository(backend, tmp_path, secret=KeyFile(bytes(32)))
    assert closed == [True]
    with Repository.open(backend, KEY_FILE, cache_dir=str(tmp_path), clock=CLOCK):
        pass
    assert closed == [True, True]
