"""From a location to its backend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import holdfast.backends.local
from holdfast.backends.local import LocalBackend
from holdfast.backends.registry import open_backend
from holdfast.backends.retry import RetryBackend
from holdfast.errors import ConfigurationError


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_path_opens_a_directory(tmp_path: Path, form: str) -> None:
    backend = open_backend(form.format(tmp_path / "repository"))
    assert isinstance(backend, LocalBackend)
    assert backend.location == str(tmp_path / "repository")
    backend.initialize()
    backend.create("a", b"data")
    assert (tmp_path / "repository" / "a").read_bytes() == b"data"
    backend.close()


def test_a_relative_path_does_not_follow_later_changes_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    backend = open_backend("repository")
    monkeypatch.chdir("/")
    assert backend.location == str(tmp_path / "repository")


def test_opening_touches_nothing(tmp_path: Path) -> None:
    open_backend(str(tmp_path / "repository")).close()
    assert list(tmp_path.iterdir()) == []


def test_s3_opens_a_bucket_that_is_not_looked_at_yet() -> None:
    backend = open_backend("s3://bucket/prefix?endpoint=http://127.0.0.1:9&connections=3")
    assert isinstance(backend, RetryBackend)
    assert backend.is_remote
    assert backend.parallelism == 3
    assert backend.location == "s3://bucket/prefix?endpoint=http://127.0.0.1:9&connections=3"
    backend.close()


def test_what_is_no_location_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="unknown kind of location"):
        open_backend("sftp://host/directory")


def test_backends_are_imported_on_use() -> None:
    source = str(Path(holdfast.backends.local.__file__).parents[2])
    program = (
        f"import sys; sys.path.insert(0, {source!r}); import holdfast.backends.registry; "
        "print(sorted(m for m in sys.modules if m.startswith('holdfast.backends.')))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "holdfast.backends.registry" in run.stdout
    assert "holdfast.backends.local" not in run.stdout.replace("holdfast.backends.location", "")
    assert "holdfast.backends.s3" not in run.stdout
