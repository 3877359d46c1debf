"""Errors: each has a text, crosses process borders and has its place in the tree."""

from __future__ import annotations

import inspect
import pickle
from dataclasses import fields

import msgspec
import pytest

from holdfast import database_errors, errors, storage_errors
from holdfast.errors import (
    AmbiguousSnapshotError,
    BackendError,
    ConfigurationError,
    HoldfastError,
    IntegrityError,
    MissingBlobError,
    MissingExtraError,
    OutOfSpaceError,
    RepositoryError,
    SnapshotNotFoundError,
    SourceError,
    TransientBackendError,
    WrongKeyError,
)
from holdfast.findings import Finding

CLASSES = [
    found
    for module in (errors, storage_errors, database_errors)
    for _, found in inspect.getmembers(module, inspect.isclass)
    if found.__module__ == module.__name__
    and issubclass(found, HoldfastError)
    and found
    not in (HoldfastError, RepositoryError, database_errors.DatabaseError, database_errors.LogError)
]
SAMPLES: dict[str, object] = {"str": "sample", "int": 7, "tuple[str, ...]": ("aa" * 16, "ab" * 16)}


def sample(kind: type[HoldfastError]) -> HoldfastError:
    return kind(*(SAMPLES[str(field.type)] for field in fields(kind)))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_says_what_happened_to_what(kind: type[HoldfastError]) -> None:
    text = str(sample(kind))
    assert "sample" in text
    assert text[0].islower() or text.startswith("sample")
    assert not text.endswith(".")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_crosses_process_borders(kind: type[HoldfastError]) -> None:
    error = sample(kind)
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert str(back) == str(error)


def test_families() -> None:
    assert issubclass(MissingExtraError, ConfigurationError)
    assert issubclass(OutOfSpaceError, BackendError)
    assert issubclass(TransientBackendError, BackendError)
    assert issubclass(WrongKeyError, RepositoryError)
    assert issubclass(MissingBlobError, IntegrityError)
    assert not issubclass(IntegrityError, RepositoryError)
    assert not issubclass(SourceError, ValueError)
    assert all(not issubclass(kind, (OSError, ValueError)) for kind in CLASSES)


def test_texts_lead_on() -> None:
    assert "holdfast[s3]" in str(MissingExtraError("storage in S3", "s3"))
    assert "--read-data" in str(IntegrityError("pack", "ff", "cut off"))
    assert "backup PATH" in str(SnapshotNotFoundError("latest"))
    assert "holdfast snapshots" in str(SnapshotNotFoundError("abc"))
    assert str(ConfigurationError("bad", "do this")) == "bad; do this"
    assert str(ConfigurationError("bad")) == "bad"
    many = AmbiguousSnapshotError("a", tuple(f"{n:032x}" for n in range(7)))
    assert "7 snapshots" in str(many)
    assert "…" in str(many)


def test_findings_are_values_that_can_be_stored() -> None:
    finding = Finding("/a", "permission denied")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(finding), type=Finding) == finding
    assert len({finding, Finding("/a", "permission denied")}) == 1
