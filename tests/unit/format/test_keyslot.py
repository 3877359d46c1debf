"""Key slots: each secret opens its own slot, in its own repository, with unaltered parameters."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.crypto.kdf import Argon2Parameters
from holdfast.crypto.secrets import (
    KeyFile,
    Password,
    RecoveryKey,
    Secret,
    parse_recovery_words,
    recovery_words,
)
from holdfast.errors import FormatError, HashMismatchError, IntegrityError
from holdfast.format.envelope import ObjectKind, encode_header
from holdfast.format.keyslot import KeySlot, decode_slot, encode_slot, make_slot, open_slot
from holdfast.hashing import trailer

REPOSITORY_ID = bytes(range(16))
ROOT_KEY = b"R" * 32
ARGON2 = Argon2Parameters()
SECRETS: dict[str, tuple[Secret, Secret]] = {
    "password": (Password("correct horse"), Password("correct horse ")),
    "key-file": (KeyFile(b"k" * 32), KeyFile(b"j" * 32)),
    "recovery": (RecoveryKey(b"s" * 32), RecoveryKey(b"t" * 32)),
}


def slot_for(secret: Secret) -> KeySlot:
    return make_slot(secret, ROOT_KEY, REPOSITORY_ID, label="desk", created_ns=5, argon2=ARGON2)


@pytest.fixture(scope="module")
def slots() -> dict[str, KeySlot]:
    return {kind: slot_for(secret) for kind, (secret, _) in SECRETS.items()}


@pytest.mark.parametrize("kind", SECRETS)
def test_slot_opens_with_its_secret_only(kind: str, slots: dict[str, KeySlot]) -> None:
    right, wrong = SECRETS[kind]
    assert open_slot(slots[kind], right, REPOSITORY_ID) == ROOT_KEY
    assert open_slot(slots[kind], wrong, REPOSITORY_ID) is None
    for other in SECRETS.keys() - {kind}:
        assert open_slot(slots[kind], SECRETS[other][0], REPOSITORY_ID) is None


@pytest.mark.parametrize("kind", SECRETS)
def test_slot_opens_in_its_repository_only(kind: str, slots: dict[str, KeySlot]) -> None:
    assert open_slot(slots[kind], SECRETS[kind][0], bytes(16)) is None


@pytest.mark.parametrize("kind", SECRETS)
def test_stored_slot_round_trip(kind: str, slots: dict[str, KeySlot]) -> None:
    data = encode_slot(slots[kind], REPOSITORY_ID)
    assert decode_slot(data, "name") == (REPOSITORY_ID, slots[kind])
    assert ROOT_KEY not in data


@pytest.mark.parametrize("kind", ["key-file", "recovery"])
@pytest.mark.parametrize(
    "change",
    [{"memory_kib": 1}, {"passes": 9}, {"lanes": 2}, {"salt": bytes(16)}, {"box": b""}],
)
def test_altered_slot_does_not_open(
    kind: str, change: dict[str, object], slots: dict[str, KeySlot]
) -> None:
    altered = msgspec.structs.replace(slots[kind], **change)
    assert open_slot(altered, SECRETS[kind][0], REPOSITORY_ID) is None


@pytest.mark.parametrize("kind", ["key-file", "recovery"])
def test_any_changed_byte_of_the_box_does_not_open(kind: str, slots: dict[str, KeySlot]) -> None:
    slot = slots[kind]
    for at in range(0, len(slot.box), max(1, len(slot.box) // 40)):
        box = bytearray(slot.box)
        box[at] ^= 1
        altered = msgspec.structs.replace(slot, box=bytes(box))
        assert open_slot(altered, SECRETS[kind][0], REPOSITORY_ID) is None
        cut = msgspec.structs.replace(slot, box=slot.box[:at])
        assert open_slot(cut, SECRETS[kind][0], REPOSITORY_ID) is None


@pytest.mark.parametrize(
    "change",
    [{"memory_kib": 65535}, {"memory_kib": (4 << 20) + 1}, {"passes": 2}, {"passes": 65},
     {"lanes": 0}, {"lanes": 65}],
)  # fmt: skip
def test_parameters_out_of_bounds_cost_nothing_and_do_not_open(
    change: dict[str, int], slots: dict[str, KeySlot], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> bytes:
        raise AssertionError("the password was stretched")

    monkeypatch.setattr("holdfast.format.keyslot.stretch", never)
    altered = msgspec.structs.replace(slots["password"], **change)
    assert open_slot(altered, SECRETS["password"][0], REPOSITORY_ID) is None


@pytest.mark.parametrize(
    "change",
    [
        {"kind": 0},
        {"kind": 4},
        {"salt": b""},
        {"memory_kib": -1},
        {"passes": 1 << 32},
        {"lanes": -5},
    ],
)
def test_impossible_slots_are_refused(change: dict[str, object], slots: dict[str, KeySlot]) -> None:
    slot = msgspec.structs.replace(slots["key-file"], **change)
    data = encode_slot(slot, REPOSITORY_ID)
    with pytest.raises(FormatError):
        decode_slot(data, "name")


def test_every_changed_byte_and_truncation_is_noticed(slots: dict[str, KeySlot]) -> None:
    data = encode_slot(slots["key-file"], REPOSITORY_ID)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 0x04
        with pytest.raises(IntegrityError):
            decode_slot(bytes(changed), "name")
        with pytest.raises(IntegrityError):
            decode_slot(data[:at], "name")
    with pytest.raises(HashMismatchError):
        decode_slot(data[:-1] + b"\0", "name")


def forged(body: bytes) -> bytes:
    content = encode_header(ObjectKind.KEY, 0, REPOSITORY_ID) + body
    return content + trailer(content)


@given(st.binary(max_size=80))
def test_any_bytes_raise_integrity_errors_only(body: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_slot(forged(body), "name")


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_any_forged_slot_is_refused_or_does_not_open(at: int, bits: int) -> None:
    secret = KeyFile(b"k" * 32)
    body = bytearray(msgspec.msgpack.encode(slot_for(secret)))
    body[at % len(body)] ^= bits
    try:
        _, slot = decode_slot(forged(bytes(body)), "name")
    except IntegrityError:
        return
    # Only label and time are not bound to the box.
    assert open_slot(slot, secret, REPOSITORY_ID) in (None, ROOT_KEY)


def test_fields_of_later_versions_are_passed_over(slots: dict[str, KeySlot]) -> None:
    slot = slots["key-file"]
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(slot))
    body = msgspec.msgpack.encode([*stored, "later"])
    assert decode_slot(forged(body), "name") == (REPOSITORY_ID, slot)


def test_recovery_slot_opens_with_the_printed_words(slots: dict[str, KeySlot]) -> None:
    words = recovery_words(RecoveryKey(b"s" * 32))
    typed = "  " + words.upper().replace(" ", "\n\t") + "\n"
    assert open_slot(slots["recovery"], parse_recovery_words(typed), REPOSITORY_ID) == ROOT_KEY


def test_recovery_slot_holds_no_secret(slots: dict[str, KeySlot]) -> None:
    data = encode_slot(slots["recovery"], REPOSITORY_ID)
    assert b"s" * 32 not in data
    assert ROOT_KEY not in data
