"""The contract of backends where it is S3's word that counts.

S3 deletes what is not there without a word, and asking before would neither be free nor tell
which of two deletions was the one. Everything else holds as everywhere.
"""

from __future__ import annotations

from functools import partial

import pytest

from conformance.backend_contract import BackendContract, listed, run_together
from holdfast.backends.base import Backend
from holdfast.errors import NotFoundError


class S3Contract(BackendContract):
    """Every clause, with S3's own of deletions."""

    def test_absent_objects_are_not_found(self, backend: Backend) -> None:
        backend.create("packs/aa/here", b"data")
        for name in ["config", "packs", "packs/aa", "packs/aa/gone", "packs/aa/here/below", "x/y"]:
            for call in (
                partial(backend.read, name),
                partial(backend.read_range, name, 0, 0),
                partial(backend.read_range, name, 0, 9),
                partial(backend.size, name),
            ):
                with pytest.raises(NotFoundError) as caught:
                    call()
                assert caught.value.name == name
                assert caught.value.location == backend.location
            backend.delete(name)
        assert listed(backend) == {"packs/aa/here": 4}

    def test_deleted_objects_are_gone(self, backend: Backend) -> None:
        backend.create("packs/aa/a", b"data")
        backend.create("packs/aa/b", b"other")
        assert backend.read_range("packs/aa/a", 0, 2) == b"da"
        backend.delete("packs/aa/a")
        for call in (backend.read, backend.size):
            with pytest.raises(NotFoundError):
                call("packs/aa/a")
        with pytest.raises(NotFoundError):
            backend.read_range("packs/aa/a", 0, 2)
        backend.delete("packs/aa/a")
        assert listed(backend) == {"packs/aa/b": 5}
        assert backend.read("packs/aa/b") == b"other"

    def test_of_concurrent_deletions_exactly_one_succeeds(self, backend: Backend) -> None:
        """Here all do, and the object is gone."""
        backend.create("a", b"")
        run_together(8, lambda _: backend.delete("a"))
        assert listed(backend) == {}
