"""Every backend and every wrapper that stores keeps the contract."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.backend_contract import BackendContract
from holdfast.backends.base import Backend
from holdfast.backends.limits import LimitedBackend
from holdfast.backends.local import LocalBackend
from holdfast.backends.memory import MemoryBackend
from holdfast.backends.meter import Meter, MeteredBackend
from holdfast.backends.retry import Retrier, RetryBackend, RetryPolicy
from holdfast.backends.throttle import Throttle
from holdfast.clock import SystemClock
from holdfast.errors import AlreadyExistsError
from holdfast.repository.lock_ledger import LedgerBackend, LockLedger
from support.faults import CrashingBackend, FlakyBackend, Moment, RecordingBackend


class TestLocalBackend(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[Backend]:
        backend = LocalBackend(str(tmp_path / "repository"))
        backend.initialize()
        yield backend
        backend.close()


class TestLocalBackendWithoutHardLinks(BackendContract):
    """As on FAT and SMB: objects are renamed into place."""

    @pytest.fixture
    def backend(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
        def link(source: str, target: str) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), source, None, target)

        monkeypatch.setattr(os, "link", link)
        backend = LocalBackend(str(tmp_path / "repository"))
        backend.initialize()
        yield backend
        backend.close()


class TestMemoryBackend(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return MemoryBackend()


class TestRetryBackend(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return RetryBackend(MemoryBackend())


class TestRetryBackendOverFlakyStorage(BackendContract):
    """Every second operation fails, before or after it was done; only deletions never do.

    (A repeated deletion that finds nothing succeeds: tests/unit/backends/test_retry.py.)
    """

    @pytest.fixture
    def backend(self) -> Backend:
        kinds = ("create", "read", "read_range", "size", "list", "initialize")
        moments = (Moment.AFTER, Moment.BEFORE)
        schedule = {
            (kind, number): moments[number // 2 % 2] for kind in kinds for number in range(0, 40, 2)
        }
        flaky = FlakyBackend(MemoryBackend(), schedule)
        # Looking whether an object is one's own fails as often as everything else.
        patient = RetryPolicy(attempts_at_first=12)
        return RetryBackend(flaky, Retrier(patient, sleep=lambda _: None))

    def test_equal_content_is_no_excuse(self, backend: Backend) -> None:
        """Here it is, after a failure: nobody can tell whose equal bytes they are."""
        backend.create("gc/0", b"same")
        backend.create("gc/0", b"same")
        with pytest.raises(AlreadyExistsError):
            backend.create("gc/0", b"diff")
        assert backend.read("gc/0") == b"same"


class TestMeteredBackend(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return MeteredBackend(MemoryBackend(), Meter())


class TestLimitedBackend(BackendContract):
    """With limits that cost little time, over files."""

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[Backend]:
        inner = LocalBackend(str(tmp_path / "repository"))
        backend = LimitedBackend(inner, Throttle(1 << 36), Throttle(1 << 36))
        backend.initialize()
        yield backend
        backend.close()


class TestLedgerBackend(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        ledger = LockLedger(str(tmp_path / "locks"), days=30, clock=SystemClock())
        return LedgerBackend(MemoryBackend(), ledger)


class TestCrashingBackendThatNeverCrashes(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return CrashingBackend(MemoryBackend(), None)


class TestRecordingBackend(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return RecordingBackend(MemoryBackend())
